"""The kinds of controls that a campaign can label with. One more kind is one more file here, and its line in :data:`KINDS`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from xml.etree.ElementTree import Element

from backend.label_studio.kinds.choices import CHOICES
from backend.label_studio.kinds.rating import RATING
from backend.label_studio.kinds.taxonomy import TAXONOMY


class Kind(Protocol):
    """One kind of control: what its tag asks, and how its answers stand in Label Studio's results.

    A result of it has the type ``tag``, and its value holds the answer under that same word.
    """

    @property
    def tag(self) -> str:
        """The tag's name in lower case, as Label Studio reads tags."""

    def choices(self, tag: Element) -> tuple[str, ...]:
        """What may be chosen, in the order of the tag.

        Raises:
            InvalidValue: a form of this tag that no campaign labels, with the way out.
        """

    def several(self, tag: Element) -> bool:
        """Whether more than one may be chosen."""

    def at_most(self, tag: Element) -> int | None:
        """How many may be chosen where several may; ``None``: any number."""

    def meant(self, tag: Element, word: str) -> Sequence[str]:
        """The choices that ``word`` means in the ``whenChoiceValue`` of another tag."""

    def read(self, answer: Any) -> list[str]:
        """The choices in a result's value; ``[]`` where it has another form."""

    def write(self, chosen: Sequence[str]) -> Any:
        """Those choices as a result's value."""


KINDS: Mapping[str, Kind] = {kind.tag: kind for kind in (CHOICES, TAXONOMY, RATING)}
