"""The server that the demo and the tests start, and what only a real Label Studio can show: tokens, files and locks in its database."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from backend.demo.label_studio_server import ServerError
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.port import LabelStudioError, MediaError
from tests.conftest import RealLabelStudio
from tests.contracts.worlds import CONFIG, CONTROL

pytestmark = pytest.mark.contract


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def group_members(leader: int) -> list[str]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, _, rest = stat.read_text().partition(" (")
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, _, group = rest.rpartition(")")[2].split()[:3]
        if int(group) == leader and state != "Z":
            found.append(pid)
    return found


@pytest.fixture
def admin(real_label_studio: RealLabelStudio) -> Iterator[httpx.Client]:
    token = real_label_studio.server.admin_token
    with httpx.Client(base_url=real_label_studio.server.url, headers={"Authorization": f"Token {token}"}, timeout=60) as client:
        yield client


@pytest.fixture
def clients(real_label_studio: RealLabelStudio, admin: httpx.Client) -> Iterator[dict[str, LabelStudioClient]]:
    """One client per kind of token."""
    url = real_label_studio.server.url
    headers = {"Authorization": f"Token {real_label_studio.service_token}"}
    for old in admin.get("/api/token/", headers=headers).json():
        admin.post("/api/token/blacklist/", json={"refresh": old["token"]}, headers=headers)
    made = admin.post("/api/token/", headers=headers)
    assert made.status_code == 201, made.text
    both = {"legacy": LabelStudioClient(url, real_label_studio.service_token), "personal": LabelStudioClient(url, made.json()["token"])}
    yield both
    for client in both.values():
        client.close()


def test_both_kinds_of_token_name_the_same_user_and_read_the_same_files(
    real_label_studio: RealLabelStudio, admin: httpx.Client, clients: dict[str, LabelStudioClient]
) -> None:
    project = admin.post("/api/projects", json={"title": "Files", "label_config": CONFIG}).json()["id"]
    admin.post(f"/api/projects/{project}/import", files={"file": ("red.png", png("red"), "image/png")}).raise_for_status()
    folder = real_label_studio.server.document_root / "pictures"
    folder.mkdir()
    (folder / "blue.png").write_bytes(png("blue"))
    storage = {"project": project, "path": str(folder), "use_blob_urls": True}
    admin.post("/api/storages/localfiles", json=storage).raise_for_status()
    local = "/data/local-files/?d=pictures/blue.png"
    admin.post(f"/api/projects/{project}/import", json=[{"data": {"image": local}}]).raise_for_status()
    for kind, client in clients.items():
        assert client.current_user().email == "mcal@example.com", kind
        upload, served = list(client.tasks(project, CONTROL))
        assert upload.image.startswith("/data/upload/")
        assert served.image == local
        assert client.fetch_media(upload.image, task_id=upload.id, max_bytes=10_000) == png("red")
        assert client.fetch_media(served.image, task_id=served.id, max_bytes=10_000) == png("blue")
        with pytest.raises(MediaError, match="no such upload") as caught:
            client.fetch_media("/data/upload/1/none.png", task_id=upload.id, max_bytes=10_000)
        assert not caught.value.retryable
        with pytest.raises(MediaError, match="answered 404"):  # no storage for this bucket
            client.fetch_media("s3://bucket/x.png", task_id=upload.id, max_bytes=10_000)


def test_a_stale_access_token_is_renewed_without_notice(clients: dict[str, LabelStudioClient]) -> None:
    client = clients["personal"]
    client.current_user()
    auth = client._http.auth
    auth._access = auth._access[:-4] + "AAAA"
    assert client.current_user().email == "mcal@example.com"


def test_a_wrong_token_is_refused_with_advice(real_label_studio: RealLabelStudio) -> None:
    client = LabelStudioClient(real_label_studio.server.url, "0" * 40)
    with pytest.raises(LabelStudioError, match=r"refused the token.*Personal Access Token"):
        client.current_user()
    with pytest.raises(LabelStudioError, match="refused the token"):
        client.fetch_media("/data/upload/1/none.png", task_id=1, max_bytes=10)
    client.close()


def test_a_person_cannot_sign_up_twice(real_label_studio: RealLabelStudio) -> None:
    with pytest.raises(ServerError, match=r"did not sign up ann@example\.com"):
        real_label_studio.server.create_user("ann@example.com", "a-good-passphrase")


def test_stopping_leaves_no_process_and_a_restart_finds_everything_again(real_label_studio: RealLabelStudio, admin: httpx.Client) -> None:
    server = real_label_studio.server
    project = admin.post("/api/projects", json={"title": "Kept", "label_config": CONFIG}).json()["id"]
    assert server._process is not None
    leader = server._process.pid
    assert len(group_members(leader)) >= 2
    assert os.getpgid(leader) != os.getpgid(0)
    server.stop()
    assert group_members(leader) == []
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{server.url}/health")
    server.stop()
    server.start()
    assert admin.get(f"/api/projects/{project}").json()["title"] == "Kept"
    text = server.log_file.read_text()
    assert server.admin_password not in text
    assert server.admin_token not in text
