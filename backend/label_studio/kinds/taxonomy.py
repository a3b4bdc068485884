"""``Taxonomy``: paths of a tree; any number of them, or as many as ``maxUsages`` says. A choice is a path, written ``Animal / Bird``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from backend.label_studio.kinds.tags import attribute, is_meant, outermost, said, says_yes
from mcal_engine.errors import InvalidValue

BETWEEN = " / "


class Taxonomy:
    """See :class:`backend.label_studio.kinds.Kind`."""

    tag = "taxonomy"

    def choices(self, tag: Element) -> tuple[str, ...]:
        """All paths, or those that end at a leaf with ``leafsOnly``."""
        name = tag.get("name", "")
        for source, what in (("apiUrl", "an address"), ("value", "the tasks' data")):
            if attribute(tag, source):
                raise InvalidValue(
                    f"Taxonomy {name!r} reads its tree from {what} ({source}={attribute(tag, source)!r}), and a campaign needs one tree "
                    "for all tasks: list it with Choice tags in the label config"
                )
        if says_yes(tag, "labeling"):
            raise InvalidValue(f'Taxonomy {name!r} marks regions (labeling="true"), and a campaign labels whole items: take labeling off')
        leaves = says_yes(tag, "leafsOnly")
        paths = [path for path, inner in _paths(tag, ()) if not (leaves and inner)]
        for path in paths:
            for part in path:
                if not part:
                    raise InvalidValue(f"Taxonomy {name!r} has a Choice without a value")
                if BETWEEN in part:
                    raise InvalidValue(
                        f"Taxonomy {name!r} has the choice {part!r}, and {BETWEEN!r} stands between the parts of a path: write it otherwise"
                    )
        return tuple(BETWEEN.join(path) for path in paths)

    def several(self, tag: Element) -> bool:
        """Unless ``maxUsages="1"``, any number."""
        return attribute(tag, "maxUsages") != "1"

    def at_most(self, tag: Element) -> int | None:
        """``maxUsages``; what is no whole number from 1 on sets no bound."""
        most = attribute(tag, "maxUsages")
        return int(most) if most.isascii() and most.isdigit() and int(most) > 1 else None

    def meant(self, tag: Element, word: str) -> Sequence[str]:
        """Every path that ends with this value or alias."""
        known = {said(each) for each in tag.iter() if is_meant(each, word)}
        return [BETWEEN.join(path) for path, _ in _paths(tag, ()) if path[-1] in known]

    def read(self, answer: Any) -> list[str]:
        """A list of paths; a path is a list of its parts."""
        if not isinstance(answer, list):
            return []
        return [BETWEEN.join(map(str, path)) if isinstance(path, list) else str(path) for path in answer]

    def write(self, chosen: Sequence[str]) -> Any:
        """A list of paths."""
        return [path.split(BETWEEN) for path in chosen]


def _paths(tag: Element, before: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Each path below a tag with whether others go on from it, in the order of the tags."""
    for choice in outermost(tag):
        path = (*before, said(choice))
        below = list(_paths(choice, path))
        yield path, bool(below)
        yield from below


TAXONOMY = Taxonomy()
