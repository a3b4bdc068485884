"""A number and its noun, as every sentence says them."""

from __future__ import annotations

_IRREGULAR = {"person": "people"}
_VERBS = {"are": "is", "were": "was", "have": "has", "do": "does"}
_SIBILANTS = ("s", "x", "z", "ch", "sh")


def noun(n: float, one: str) -> str:
    """The noun alone in the number of ``n``: ``label`` or ``labels``; of ``one``'s words only the last one changes."""
    before, _, last = one.rpartition(" ")
    if n == 1:
        return one
    if last in _IRREGULAR:
        many = _IRREGULAR[last]
    elif last.endswith(_SIBILANTS):
        many = f"{last}es"
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        many = f"{last[:-1]}ies"
    else:
        many = f"{last}s"
    return f"{before} {many}".lstrip()


def verb(n: float, many: str) -> str:
    """The verb in the number of ``n``; ``many``: as it stands after several, such as ``are``, ``have`` or ``count``."""
    return many if n != 1 else _VERBS.get(many, f"{many}s")


def counted(n: int, one: str, many: str = "") -> str:
    """``1 label``, ``2,000 labels``, and with the verb ``many`` ``0 labels are``."""
    return f"{n:,} {noun(n, one)}{f' {verb(n, many)}' if many else ''}"


def counted_of(n: int, whole: int, one: str, many: str = "") -> str:
    """``1 of 20 labels``, and with the verb ``many``, which goes with ``n``, ``1 of 20 labels is``."""
    return f"{n:,} of {counted(whole, one)}{f' {verb(n, many)}' if many else ''}"
