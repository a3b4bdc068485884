from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from flask.sessions import SecureCookieSessionInterface
from flask.testing import FlaskClient
from werkzeug.exceptions import TooManyRequests

from backend.settings import server_settings
from backend.web import throttle
from backend.web.admin import Admin, admin_of
from backend.web.app import create_app
from backend.web.ended_sessions import EndedSessions
from backend.web.throttle import Throttle
from mcal_engine.errors import InvalidValue
from tests.backend.web.world import ADMIN, LOGIN, World

pytestmark = pytest.mark.slow

PAGES = ["/campaigns", "/campaigns/1", "/campaigns/1/report", "/campaigns/1/settings", "/campaigns/1/actions/pause", "/projects/7/start"]
DATA = ["/api/v1/campaigns", "/api/v1/campaigns/1", "/api/v1/campaigns/1/items.csv", "/api/v1/openapi.json", "/metrics"]
TOKEN = "a-token-of-enough-length"


def log_in(client: FlaskClient, user: str = LOGIN[0], password: str = LOGIN[1], **more: Any) -> Any:
    return client.post("/login", data={"user": user, "password": password, **more})


def csrf_of(client: FlaskClient, path: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', client.get(path).text)
    assert found is not None
    return found.group(1)


@pytest.mark.parametrize("path", PAGES)
def test_pages_send_strangers_to_the_login(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 303 and answer.headers["Location"].startswith("/login?next=")


@pytest.mark.parametrize("path", DATA)
def test_the_api_refuses_strangers_without_asking_their_browser_for_a_password(world: World, client: FlaskClient, path: str) -> None:
    world.campaign()
    answer = client.get(path)
    assert answer.status_code == 401 and "basic" not in answer.headers["WWW-Authenticate"].lower()


def test_the_right_password_opens_and_the_wrong_one_does_not(client: FlaskClient) -> None:
    assert log_in(client, password="wrong").status_code == 401
    assert client.get("/campaigns").status_code == 303
    assert log_in(client).status_code == 303
    assert client.get("/campaigns").status_code == 200


def test_the_session_cookie_is_out_of_reach_for_scripts_and_other_sites(world: World) -> None:
    for secure in (False, True):
        deps = world.deps()
        admin = Admin(ADMIN.user, ADMIN.password_hash, "secret", secure_cookies=secure)
        object.__setattr__(deps.desk, "admin", admin)
        cookie = log_in(create_app(deps).test_client()).headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and ("Secure" in cookie) is secure


def test_a_new_password_ends_the_sessions_of_the_old_one(world: World) -> None:
    deps = world.deps()
    client = create_app(deps).test_client()
    log_in(client)
    cookie = client.get_cookie("mcal_session")
    assert cookie is not None
    object.__setattr__(deps.desk, "admin", Admin(ADMIN.user, "scrypt:1024:8:1$other$00", ADMIN.session_secret))
    later = create_app(deps).test_client()
    later.set_cookie("mcal_session", cookie.value)
    assert later.get("/campaigns").status_code == 303


def test_logging_out_ends_the_session_and_every_copy_of_its_cookie(world: World, tmp_path: Path) -> None:
    deps = world.deps()
    ended = EndedSessions(tmp_path / "ended", time.time)
    object.__setattr__(deps.desk, "admin", Admin(ADMIN.user, ADMIN.password_hash, "s", ended=ended))
    client = create_app(deps).test_client()
    log_in(client)
    cookie = client.get_cookie("mcal_session")
    assert cookie is not None
    other = create_app(deps).test_client()
    log_in(other)
    assert client.post("/logout", data={"csrf": csrf_of(client, "/campaigns")}).status_code == 303
    thief = create_app(deps).test_client()
    thief.set_cookie("mcal_session", cookie.value)
    assert thief.get("/campaigns").status_code == 303 and thief.get("/api/v1/campaigns").status_code == 401
    assert other.get("/campaigns").status_code == 200, "another session of the same account stays"
    after_a_restart = EndedSessions(tmp_path / "ended", time.time)
    object.__setattr__(deps.desk, "admin", Admin(ADMIN.user, ADMIN.password_hash, "s", ended=after_a_restart))
    thief = create_app(deps).test_client()
    thief.set_cookie("mcal_session", cookie.value)
    assert thief.get("/campaigns").status_code == 303


def test_logging_in_again_ends_the_session_before(client: FlaskClient) -> None:
    log_in(client)
    before = client.get_cookie("mcal_session")
    assert before is not None
    log_in(client)
    assert client.get("/campaigns").status_code == 200
    client.set_cookie("mcal_session", before.value)
    assert client.get("/campaigns").status_code == 303


def test_logging_out_clears_what_the_browser_keeps_but_no_cookies_of_other_ports(client: FlaskClient) -> None:
    log_in(client)
    answer = client.post("/logout", data={"csrf": csrf_of(client, "/campaigns")})
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'


def test_ended_sessions_are_shared_and_forgotten_once_their_cookies_have_expired(tmp_path: Path) -> None:
    now = [1000.0]
    one, other = (EndedSessions(tmp_path / "ended", lambda: now[0]) for _ in range(2))
    assert "a" not in other
    one.add("a", 60)
    assert "a" in other and "b" not in other
    now[0] = 1061
    assert "a" not in other
    other.add("b", 60)
    assert "a" not in (tmp_path / "ended").read_text()


def test_over_https_the_cookie_is_secure_and_browsers_are_told_to_stay_there(client: FlaskClient) -> None:
    for scheme in ("http", "https"):
        answer = client.post("/login", data={"user": LOGIN[0], "password": LOGIN[1]}, base_url=f"{scheme}://mcal.example")
        assert ("Secure" in answer.headers["Set-Cookie"]) is (scheme == "https")
        assert ("Strict-Transport-Security" in answer.headers) is (scheme == "https")


def test_a_forged_cookie_is_no_session(client: FlaskClient) -> None:
    client.set_cookie("mcal_session", "eyJhY2NvdW50IjoiIn0.aaaa.bbbb")
    assert client.get("/campaigns").status_code == 303


def test_a_cookie_signed_by_sha_1_is_no_session(client: FlaskClient) -> None:
    log_in(client)
    ours, of_flask = (
        SecureCookieSessionInterface.get_signing_serializer(face, client.application)
        for face in (client.application.session_interface, SecureCookieSessionInterface())
    )
    cookie = client.get_cookie("mcal_session")
    assert ours is not None and of_flask is not None and cookie is not None
    client.set_cookie("mcal_session", of_flask.dumps(ours.loads(cookie.value)))
    assert client.get("/campaigns").status_code == 303


@pytest.mark.parametrize(
    ("path", "method"),
    [("/campaigns/1/actions/pause", "post"), ("/campaigns/1/settings", "post"), ("/logout", "post"), ("/api/v1/campaigns/1/pause", "post")],
)
@pytest.mark.parametrize("token", [None, "", "wrong"])
def test_a_session_alone_changes_nothing(world: World, client: FlaskClient, path: str, method: str, token: str | None) -> None:
    world.campaign()
    log_in(client)
    headers = {} if token is None else {"X-CSRF-Token": token}
    assert getattr(client, method)(path, headers=headers).status_code == 403
    assert world.kinds(1) == ["requested"] and client.get("/campaigns").status_code == 200


def test_a_session_with_its_token_does(world: World, client: FlaskClient) -> None:
    world.campaign()
    log_in(client)
    token = csrf_of(client, "/campaigns/1/actions/pause")
    assert client.post("/campaigns/1/actions/pause", data={"csrf": token}).status_code == 303
    assert client.post("/api/v1/campaigns/1/resume", headers={"X-CSRF-Token": token}).get_json()["phase"] == "requested"
    assert world.kinds(1) == ["requested", "paused", "resumed"]
    assert world.store.events(1)[1].payload == {"by": "admin (page)"} and world.store.events(1)[2].payload["by"] == "admin (page)"


def test_programs_need_a_token_or_the_password_and_no_session(world: World) -> None:
    deps = world.deps()
    object.__setattr__(deps.desk, "admin", Admin(ADMIN.user, ADMIN.password_hash, "s", TOKEN))
    client = create_app(deps).test_client()
    world.campaign()
    for headers, auth, status in [
        ({"Authorization": f"Bearer {TOKEN}"}, None, 200),
        ({"Authorization": "Bearer wrong"}, None, 401),
        ({"Authorization": "Bearer "}, None, 401),
        ({"Authorization": "Digest x"}, None, 401),
        ({}, LOGIN, 200),
        ({}, ("admin", "wrong"), 401),
    ]:
        assert client.get("/api/v1/campaigns", headers=headers, auth=auth).status_code == status, (headers, auth)
    assert client.post("/api/v1/campaigns/1/pause", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert world.store.events(1)[-1].payload == {"by": "admin (api)"}


def test_without_a_token_configured_no_token_is_right(client: FlaskClient) -> None:
    for given in ("", "None", "x"):
        assert client.get("/api/v1/campaigns", headers={"Authorization": f"Bearer {given}"}).status_code == 401


def test_guessing_is_slowed_down_and_the_right_password_waits_too(client: FlaskClient) -> None:
    answers = [log_in(client, password="wrong").status_code for _ in range(throttle.FREE_TRIES + 1)]
    assert answers == [401] * throttle.FREE_TRIES + [429]
    assert log_in(client).status_code == 429
    refused = client.get("/api/v1/campaigns", auth=LOGIN)
    assert refused.status_code == 429 and int(refused.headers["Retry-After"]) > 0


def test_the_throttle_forgets_in_time_and_does_not_punish_others() -> None:
    now = [0.0]
    made = Throttle(lambda: now[0])

    def guess(address: str) -> None:
        with made.attempt(address):
            pass

    for _ in range(throttle.FREE_TRIES):
        guess("2001:db8::1")
    for neighbour in ("2001:db8::1", "2001:db8::2"):
        with pytest.raises(TooManyRequests, match="too many wrong passwords"):
            guess(neighbour)
    guess("2001:db8:0:1::1")
    now[0] = throttle.WINDOW_SECONDS + 1
    guess("2001:db8::1")


def test_guesses_at_the_same_time_get_no_more_tries_than_one_after_another() -> None:
    made, outcomes = Throttle(time.monotonic), []

    def guess() -> None:
        try:
            with made.attempt("a"):
                time.sleep(0.001)  # as hashing does, it lets the others come
            outcomes.append("judged")
        except TooManyRequests:
            outcomes.append("refused")

    threads = [threading.Thread(target=guess) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("judged") == throttle.FREE_TRIES


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "evil", "/a\nb"])
def test_the_login_leads_to_our_own_pages_only(client: FlaskClient, target: str) -> None:
    assert log_in(client, next=target).headers["Location"] == "/campaigns"


def test_the_login_leads_back_to_where_one_came_from(client: FlaskClient) -> None:
    assert log_in(client, next="/campaigns/1?x=1").headers["Location"] == "/campaigns/1?x=1"


def test_everything_comes_from_this_server_and_nothing_inline(world: World, client: FlaskClient) -> None:
    world.campaign()
    log_in(client)
    for path in ("/login", "/campaigns", "/campaigns/1", "/campaigns/1/report", "/campaigns/1/what-if", "/campaigns/1/settings"):
        answer = client.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy and "data:" not in policy
        assert "<script>" not in answer.text and "<style" not in answer.text and not re.search(r'\s(style|on\w+)="', answer.text), path
        for address in re.findall(r'(?:src|<link[^>]*href)="([^"]+)"', answer.text):
            assert address.startswith("/static/"), address
            with client.get(address) as found:
                assert found.status_code == 200 and "immutable" in found.headers["Cache-Control"]


def test_assets_are_ours_alone(client: FlaskClient) -> None:
    for name in ("..%2fapp.py", "app.py", "nothing.css", "%2e%2e/app.py"):
        assert client.get(f"/static/{name}").status_code == 404


# --- where the account comes from


def settings_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Any:
    monkeypatch.chdir(tmp_path)
    return server_settings(data_dir=tmp_path / "data", **more)


def test_the_first_start_on_loopback_makes_a_password_shows_it_once_and_keeps_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    settings = settings_of(tmp_path, monkeypatch)
    admin = admin_of(settings, tell=told.append)
    password = told[0].splitlines()[0].split()[-1]
    assert admin.knows("admin", password) and not admin.knows("admin", "x") and not admin.knows("root", password)
    kept = tmp_path / "data" / "admin-password"
    assert kept.stat().st_mode & 0o077 == 0 and password not in kept.read_text()
    again = admin_of(settings, tell=told.append)
    assert len(told) == 1 and again.knows("admin", password) and again.session_secret == admin.session_secret


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5"])
def test_a_server_others_can_reach_wants_a_password_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    with pytest.raises(InvalidValue, match="MCAL_ADMIN_PASSWORD"):
        admin_of(settings_of(tmp_path, monkeypatch, host=host), tell=pytest.fail)
    told: list[str] = []
    assert admin_of(settings_of(tmp_path, monkeypatch, host=host), tell=told.append, allow_open=True) and told


def test_a_password_may_be_given_as_text_or_as_a_hash_and_shows_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for given in ("open sesame", ADMIN.password_hash):
        settings = settings_of(tmp_path, monkeypatch, host="0.0.0.0", admin_password=given, public_url="https://mcal.example")
        admin = admin_of(settings, tell=pytest.fail)
        assert admin.knows("admin", "open sesame") and admin.secure_cookies
        assert admin_of(settings.model_copy(update={"page_url": "http://mcal.example"}), tell=pytest.fail).secure_cookies is False
        assert "sesame" not in repr(settings) + repr(admin) and ADMIN.password_hash not in repr(settings) + repr(admin)
