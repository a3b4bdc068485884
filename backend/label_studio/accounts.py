"""Accounts of one Label Studio, as a person handles them: log in, invite, sign up, get a token. Only for setting a backend up."""

from __future__ import annotations

from typing import Any, Self

import httpx

from backend.label_studio.port import LabelStudioError
from backend.label_studio.transport import RetryingTransport, unreachable

NO_TOKENS = (
    "Label Studio's organisation allows neither personal access tokens nor legacy tokens: allow one kind under Organization → API Tokens "
    "Settings"
)


class Session:
    """One browser's worth of cookies. Every method raises :class:`LabelStudioError`."""

    def __init__(self, url: str, *, timeout: float = 30.0, transport: httpx.BaseTransport | None = None) -> None:
        self._url = url
        # Over https Django wants to see where a form came from.
        self._client = httpx.Client(
            base_url=url, timeout=timeout, headers={"Referer": f"{url}/"}, transport=RetryingTransport(transport or httpx.HTTPTransport())
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def log_in(self, email: str, password: str) -> bool:
        """Whether Label Studio takes this address and password."""
        self._submit("/user/login/", {"email": email, "password": password})
        return self._logged_in()

    def sign_up(self, invitation: str, email: str, password: str) -> bool:
        """Make a member of the organisation that the invitation is from, and be logged in as such; ``False``: the form was refused."""
        self._submit(invitation, {"email": email, "password": password, "allow_newsletters": "false"})
        return self._logged_in()

    def invitation(self) -> str:
        """The path of the organisation's sign-up form."""
        return str(self._json("GET", "/api/invite")["invite_url"])

    def token(self) -> str:
        """A new personal access token, in place of an older one; a legacy token where the organisation allows no other kind."""
        allowed = self._json("GET", "/api/jwt/settings")
        if allowed.get("api_tokens_enabled", True):
            return self._personal_access_token()
        if allowed.get("legacy_api_tokens_enabled"):
            return str(self._json("GET", "/api/current-user/token")["token"])
        raise LabelStudioError(NO_TOKENS, retryable=False)

    def _personal_access_token(self) -> str:
        # A user has one at most, and it is shown once: one that nobody has kept is of no use to anybody.
        for row in self._json("GET", "/api/token/"):
            self._json("POST", "/api/token/blacklist/", {"refresh": row["token"]})
        return str(self._json("POST", "/api/token/", {})["token"])

    def _logged_in(self) -> bool:
        return self._send("GET", "/api/current-user/whoami").status_code == httpx.codes.OK

    def _submit(self, form: str, fields: dict[str, str]) -> None:
        page = self._send("GET", form)
        if page.is_error:
            raise LabelStudioError(
                f"Label Studio at {self._url} answered {page.status_code} for its form {form.partition('?')[0]}", retryable=False
            )
        self._send("POST", form, data=fields | {"csrfmiddlewaretoken": self._client.cookies.get("csrftoken", "")})

    def _json(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"X-CSRFToken": self._client.cookies.get("csrftoken", "")}
        reply = self._send(method, path, json=body, headers=headers)
        if reply.is_error:
            status = reply.status_code
            raise LabelStudioError(
                f"Label Studio at {self._url} answered {status} to {method} {path}", retryable=status >= 500, status=status
            )
        return reply.json() if reply.content else None

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **request)
        except httpx.TransportError as error:
            raise unreachable(self._url, error) from None
