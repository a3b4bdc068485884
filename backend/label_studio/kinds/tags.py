"""How Label Studio reads the tags of a labelling interface: names of attributes in any case."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element


def attribute(tag: Element, name: str) -> str:
    """The attribute's text, whatever the case of its name; "" where there is none."""
    found = tag.get(name)
    return found if found is not None else next((text for each, text in tag.attrib.items() if each.lower() == name.lower()), "")


def says_yes(tag: Element, name: str) -> bool:
    """Whether the attribute is ``true``."""
    return attribute(tag, name).lower() == "true"


def outermost(tag: Element) -> Iterator[Element]:
    """The ``Choice`` tags below a tag that are not inside another ``Choice``."""
    for child in tag:
        if child.tag.lower() == "choice":
            yield child
        else:
            yield from outermost(child)


def said(choice: Element) -> str:
    """What results hold of a ``Choice``: the alias where there is one."""
    return attribute(choice, "alias") or attribute(choice, "value")


def is_meant(choice: Element, word: str) -> bool:
    """Whether a ``whenChoiceValue`` means this ``Choice``: Label Studio takes value and alias."""
    return bool(word) and word in (attribute(choice, "value"), attribute(choice, "alias"))
