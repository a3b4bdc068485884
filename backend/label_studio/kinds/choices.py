"""``Choices``: one of a list, or with ``choice="multiple"`` any number of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element

from backend.label_studio.kinds.tags import attribute, is_meant, outermost, said, says_yes
from mcal_engine.errors import InvalidValue


class Choices:
    """See :class:`backend.label_studio.kinds.Kind`."""

    tag = "choices"

    def choices(self, tag: Element) -> tuple[str, ...]:
        """The values as they appear in results: the alias where there is one. What is inside a choice is offered with allowNested only."""
        name = tag.get("name", "")
        if attribute(tag, "value").startswith("$"):
            raise InvalidValue(
                f"Choices {name!r} must list its choices in the label config, got value={attribute(tag, 'value')!r} (task data)"
            )
        if says_yes(tag, "allowNested"):
            raise InvalidValue(
                f'Choices {name!r} must list its choices on one level, got allowNested="true" (nested choices): use a Taxonomy for a tree'
            )
        choices = tuple(said(each) for each in outermost(tag))
        if "" in choices:
            raise InvalidValue(f"Choices {name!r} has a Choice without a value")
        return choices

    def several(self, tag: Element) -> bool:
        """Unless ``choice="multiple"``, one."""
        return attribute(tag, "choice") == "multiple"

    def at_most(self, tag: Element) -> int | None:
        """Label Studio knows no such number here."""
        return None

    def meant(self, tag: Element, word: str) -> Sequence[str]:
        """Label Studio takes the value or the alias."""
        return [said(each) for each in outermost(tag) if is_meant(each, word)]

    def read(self, answer: Any) -> list[str]:
        """Label Studio also takes one text where its own editor sends a list."""
        return [answer] if isinstance(answer, str) else [str(each) for each in answer] if isinstance(answer, list) else []

    def write(self, chosen: Sequence[str]) -> Any:
        """A list, also of one."""
        return list(chosen)


CHOICES = Choices()
