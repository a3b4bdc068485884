from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpcore
import pytest

from backend.label_studio.addresses import AllowedHosts
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.images import fetch_many
from backend.label_studio.port import LabelStudioError, MediaError
from backend.simtest.label_studio import FakeLabelStudio
from tests.backend.label_studio.local_server import Answer, Asked, LocalServer, serving

TOKEN = "0123456789abcdef0123456789abcdef01234567"
IMAGE = b"\x89PNG" + bytes(range(256)) * 40
Clients = Callable[..., LabelStudioClient]


def image(asked: Asked) -> Answer:
    return 200, {"Content-Type": "image/png"}, IMAGE


def sent_on(to: str) -> Callable[[Asked], Answer]:
    return lambda asked: (303, {"Location": to}, b"")


@pytest.fixture
def home() -> Iterator[LocalServer]:
    """Label Studio."""
    with serving(image) as server:
        yield server


@pytest.fixture
def outside() -> Iterator[LocalServer]:
    """Some other host; on loopback, so it must be allowed by name (localhost)."""
    with serving(image) as server:
        yield server


@pytest.fixture
def clients() -> Iterator[Clients]:
    made: list[LabelStudioClient] = []

    def make(server: LocalServer, *allowed: str, path: str = "", public_url: str | None = None) -> LabelStudioClient:
        made.append(LabelStudioClient(server.url + path, TOKEN, allowed_private_hosts=allowed, public_url=public_url, first_pause=0.01))
        return made[-1]

    yield make
    for client in made:
        client.close()


def get(client: LabelStudioClient, reference: str, max_bytes: int = 1_000_000) -> bytes:
    return client.fetch_media(reference, task_id=12, max_bytes=max_bytes)


def name_of(server: LocalServer) -> str:
    """The server by a name that is another origin than its address."""
    return f"http://localhost:{server.port}"


# Label Studio's own


@pytest.mark.parametrize("reference", ["/data/upload/1/a%20b.png", "/data/local-files/?d=a/b.png", "{home}/data/upload/1/x.png"])
def test_what_label_studio_serves_is_read_with_its_token(home: LocalServer, clients: Clients, reference: str) -> None:
    reference = reference.format(home=home.url)
    assert get(clients(home), reference) == IMAGE
    assert (home.asked[0].path, home.asked[0].authorization) == (reference.removeprefix(home.url), f"Token {TOKEN}")


@pytest.mark.parametrize(
    "path",
    [
        "/api/users",
        "/api/projects/1/export",
        "/user/account",
        "/data/../api/users",
        "/data/%2e%2e/api/users",
        "/tasks/1/",
        "/",
        "/database",
    ],
)
def test_the_token_fetches_from_where_images_are_and_from_nowhere_else(home: LocalServer, clients: Clients, path: str) -> None:
    for reference in (path, f"{home.url}{path}"):
        with pytest.raises(MediaError, match="must be below /data/"):
            get(clients(home), reference)
    home.answer = sent_on(f"{home.url}{path}")
    with pytest.raises(MediaError, match="must be below /data/"):
        get(clients(home), "/data/upload/1/x.png")
    assert [each.path for each in home.asked] == ["/data/upload/1/x.png"]


@pytest.mark.parametrize("address", ["fec0::1", "3fff::1"])
def test_addresses_that_are_nobody_s_on_the_internet_are_private(address: str) -> None:
    with pytest.raises(MediaError, match="private address"):
        AllowedHosts([]).check("images.example", address)


def test_label_studio_named_as_browsers_reach_it_is_asked_where_it_is_from_here(home: LocalServer, clients: Clients) -> None:
    client = clients(home, public_url="http://localhost:8080")
    assert get(client, "http://localhost:8080/data/upload/1/x.png") == IMAGE
    assert (home.asked[0].path, home.asked[0].authorization) == ("/data/upload/1/x.png", f"Token {TOKEN}")
    for other in ("http://localhost:80801/data/x.png", "http://localhost:8080.example.org/x.png"):
        with pytest.raises(MediaError):
            get(client, other)
    assert len(home.asked) == 1


def test_a_label_studio_below_a_path_is_asked_there(home: LocalServer, clients: Clients) -> None:
    client = clients(home, path="/studio")
    for reference in ("/data/upload/1/x.png", "/studio/data/upload/1/x.png"):
        assert get(client, reference) == IMAGE
    assert {each.path for each in home.asked} == {"/studio/data/upload/1/x.png"}


