"""What an Image, Text or HyperText tag's ``value`` leads to in a task's data, as Label Studio's editor resolves it.

``$image`` is a field, ``$photo.url`` and ``$images[0]`` are paths, and any other text holds such references in it, as in
``https://photos.example.org/$name``. A field whose own name is ``photo.url`` comes before the path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_REFERENCE = re.compile(r"\$[\w\[\].{}]+", re.ASCII)  # the editor's own pattern
_FIELD = re.compile(r"\$[^\s$/]+")  # also names that the editor's pattern cuts short, such as $my-image
_STEP = re.compile(r"[^.\[\]]+")


def data_key_of(value: str) -> str | None:
    """The data key that stands for a tag's value: a field or path without its ``$``, or a text with references; ``None`` without any."""
    plain = value.strip()
    if _FIELD.fullmatch(plain):
        return plain[1:]
    return plain if _REFERENCE.search(plain) else None


def images_in(data: Mapping[str, Any], data_key: str) -> list[str]:
    """The images that a task's data names: none, one, or several where the field is a list of them.

    Blanks around one do not count, as in a browser.
    """
    if "$" not in data_key:
        found = _at(data, data_key)
        texts = [each.strip() for each in (found if isinstance(found, list) else [found]) if isinstance(each, str)]
        return [text for text in texts if text]
    missing = False

    def resolved(match: re.Match[str]) -> str:
        nonlocal missing
        found = _at(data, match[0][1:])
        missing = missing or not isinstance(found, str | int)
        return str(found)

    text = _REFERENCE.sub(resolved, data_key).strip()
    return [] if missing or not text else [text]


def text_in(data: Mapping[str, Any], data_key: str) -> str:
    """The text that a task's data holds for a Text or HyperText tag; "" where there is none. Numbers are shown as they are written."""
    if "$" not in data_key:
        found = _at(data, data_key)
        return str(found) if isinstance(found, str | int | float) and not isinstance(found, bool) else ""

    def resolved(match: re.Match[str]) -> str:
        part = _at(data, match[0][1:])
        return str(part) if isinstance(part, str | int | float) else ""

    return _REFERENCE.sub(resolved, data_key) if any(resolved(match) for match in _REFERENCE.finditer(data_key)) else ""


def _at(data: Mapping[str, Any], path: str) -> Any:
    """The field named ``path``, or else what lies at the end of that path; ``None`` where it leads nowhere."""
    if path in data:
        return data[path]
    found: Any = data
    for step in _STEP.findall(path):
        if isinstance(found, Mapping):
            found = found.get(step)
        elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found
