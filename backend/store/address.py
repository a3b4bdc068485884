"""One spelling for each address of a Label Studio."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


def same_address(url: str) -> str:
    """``url`` as every spelling of it comes out: no default port, small letters, no slash or dot at the end, one name for this machine.

    What is no address comes out as it is.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return url.rstrip("/")
    if not host:
        return url.rstrip("/")
    if _is_this_machine(host):
        host = "localhost"
    elif ":" in host:
        host = f"[{host}]"
    shown = "" if port is None or port == _PORTS.get(parts.scheme) else f":{port}"
    return f"{parts.scheme}://{host}{shown}{parts.path.rstrip('/')}"


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
