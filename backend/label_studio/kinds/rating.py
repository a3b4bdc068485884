"""``Rating``: a number of stars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element

from backend.label_studio.kinds.tags import attribute
from mcal_engine.errors import InvalidValue

STARS = 5  # where the tag does not say how many
MOST = 100


class Rating:
    """See :class:`backend.label_studio.kinds.Kind`."""

    tag = "rating"

    def choices(self, tag: Element) -> tuple[str, ...]:
        """``1`` to ``maxRating``."""
        given = attribute(tag, "maxRating") or str(STARS)
        if not given.isascii() or not given.isdigit() or not 2 <= int(given) <= MOST:
            raise InvalidValue(
                f"Rating {attribute(tag, 'name')!r} must have a whole number of stars from 2 to {MOST}, got maxRating={given!r}"
            )
        return tuple(str(stars) for stars in range(1, int(given) + 1))

    def several(self, tag: Element) -> bool:
        """Never."""
        return False

    def at_most(self, tag: Element) -> int | None:
        """One is chosen."""
        return None

    def meant(self, tag: Element, word: str) -> Sequence[str]:
        """Label Studio shows nothing by a number of stars."""
        return ()

    def read(self, answer: Any) -> list[str]:
        """A number, or as the API takes it too, its text. 0 stars is no answer."""
        stars = int(answer) if isinstance(answer, float) and answer.is_integer() else answer
        text = str(stars) if isinstance(stars, int | float | str) and not isinstance(stars, bool) else ""
        return [text] if text not in ("", "0") else []

    def write(self, chosen: Sequence[str]) -> Any:
        """A number."""
        return int(chosen[0])


RATING = Rating()
