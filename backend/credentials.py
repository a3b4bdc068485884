"""Label Studio's tokens, told apart by their form; secrets that are made once and kept; placeholders that are none."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import secrets
from pathlib import Path

HOW_TO_LOG_IN = (
    "MCAL_LABEL_STUDIO_TOKEN is not set: log in to Label Studio as a user made for this backend alone, open Account & Settings → "
    "Personal Access Token, create one and put it there; or let mcal bootstrap make user and token"
)
TOO_SHORT_LIVED = "MCAL_LABEL_STUDIO_TOKEN is an access token, which lives five minutes: use the personal access token it was made from"

_PLACEHOLDER = re.compile(
    r"change[-_ ]?(me|this)|replace[-_ ]?(me|this|with)|placeholder|your[-_ ]?(password|secret|token)|^<.*>$|^\.{3}$|^…$", re.IGNORECASE
)


def is_placeholder(secret: str) -> bool:
    """Whether this is what an example file says instead of a secret."""
    return _PLACEHOLDER.search(secret.strip()) is not None


def bare_token(text: str) -> str:
    """The token itself, where a whole ``Authorization`` header was pasted."""
    return re.sub(r"^(authorization:\s*)?((token|bearer)\s+)?", "", text.strip(), flags=re.IGNORECASE)


def is_access_token(token: str) -> bool:
    """Whether this is the short-lived kind. JSON web tokens say so in their middle part; legacy tokens have no parts."""
    parts = token.split(".")
    if len(parts) != 3:
        return False
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return False
    return isinstance(claims, dict) and claims.get("token_type") == "access"


def kept_secret(path: Path) -> str:
    """The secret in this file; made on the first call, readable by this user only."""
    if not path.exists():
        keep(path, secrets.token_urlsafe(32))
    return path.read_text().strip()


def keep(path: Path, text: str) -> bool:
    """Write a file that only this user can read, unless there is one already. Returns whether it was this call that wrote it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written whole under another name, then linked: of processes that start together one wins, and all read the same.
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def keep_token(path: Path, label_studio_url: str, token: str) -> None:
    """Keep the token of this Label Studio's service user, readable by this user only; an older one is forgotten."""
    path.unlink(missing_ok=True)
    keep(path, json.dumps({"label_studio_url": label_studio_url, "token": token}))


def kept_token(path: Path, label_studio_url: str) -> str | None:
    """The token that :func:`keep_token` kept for this Label Studio; ``None`` if there is none, or it is another one's."""
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    token = found.get("token") if isinstance(found, dict) and found.get("label_studio_url") == label_studio_url else None
    return token if isinstance(token, str) else None
