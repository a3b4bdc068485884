"""HTTP to one Label Studio: tokens, retries, and every refusal as a sentence that says what to do."""

from __future__ import annotations

import base64
import binascii
import json
import random
import threading
import time
from collections.abc import Generator, Mapping
from typing import Any

import httpx

from backend.label_studio.fence import before_request
from backend.label_studio.port import LabelStudioError

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})
TRY_AGAIN = frozenset({502, 503, 504})
_REFRESH_MARGIN = 30.0  # seconds before an access token runs out (it lives 300 s)
_HOW_TO_GET_ONE = (
    "In Label Studio open Account & Settings → Personal Access Token, create one and give it as MCAL_LABEL_STUDIO_TOKEN; "
    "a legacy token works only where the organization has legacy tokens enabled"
)


class TokenAuth(httpx.Auth):
    """Signs requests with a legacy token, or with the short-lived access tokens that a Personal Access Token buys. Thread-safe."""

    def __init__(self, base_url: str, token: str, transport: httpx.BaseTransport | None = None, timeout: float = 30.0) -> None:
        claims = _claims(token)
        if claims is not None and claims.get("token_type") == "access":
            raise LabelStudioError(f"the token is an access token, which lives 5 minutes. {_HOW_TO_GET_ONE}", retryable=False, status=401)
        if not token or not token.isascii() or any(character.isspace() for character in token):
            raise LabelStudioError(f"the token must be one word without spaces. {_HOW_TO_GET_ONE}", retryable=False, status=401)
        self._base_url = base_url
        self._token = token
        self._is_legacy = claims is None
        self._access = ""
        self._fresh_until = 0.0  # on the monotonic clock
        self._lock = threading.Lock()
        self._client = httpx.Client(transport=transport, timeout=timeout)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign; when Label Studio refuses an access token, get a new one and try once more."""
        if self._is_legacy:
            request.headers["Authorization"] = f"Token {self._token}"
            yield request
            return
        access = self._access_token()
        request.headers["Authorization"] = f"Bearer {access}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            request.headers["Authorization"] = f"Bearer {self._access_token(refused=access)}"
            yield request

    def close(self) -> None:
        """Close the connection used for refreshing."""
        self._client.close()

    def redact(self, text: str) -> str:
        """``text`` without any of the tokens in it."""
        for secret in (self._token, self._access):
            if secret:
                text = text.replace(secret, "…")
        return text

    def _access_token(self, refused: str | None = None) -> str:
        with self._lock:
            if self._access and self._access != refused and time.monotonic() < self._fresh_until:
                return self._access
            try:
                reply = self._client.post(f"{self._base_url}/api/token/refresh/", json={"refresh": self._token})
            except httpx.RequestError as error:  # an answer that cannot be unpacked is one too
                raise unreachable(self._base_url, error) from None
            if reply.status_code in (400, 401, 403):
                text = f"Label Studio at {self._base_url} refused the Personal Access Token: it is expired, revoked or another server's"
                raise LabelStudioError(f"{text}. {_HOW_TO_GET_ONE}", retryable=False, status=401)
            access = str(json_of(reply, self).get("access", ""))
            self._access = access
            expiry = (_claims(access) or {}).get("exp")
            lifetime = float(expiry) - time.time() if isinstance(expiry, int | float) else 300.0
            # Clocks of two machines may differ: never trust a lifetime above the usual 300 s, and always use a token at least a little.
            self._fresh_until = time.monotonic() + max(5.0, min(lifetime, 300.0) - _REFRESH_MARGIN)
            return access


class RetryingTransport(httpx.BaseTransport):
    """Repeats what may be repeated: refused connections always (nothing was sent), other failures only for idempotent methods."""

    def __init__(self, inner: httpx.BaseTransport, attempts: int = 3, first_pause: float = 0.3) -> None:
        self._inner = inner
        self._attempts = attempts
        self._first_pause = first_pause

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send, with a doubling pause between tries; read timeouts are not repeated, for the work may still go on."""
        for attempt in range(self._attempts):
            last = attempt == self._attempts - 1
            before_request(request.method)
            try:
                response = self._inner.handle_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if last:
                    raise
            except (httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError):
                if last or request.method not in IDEMPOTENT:
                    raise
            else:
                if last or response.status_code not in TRY_AGAIN or request.method not in IDEMPOTENT:
                    return response
                response.close()
            time.sleep(self._first_pause * 2**attempt * (0.5 + random.random()))  # noqa: S311 (spreads the tries, guards nothing)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


