"""Label Studio's tokens, told apart by their form, and the webhook secret that is made once and kept."""

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
    "Personal Access Token, create one and put it there"
)
TOO_SHORT_LIVED = "MCAL_LABEL_STUDIO_TOKEN is an access token, which lives five minutes: use the personal access token it was made from"


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
