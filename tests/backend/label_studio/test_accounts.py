"""Accounts of a Label Studio that keeps cookies and forms as the real one does; the real one is asked in tests/contracts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import httpx
import pytest

from backend.label_studio.accounts import Session
from backend.label_studio.port import LabelStudioError
from backend.setup.bootstrap import Inviter, make_token
from mcal_engine.errors import InvalidValue

URL = "http://label-studio.test"
INVITER = Inviter("admin@example.com", "admin's own")
SERVICE = "mcal@backend.localhost"


@dataclass
class Organisation:
    """Users with passwords and tokens; who is logged in is the value of the session cookie."""

    personal: bool = True
    legacy: bool = False
    passwords: dict[str, str] = field(default_factory=lambda: {INVITER.email: INVITER.password})
    tokens: dict[str, list[str]] = field(default_factory=dict)
    made: int = 0

    def session(self) -> Session:
        return Session(URL, transport=httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        cookies = dict(part.strip().split("=", 1) for part in request.headers.get("cookie", "").split(";") if "=" in part)
        who, path = cookies.get("sessionid", ""), request.url.path
        if path in ("/user/login/", "/user/signup/"):
            return self.form(request, path)
        if not who:
            return httpx.Response(401)
        if request.method == "POST":
            assert request.headers["x-csrftoken"] == cookies["csrftoken"] == "form"
        if path == "/api/token/" and request.method == "POST":
            if self.tokens.get(who):
                return httpx.Response(409, json={"detail": "You already have a valid token."})
            self.made += 1
            self.tokens[who] = [f"pat-{self.made}"]
            return httpx.Response(201, json={"token": f"pat-{self.made}"})
        if path == "/api/token/blacklist/":
            self.tokens[who].remove(json.loads(request.content)["refresh"])
            return httpx.Response(204)
        answers = {
            "/api/current-user/whoami": {"email": who},
            "/api/invite": {"invite_url": "/user/signup/?token=organisation"},
            "/api/jwt/settings": {"api_tokens_enabled": self.personal, "legacy_api_tokens_enabled": self.legacy},
            "/api/token/": [{"token": token} for token in self.tokens.get(who, [])],
            "/api/current-user/token": {"token": f"legacy of {who}"},
        }
        return httpx.Response(200, json=answers[path])

    def form(self, request: httpx.Request, path: str) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, headers={"set-cookie": "csrftoken=form; Path=/"})
        fields = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        assert fields["csrfmiddlewaretoken"] == "form"
        email, password = fields["email"], fields["password"]
        if path == "/user/signup/" and request.url.params["token"] == "organisation" and email not in self.passwords:
            self.passwords[email] = password
        elif path == "/user/signup/" or self.passwords.get(email) != password:
            return httpx.Response(200)
        return httpx.Response(302, headers={"set-cookie": f"sessionid={email}; Path=/", "location": "/projects/"})


def test_the_first_run_signs_the_user_up_and_the_second_only_makes_another_token() -> None:
    there = Organisation()
    assert make_token(there.session, SERVICE, INVITER) == ("pat-1", True)
    assert make_token(there.session, SERVICE, INVITER) == ("pat-2", False)
    assert there.tokens == {SERVICE: ["pat-2"]}, "the old one, which nobody has, is revoked"
    assert INVITER.password not in there.passwords[SERVICE]


def test_a_legacy_token_is_taken_where_no_other_kind_is_allowed() -> None:
    assert make_token(Organisation(personal=False, legacy=True).session, SERVICE, INVITER)[0] == f"legacy of {SERVICE}"


def test_an_organisation_without_tokens_says_where_to_allow_them() -> None:
    with pytest.raises(LabelStudioError, match="API Tokens Settings"):
        make_token(Organisation(personal=False).session, SERVICE, INVITER)


def test_a_wrong_admin_password_is_told_without_being_shown() -> None:
    with pytest.raises(InvalidValue, match=r"does not know admin@example\.com") as refused:
        make_token(Organisation().session, SERVICE, Inviter(INVITER.email, "hush-hush"))
    assert "hush-hush" not in str(refused.value)


def test_a_user_made_under_another_password_is_not_guessed_at() -> None:
    there = Organisation(passwords={INVITER.email: INVITER.password, SERVICE: "another"})
    with pytest.raises(InvalidValue, match="there probably is such a user"):
        make_token(there.session, SERVICE, INVITER)


def test_a_label_studio_that_is_away_is_an_error_for_people() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("silence", request=request)

    with Session(URL, transport=httpx.MockTransport(away)) as session, pytest.raises(LabelStudioError, match="did not answer in time"):
        session.log_in("a@example.com", "b")
