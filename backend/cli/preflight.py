"""What ``mcal bootstrap --check`` looks at before a deployment starts: slips that would else show minutes later, in another container."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping

from backend.campaign_settings import CampaignSettings, campaign_defaults
from backend.credentials import is_placeholder
from backend.settings import unknown_environment
from mcal_engine.errors import InvalidValue

SHORTEST = 8  # characters of a password, as in Label Studio's own form
IN_ADDRESSES = ("POSTGRES_PASSWORD", "LABEL_STUDIO_DATABASE_PASSWORD", "BACKEND_DATABASE_PASSWORD", "REDIS_PASSWORD")
PASSWORDS = ("LABEL_STUDIO_PASSWORD", "MCAL_ADMIN_PASSWORD", "MCAL_BASIC_AUTH_PASSWORD", *IN_ADDRESSES)
PROFILES = ("embedded", "gpu", "scale", "scale-gpu")
REACHABLE = ipaddress.IPv4Network("198.18.0.0/15")  # what docker-compose.yml lets Label Studio call, of the private networks


def preflight(environment: Mapping[str, str]) -> list[str]:
    """Look at the variables of ``.env`` as docker-compose.yml uses them; what is empty or absent has been judged there.

    Returns:
        A sentence for each variable that is probably a slip of the pen, and does no harm.

    Raises:
        InvalidValue: one text that names every bad variable and its rule, and no secret.
    """
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    findings = [*_passwords(given), *_names(given)]
    try:
        CampaignSettings.parse({"target_error": 0.05, "price_per_label": 0.04} | campaign_defaults(given))
    except InvalidValue as error:
        findings.append(f"defaults of new campaigns: {error}")
    if findings:
        raise InvalidValue("; ".join(findings))
    return unknown_environment(given)


def _passwords(given: Mapping[str, str]) -> Iterator[str]:
    for name in PASSWORDS:
        password = given.get(name, "")
        if is_placeholder(password):
            yield f"{name} still holds a placeholder: put a secret of your own there"
        elif password and len(password) < SHORTEST:
            yield f"{name} must have at least {SHORTEST} characters, has {len(password)}"
    for name in IN_ADDRESSES:
        if not re.fullmatch(r"[A-Za-z0-9]*", given.get(name, "")):
            yield f"{name} must be letters and digits only, since it is part of an address"
    shared = sorted(name for name in IN_ADDRESSES if given.get(name) and [given.get(each) for each in PASSWORDS].count(given[name]) > 1)
    if shared:
        yield f"{' and '.join(shared)} must differ from every other password: what one container knows must not open another one's data"


def _names(given: Mapping[str, str]) -> Iterator[str]:
    user = given.get("LABEL_STUDIO_USERNAME", "")
    if user and not re.fullmatch(r"[^@\s]+@[^@\s]+", user):
        yield f"LABEL_STUDIO_USERNAME must be an address such as admin@example.com, since Label Studio logs people in by it, got {user!r}"
    profiles = given.get("COMPOSE_PROFILES", PROFILES[0])
    if profiles not in PROFILES:
        yield f"COMPOSE_PROFILES must be one of {', '.join(PROFILES)}, got {profiles!r}"
    subnet = given.get("FRONT_SUBNET", str(REACHABLE))
    try:
        within = ipaddress.IPv4Network(subnet).subnet_of(REACHABLE)
    except ValueError:
        within = False
    if not within:
        yield f"FRONT_SUBNET must be a part of {REACHABLE}, the only private network that Label Studio may call, got {subnet!r}"
