"""Style sheets, scripts and plotly.js, all from this server and under names that change with their content."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import re
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, request, url_for
from werkzeug.exceptions import NotFound

STATIC = Path(__file__).parent / "static"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
PLOTLY = "plotly.min.js"
FOREVER = "public, max-age=31536000, immutable"


@cache
def content(name: str) -> tuple[bytes, str]:
    """A file's bytes and their fingerprint. Raises NotFound for a name that is not ours."""
    path = _plotly() if name == PLOTLY else STATIC / name
    if "/" in name or path.suffix not in TYPES or not path.is_file():
        raise NotFound(f"there is no file {name}")
    raw = path.read_bytes()
    return raw, hashlib.sha256(raw).hexdigest()[:16]


@cache
def gzipped(name: str) -> bytes:
    """For plotly.js this takes a while: no page waits for it, only who fetches the file first."""
    return gzip.compress(content(name)[0], 6, mtime=0)


def asset(name: str) -> str:
    """The address of a file, for templates."""
    return url_for("assets.serve", name=name, v=content(name)[1])


@cache
def plotly_style_id() -> str:
    """Some of plotly.js's map code adds a style sheet to every page, which our policy refuses, unless an element has this id."""
    found = re.search(rb'document\.getElementById\("([0-9a-f]{64})"\)', content(PLOTLY)[0])
    return found.group(1).decode() if found else "plotly"


def blueprint() -> Blueprint:
    made = Blueprint("assets", __name__)

    @made.get("/static/<name>")
    def serve(name: str) -> Response:
        raw, _ = content(name)
        zipped = "gzip" in request.headers.get("Accept-Encoding", "")
        answer = Response(gzipped(name) if zipped else raw, mimetype=TYPES[Path(name).suffix])
        if zipped:
            answer.headers["Content-Encoding"] = "gzip"
        answer.headers["Vary"] = "Accept-Encoding"
        answer.headers["Cache-Control"] = FOREVER if request.args.get("v") else "no-cache"
        return answer

    return made


def _plotly() -> Path:
    """plotly.js as the ``plotly`` package ships it; the package itself is not imported."""
    found = importlib.util.find_spec("plotly")
    places = [] if found is None else list(found.submodule_search_locations or [])
    if not places:
        raise NotFound("the package plotly is not installed")
    return Path(places[0]) / "package_data" / PLOTLY
