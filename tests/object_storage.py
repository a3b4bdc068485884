"""An S3 of one's own on loopback, for the tests that want one; the fixture is in ``tests/conftest.py``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

KEY, SECRET, REGION = "testing-key", "testing-secret", "us-east-1"


@dataclass(frozen=True)
class ObjectStorage:
    """A running server; ``client`` is boto3's."""

    url: str
    client: Any

    def bucket(self, name: str) -> str:
        """Make a bucket; returns its name."""
        self.client.create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str) -> list[str]:
        return [each["Key"] for each in self.client.list_objects_v2(Bucket=bucket).get("Contents", [])]


@contextmanager
def own_object_storage() -> Iterator[ObjectStorage]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries' own imports
        import boto3
        from moto.server import ThreadedMotoServer
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=url, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION)
    try:
        yield ObjectStorage(url, client)
    finally:
        client.close()
        server.stop()
