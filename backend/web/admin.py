"""Who may open the pages and the API: one user with a password that is only kept hashed, or a program with a token."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from werkzeug.security import check_password_hash, generate_password_hash

from backend.credentials import keep
from backend.settings import ServerSettings
from backend.web.ended_sessions import EndedSessions
from backend.web.server import is_loopback
from mcal_engine.errors import InvalidValue

logger = logging.getLogger(__name__)

HASHES = ("scrypt:", "pbkdf2:")
PASSWORD_FILE = "admin-password"  # noqa: S105 (a file's name; it holds a hash)
ENDED_FILE = "ended-sessions"


@dataclass(frozen=True, slots=True)
class Admin:
    """The one account of the pages.

    Attributes:
        user: its name.
        password_hash: by ``werkzeug.security``.
        session_secret: signs the session cookies.
        token: what programs send as a bearer token; ``None``: they log in with name and password.
        secure_cookies: whether browsers reach this server over https, whatever a request says.
        ended: sessions that were logged out.
    """

    user: str
    password_hash: str = field(repr=False)
    session_secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    secure_cookies: bool = False
    ended: EndedSessions = field(default_factory=lambda: EndedSessions(None, time.time), repr=False, compare=False)

    def knows(self, user: str, password: str) -> bool:
        """Takes the same time for a wrong name as for a wrong password."""
        right_user = hmac.compare_digest(user.encode(), self.user.encode())
        right_password = check_password_hash(self.password_hash, password)
        return right_user and right_password

    def knows_token(self, token: str) -> bool:
        return self.token is not None and hmac.compare_digest(token.encode(), self.token.encode())

    @property
    def fingerprint(self) -> str:
        """Goes into every session, so that a new password ends those that were opened with the old one."""
        return hashlib.sha256(f"{self.user}\n{self.password_hash}".encode()).hexdigest()[:16]


def admin_of(settings: ServerSettings, *, tell: Callable[[str], object], allow_open: bool = False) -> Admin:
    """The account that the settings describe.

    Without a password, and on loopback, one is made at the first start and given to ``tell``; only its hash is kept, in ``data_dir``.

    Raises:
        InvalidValue: there is no password, and other machines can reach the server.
    """
    return Admin(
        user=settings.admin_user,
        password_hash=_password_hash(settings, tell, allow_open),
        session_secret=settings.ensure_session_secret().get_secret_value(),
        token=None if settings.api_token is None else settings.api_token.get_secret_value(),
        secure_cookies=settings.pages.startswith("https://"),
        ended=EndedSessions(settings.data_dir / ENDED_FILE, time.time),
    )


def _password_hash(settings: ServerSettings, tell: Callable[[str], object], allow_open: bool) -> str:
    if settings.admin_password is not None:
        given = settings.admin_password.get_secret_value()
        return given if given.startswith(HASHES) else generate_password_hash(given)
    if not (is_loopback(settings.host) or allow_open):
        raise InvalidValue(
            f"host {settings.host!r} can be reached from other machines: set MCAL_ADMIN_PASSWORD, which opens the pages and the API, "
            "serve on 127.0.0.1, or allow it with --allow-open"
        )
    return _made_once(settings.data_dir / PASSWORD_FILE, settings, tell)


def _made_once(path: Path, settings: ServerSettings, tell: Callable[[str], object]) -> str:
    if not path.exists():
        password = secrets.token_urlsafe(12)
        if keep(path, generate_password_hash(password)):
            tell(
                f"The pages at {settings.pages}/campaigns open with user {settings.admin_user} and password {password}\n"
                f"It is shown this once; delete {path} to have another one made, or set MCAL_ADMIN_PASSWORD."
            )
    return path.read_text().strip()
