"""Images in S3 that belong to Label Studio's storage: read through Label Studio, presigned or proxied, with no keys of ours."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image

from backend.label_studio.client import LabelStudioClient
from backend.label_studio.config import parse_label_config
from backend.label_studio.port import MediaError
from mcal_engine.classifiers.images.decoding import decode
from tests.conftest import RealLabelStudio
from tests.contracts.worlds import CONFIG
from tests.object_storage import KEY, REGION, SECRET, ObjectStorage

pytestmark = pytest.mark.contract

CONTROL = parse_label_config(CONFIG)
SHADES = {"a/dark one.png": 10, "a/grey+&%.png": 128, "b/light.png": 250}


def png(shade: int) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (16, 16), (shade, shade, shade)).save(made, "PNG")
    return made.getvalue()


@pytest.fixture
def bucket(object_storage: ObjectStorage, request: pytest.FixtureRequest) -> str:
    name = object_storage.bucket(f"pictures-{abs(hash(request.node.name)) % 10**8}")
    for key, shade in SHADES.items():
        object_storage.client.put_object(Bucket=name, Key=key, Body=png(shade), ContentType="image/png")
    return name


@pytest.fixture
def admin(real_label_studio: RealLabelStudio) -> Iterator[httpx.Client]:
    token = real_label_studio.server.admin_token
    with httpx.Client(base_url=real_label_studio.server.url, headers={"Authorization": f"Token {token}"}, timeout=120) as client:
        yield client


def project_on(admin: httpx.Client, storage: ObjectStorage, bucket: str, *, presign: bool) -> int:
    """A project whose tasks Label Studio makes from the bucket."""
    project = int(admin.post("/api/projects", json={"title": "In the cloud", "label_config": CONFIG}).raise_for_status().json()["id"])
    settings = {
        "project": project,
        "title": "pictures",
        "bucket": bucket,
        "regex_filter": ".*png",
        "use_blob_urls": True,
        "recursive_scan": True,
        "presign": presign,
        "aws_access_key_id": KEY,
        "aws_secret_access_key": SECRET,
        "region_name": REGION,
        "s3_endpoint": storage.url,
    }
    made = admin.post("/api/storages/s3", json=settings)
    assert made.status_code == 201, made.text
    synced = admin.post(f"/api/storages/s3/{made.json()['id']}/sync")
    assert synced.is_success, synced.text
    assert synced.json()["status"] == "completed", synced.text
    return project


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("presign", [True, False], ids=["presigned", "proxied"])
@pytest.mark.usefixtures("no_keys")
def test_images_of_label_studios_s3_storage_are_read_without_keys(
    real_label_studio: RealLabelStudio, admin: httpx.Client, object_storage: ObjectStorage, bucket: str, presign: bool
) -> None:
    project = project_on(admin, object_storage, bucket, presign=presign)
    # A presigned address leads to the storage itself, which here is on a private one; a proxied image comes from Label Studio.
    client = LabelStudioClient(
        real_label_studio.server.url, real_label_studio.service_token, allowed_private_hosts=["127.0.0.1"] if presign else []
    )
    tasks = list(client.tasks(project, CONTROL))
    assert sorted(task.image for task in tasks) == sorted(f"s3://{bucket}/{key}" for key in SHADES)
    for task in tasks:
        content = client.fetch_media(task.image, task_id=task.id, max_bytes=10_000)
        shade = SHADES[task.image.removeprefix(f"s3://{bucket}/")]
        assert content == png(shade)
        assert np.unique(decode(content, 16, max_pixels=1000)).tolist() == [shade]
    object_storage.client.delete_object(Bucket=bucket, Key="b/light.png")
    gone = next(task for task in tasks if task.image.endswith("light.png"))
    with pytest.raises(MediaError, match="answered 40[34]" if presign else "answered 424"):
        client.fetch_media(gone.image, task_id=gone.id, max_bytes=10_000)
    client.close()


@pytest.mark.usefixtures("no_keys")
def test_a_presigned_address_on_a_private_network_is_refused_with_the_setting_that_allows_it(
    real_label_studio: RealLabelStudio, admin: httpx.Client, object_storage: ObjectStorage, bucket: str
) -> None:
    project = project_on(admin, object_storage, bucket, presign=True)
    client = LabelStudioClient(real_label_studio.server.url, real_label_studio.service_token)
    task = next(iter(client.tasks(project, CONTROL)))
    with pytest.raises(MediaError, match="allowed_private_hosts"):
        client.fetch_media(task.image, task_id=task.id, max_bytes=10_000)
    client.close()