class Connection:
    """One Label Studio, one token. Every method raises :class:`LabelStudioError`."""

    def __init__(
        self, base_url: str, token: str, *, timeout: float = 60.0, transport: httpx.BaseTransport | None = None, first_pause: float = 0.3
    ) -> None:
        self.base_url = _checked_url(base_url)
        retrying = RetryingTransport(transport or httpx.HTTPTransport(limits=httpx.Limits(max_connections=32)), first_pause=first_pause)
        self.auth = TokenAuth(self.base_url, token, retrying)
        limits = httpx.Timeout(timeout, connect=min(timeout, 10.0))
        self.client = httpx.Client(base_url=self.base_url, auth=self.auth, transport=retrying, timeout=limits)

    def json(self, method: str, path: str, *, timeout: float | None = None, **request: Any) -> Any:
        """The decoded answer; None where it is empty."""
        try:
            response = self.client.request(method, path, timeout=httpx.USE_CLIENT_DEFAULT if timeout is None else timeout, **request)
        except httpx.RequestError as error:  # an answer that cannot be unpacked is one too
            raise unreachable(self.base_url, error) from None
        if not response.is_success:
            raise self.refusal(response.status_code, _detail(response), f"{method} {path}", response.headers)
        return json_of(response, self.auth) if response.content else None

    def refusal(self, status: int, detail: str, what: str, headers: Mapping[str, str] | None = None) -> LabelStudioError:
        """A status code as a sentence."""
        detail = self.auth.redact(detail)[:500]
        here = f"Label Studio at {self.base_url}"
        retryable = status in (408, 429) or status >= 500
        if status == 401:
            text = f"{here} refused the token ({detail}). {_HOW_TO_GET_ONE}"
        elif status == 403:
            text = f"{here} does not let this user do that: {what} ({detail}). Is the user a member of the project's organization?"
        elif status == 404:
            text = f"{here} does not know what was asked for: {what} ({detail})"
        elif status == 429:
            text = f"{here} asks for fewer requests: {what} ({detail})"
        elif 300 <= status < 400:
            text = f"{here} sends us on to {(headers or {}).get('location', 'another address')}: give that address instead"
        else:
            text = f"{here} answered {status} to {what}: {detail}"
        return LabelStudioError(text, retryable=retryable, status=status)

    def close(self) -> None:
        """Close all connections."""
        self.client.close()
        self.auth.close()


def unreachable(base_url: str, error: httpx.RequestError) -> LabelStudioError:
    """No answer at all, or none that can be unpacked."""
    if isinstance(error, httpx.TimeoutException):
        return LabelStudioError(f"Label Studio at {base_url} did not answer in time ({type(error).__name__})", retryable=True)
    return LabelStudioError(f"Label Studio at {base_url} cannot be reached: {error or type(error).__name__}", retryable=True)


def json_of(response: httpx.Response, auth: TokenAuth) -> Any:
    """The decoded body of a success."""
    if not response.is_success:
        raise LabelStudioError(
            f"Label Studio answered {response.status_code} to {response.request.url.path}: {auth.redact(_detail(response))[:500]}",
            retryable=response.status_code >= 500 or response.status_code == 429,
            status=response.status_code,
        )
    try:
        return response.json()
    except (ValueError, RecursionError):
        kind = response.headers.get("content-type", "something")
        text = f"{response.request.url.path} answered with {kind} instead of JSON; is that the address of Label Studio?"
        raise LabelStudioError(text, retryable=False, status=response.status_code) from None


def _detail(response: httpx.Response) -> str:
    """Label Studio's own words about an error, or the kind of page that came instead."""
    try:
        body = response.json()
    except ValueError:
        return str(response.headers.get("content-type", "no body"))
    if not isinstance(body, Mapping):
        return json.dumps(body)
    return detail_of(body)


def detail_of(body: Mapping[str, Any]) -> str:
    """Label Studio's own words about an error."""
    detail = str(body.get("detail", "no detail"))
    return f"{detail}: {json.dumps(body['validation_errors'], ensure_ascii=False)}" if body.get("validation_errors") else detail


def _checked_url(url: str) -> str:
    parsed = httpx.URL(url.strip().rstrip("/"))
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise LabelStudioError(f"Label Studio's address must start with http:// or https://, got {url!r}", retryable=False)
    if parsed.userinfo:
        raise LabelStudioError("Label Studio's address must not hold a user name or password; give a token instead", retryable=False)
    return str(parsed)


def _claims(token: str) -> dict[str, Any] | None:
    """What a JWT says, unverified; None for any other text."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    return found if isinstance(found, dict) else None