def test_a_cloud_address_goes_through_label_studios_proxy_and_its_presigned_address_gets_no_token(
    home: LocalServer, outside: LocalServer, clients: Clients
) -> None:
    home.answer = sent_on(f"{name_of(outside)}/bucket/x.png?X-Signature=s")
    assert get(clients(home, "localhost"), "s3://bucket/größe/x.png") == IMAGE
    encoded = base64.urlsafe_b64encode("s3://bucket/größe/x.png".encode()).decode()
    assert home.asked[0].path.replace("%3D", "=") == f"/tasks/12/resolve/?fileuri={encoded}"
    assert home.asked[0].authorization == f"Token {TOKEN}"
    assert [(each.path, each.authorization) for each in outside.asked] == [("/bucket/x.png?X-Signature=s", None)]


def test_label_studio_refusing_the_token_is_not_the_images_fault(home: LocalServer, clients: Clients) -> None:
    home.answer = lambda asked: (401, {}, b"")
    with pytest.raises(LabelStudioError, match="refused the token"):
        get(clients(home), "/data/upload/1/x.png")


def test_label_studio_being_down_is_not_the_images_fault(home: LocalServer, clients: Clients) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        gone = LocalServer(unused.getsockname()[1], image)
        with pytest.raises(LabelStudioError, match="cannot be reached") as caught:
            get(clients(gone), "/data/upload/1/x.png")
    assert caught.value.retryable


# Other hosts


def test_other_hosts_never_see_the_token(home: LocalServer, outside: LocalServer, clients: Clients) -> None:
    assert get(clients(home, "LOCALHOST"), f"{name_of(outside)}/x.png") == IMAGE
    assert outside.asked[0].authorization is None
    assert not any(TOKEN in value for value in outside.asked[0].headers.values())
    assert home.asked == []


def test_the_way_back_to_label_studio_earns_no_token(home: LocalServer, outside: LocalServer, clients: Clients) -> None:
    outside.answer = sent_on(f"{home.url}/api/users")
    get(clients(home, "localhost", "127.0.0.0/8"), f"{name_of(outside)}/x.png")
    assert (home.asked[0].path, home.asked[0].authorization) == ("/api/users", None)


HOSTS = (
    "localhost LOCALHOST. 127.0.0.2 127.1 2130706433 0x7f000001 0x7f.1 0177.0.0.1 017700000001 0 0.0.0.0 10.0.0.1 10.1 172.16.0.1 "
    "192.168.1.1 169.254.169.254 2852039166 0xa9fea9fe 0251.0376.0251.0376 100.100.100.200 168.63.129.16 192.0.0.192 "
    "\uff11\uff12\uff17.0.0.1 127\u30020\u30020\u30021 %31%32%37.0.0.1 user:secret@127.0.0.1 [::1] [::] [0:0:0:0:0:0:0:1] "
    "[::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [64:ff9b::127.0.0.1] [2002:7f00:1::] [fe80::1%25lo] [fd00:ec2::254] "
    "[::ffff:a9fe:a9fe] "
)


def test_private_addresses_are_refused_however_written(home: LocalServer, outside: LocalServer, clients: Clients) -> None:
    client = clients(home)
    for host in HOSTS.split():
        with pytest.raises(MediaError, match=r"allowed_private_hosts|credentials|has no address|not an address") as caught:
            get(client, f"http://{host}:{outside.port}/x.png")
        assert not caught.value.retryable or "no address" in caught.value.reason
    assert outside.asked == []


def test_a_redirect_to_a_private_address_is_refused(home: LocalServer, outside: LocalServer, clients: Clients) -> None:
    home.answer = sent_on(f"{name_of(outside)}/secret")
    with pytest.raises(MediaError, match="private address"):
        get(clients(home), "s3://bucket/x.png")
    assert outside.asked == []


def test_a_name_is_resolved_once_and_the_address_that_was_judged_is_the_one_connected_to(
    home: LocalServer, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["93.184.216.34", "127.0.0.1"])  # a name that turns private after it was judged
    connected: list[str] = []

    def resolve(host: Any, port: int, *rest: Any, **more: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    def connect(self: Any, host: str, *rest: Any, **more: Any) -> Any:
        connected.append(host)
        raise httpcore.ConnectError("no network in tests")

    client = clients(home)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect)
    with pytest.raises(MediaError, match="no network in tests"):
        get(client, "http://rebinding.test/x.png")
    assert connected == ["93.184.216.34"]


def test_one_private_address_among_several_is_enough_to_refuse(
    home: LocalServer, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = clients(home)
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 80)) for each in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *rest, **more: addresses)
    with pytest.raises(MediaError, match=r"mixed\.test is at the private address 10\.0\.0\.1"):
        get(client, "http://mixed.test/x.png")


