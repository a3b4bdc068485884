"""What a new installation needs in Label Studio: a user of the backend's own, and a token that lets the backend act as this user."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from backend.label_studio.accounts import Session
from backend.label_studio.port import LabelStudioError
from mcal_engine.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Inviter:
    """A member of the organisation, who invites the backend's own user."""

    email: str
    password: str = field(repr=False)


def make_token(new_session: Callable[[], Session], email: str, inviter: Inviter) -> tuple[str, bool]:
    """A new token of the user ``email``, who is invited and signed up first unless there.

    The user's password is derived from the inviter's, so that it need not be kept and a lost token can be replaced.

    Returns:
        The token, and whether the user is new.

    Raises:
        InvalidValue: the inviter's password is wrong, or the user is there with another password; the text says what to do.
        LabelStudioError: Label Studio does not answer, or allows no tokens.
    """
    password = _derived_password(inviter, email)
    with new_session() as session:
        if session.log_in(email, password):
            return session.token(), False
    with new_session() as session:
        if not session.log_in(inviter.email, inviter.password):
            raise InvalidValue(
                f"Label Studio does not know {inviter.email} with the password in LABEL_STUDIO_PASSWORD: correct the two, or make a user "
                "for this backend by hand and set MCAL_LABEL_STUDIO_TOKEN to its token"
            )
        invitation = session.invitation()
    with new_session() as session:
        if not session.sign_up(invitation, email, password):
            raise InvalidValue(
                f"Label Studio does not sign {email} up: there probably is such a user, made while LABEL_STUDIO_PASSWORD was another one. "
                "Log in as that user and set MCAL_LABEL_STUDIO_TOKEN to its token, or name another one with MCAL_SERVICE_EMAIL"
            )
        return session.token(), True


def refused(ask: Callable[[], object]) -> bool:
    """Whether Label Studio refuses this token for good. Raises LabelStudioError where it cannot be asked."""
    try:
        ask()
    except LabelStudioError as error:
        if error.status in (401, 403):
            return True
        raise
    return False


def _derived_password(inviter: Inviter, email: str) -> str:
    digest = hmac.digest(inviter.password.encode(), f"mcal service user {email.lower()}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