PUBLIC = "8.8.8.8 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::808:808"
NOT_PUBLIC = (
    "0.0.0.0 0.1.2.3 10.255.255.255 100.64.0.1 100.127.255.255 127.255.255.254 172.16.0.0 172.31.255.255 192.0.0.9 192.0.2.1 "
    "192.88.99.2 192.168.255.255 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.1.2.3 240.0.0.1 255.255.255.255 "
    ":: ::1 ::7f00:1 ::ffff:10.0.0.1 ::ffff:0:7f00:1 64:ff9b::a00:1 64:ff9b:1::a00:1 100::1 2001::1 2001:2::1 2001:10::1 "
    "2001:db8::1 2002:7f00:1:: 2002:a00:1::1 2001:470::5efe:a00:1 2001:470::200:5efe:a00:1 3fff::1 5f00::1 fc00::1 fd00::1 "
    "fe80::1%eth0 febf::1 fec0::1 ff02::1 ff0e::1 4000::1 "
)
CREDENTIALS = (
    "169.254.169.254 169.254.170.2 168.63.129.16 100.100.100.200 192.0.0.192 fd00:ec2::254 ::ffff:169.254.169.254 ::a9fe:a9fe "
    "64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1 2001:470::5efe:a9fe:a9fe "
)


def test_public_addresses_may_be_asked() -> None:
    for address in PUBLIC.split():
        AllowedHosts([]).check("host.test", address)


def test_addresses_are_judged_by_what_they_lead_to() -> None:
    for address in NOT_PUBLIC.split():
        with pytest.raises(MediaError, match=r"private address"):
            AllowedHosts(["other.test", "172.20.0.0/16"]).check("host.test", address)


def test_where_clouds_keep_credentials_is_never_asked_whatever_is_allowed() -> None:
    for address in CREDENTIALS.split():
        with pytest.raises(MediaError, match="credentials"):
            AllowedHosts(["host.test", "0.0.0.0/0", "::/0"]).check("host.test", address)


def test_private_hosts_are_allowed_by_name_address_or_network() -> None:
    for entry in ("minio.local", "10.1.2.3", "10.0.0.0/8"):
        AllowedHosts([entry]).check("MinIO.local.", "10.1.2.3")
        AllowedHosts([entry]).check("MinIO.local.", "::ffff:10.1.2.3")


# Limits and odd references


@pytest.mark.parametrize("announced", [True, False])
def test_an_image_above_the_limit_is_not_read_to_its_end(home: LocalServer, clients: Clients, announced: bool) -> None:
    home.answer = lambda asked: (200, {} if announced else {"Content-Length": "", "Connection": "close"}, bytes(5_000_000))
    with pytest.raises(MediaError, match=r"more than 1,000 bytes \(setting max_image_bytes\)"):
        get(clients(home), "/data/upload/1/x.png", max_bytes=1000)
    assert get(clients(home), "/data/upload/1/x.png", max_bytes=5_000_000) == bytes(5_000_000)


def test_an_image_cut_short_may_work_later(home: LocalServer, clients: Clients) -> None:
    home.answer = lambda asked: (200, {"Content-Length": "500", "Connection": "close"}, b"x" * 20)
    with pytest.raises(MediaError, match="broke off") as caught:
        get(clients(home), "/data/upload/1/x.png")
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("/data/upload/1/a.png", "/data/upload/1/a.png: there is no such file at Label Studio (answered 404)"),
        ("/data/local-files/?d=cam/a.png", "/data/local-files/?d=cam/a.png: there is no such file at Label Studio (answered 404)"),
        (
            "s3://bucket/a/b.png",
            "s3://bucket/a/b.png: Label Studio has no storage that holds it (answered 404); connect s3://bucket as",
        ),
    ],
)
def test_a_file_that_is_not_there_is_named_and_a_missing_storage_said(
    home: LocalServer, clients: Clients, reference: str, reason: str
) -> None:
    home.answer = lambda asked: (404, {}, b"")
    with pytest.raises(MediaError) as caught:
        get(clients(home), reference)
    assert caught.value.reason.startswith(reason)
    assert not caught.value.retryable


def test_an_address_is_named_without_its_signature(home: LocalServer, outside: LocalServer, clients: Clients) -> None:
    outside.answer = lambda asked: (404, {}, b"")
    with pytest.raises(MediaError) as caught:
        get(clients(home, "localhost"), f"{name_of(outside)}/x.png?X-Signature=secret".replace("://", "://me:secret@"))
    assert "/x.png: there is no such file at localhost" in caught.value.reason
    assert "secret" not in caught.value.reason


@pytest.mark.parametrize(("status", "retryable"), [(404, False), (403, False), (410, False), (429, True), (500, True)])
def test_a_failed_image_says_whether_it_may_work_later(home: LocalServer, clients: Clients, status: int, retryable: bool) -> None:
    home.answer = lambda asked: (status, {}, b"")
    with pytest.raises(MediaError, match=f"answered {status}") as caught:
        get(clients(home), "/data/upload/1/x.png")
    assert caught.value.retryable is retryable


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://x.test/y", "gopher://x"])
def test_a_redirect_out_of_the_web_is_refused(home: LocalServer, clients: Clients, to: str) -> None:
    home.answer = sent_on(to)
    with pytest.raises(MediaError, match=r"refused|not an address"):
        get(clients(home), "/data/upload/1/x.png")


def test_redirects_do_not_go_on_for_ever(home: LocalServer, clients: Clients) -> None:
    home.answer = sent_on("/data/again")
    with pytest.raises(MediaError, match="more than 5 redirects"):
        get(clients(home), "/data/upload/1/x.png")
    assert len(home.asked) == 6


def test_a_compressed_body_is_refused_for_it_could_grow_past_the_limit(home: LocalServer, clients: Clients) -> None:
    home.answer = lambda asked: (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b")
    with pytest.raises(MediaError, match="compressed"):
        get(clients(home), "/data/upload/1/x.png")


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("", "no image"),
        ("file:///etc/passwd", "scheme 'file'"),
        ("ftp://x.test/y.png", "scheme 'ftp'"),
        ("javascript:alert(1)", "scheme 'javascript'"),
        ("images/x.png", "a relative path"),
        ("//x.test/y.png", "a relative path"),
        ("http://", "not an address"),
        ("http://[::1", "not an address"),
        ("data:image/png;base64", "without data"),
        ("data:image/png;base64,!", "not valid base64"),
        ("data:image/png;base64," + "A" * 3000, "more than 1,000 bytes"),
    ],
)
def test_a_reference_that_leads_nowhere_says_why(home: LocalServer, clients: Clients, reference: str, reason: str) -> None:
    with pytest.raises(MediaError, match=reason) as caught:
        get(clients(home), reference, max_bytes=1000)
    assert not caught.value.retryable
    assert home.asked == []


def test_an_image_may_stand_in_the_task_itself(home: LocalServer, clients: Clients) -> None:
    encoded = base64.b64encode(IMAGE).decode()
    assert get(clients(home), f"data:image/png;base64,{encoded}", max_bytes=len(IMAGE)) == IMAGE
    assert get(clients(home), "data:text/plain,a%20b") == b"a b"


# Many


def test_many_are_fetched_in_parallel_and_each_comes_or_says_why() -> None:
    fake = FakeLabelStudio()
    fake.media = {f"/{index}": bytes([index]) for index in range(50)}
    counts: list[int] = []
    wanted = [(index, f"/{index}") for index in range(52)]
    found = dict(fetch_many(fake, iter(wanted), max_bytes=10, threads=4, progress=counts.append))
    assert {index: found[index] for index in range(50)} == {index: bytes([index]) for index in range(50)}
    assert all(isinstance(found[index], MediaError) for index in (50, 51))
    assert counts == list(range(1, 53))


def test_a_passing_trouble_with_one_image_is_tried_again() -> None:
    class Shaky(FakeLabelStudio):
        tries = 0

        def fetch_media(self, reference: str, *, task_id: int, max_bytes: int) -> bytes:
            self.tries += 1
            if self.tries < 3:
                raise MediaError("busy", retryable=True)
            return b"x"

    assert list(fetch_many(Shaky(), [(1, "/1")], max_bytes=10, pause=0)) == [(1, b"x")]
    ((_, given_up),) = fetch_many(Shaky(), [(1, "/1")], max_bytes=10, tries=2, pause=0)
    assert isinstance(given_up, MediaError)


def test_label_studio_failing_ends_the_whole_fetch_and_leaves_no_thread() -> None:
    fake = FakeLabelStudio()
    fake.media = {f"/{index}": b"x" for index in range(20)}
    fake.before = lambda method: setattr(fake, "down", len(fake.calls) > 5)
    with pytest.raises(LabelStudioError, match="cannot be reached"):
        list(fetch_many(fake, [(index, f"/{index}") for index in range(20)], max_bytes=10, threads=2))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("media")]
