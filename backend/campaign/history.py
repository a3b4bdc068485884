"""The store's rows as events and back: the one place where a history is JSON. Old rows load; unknown kinds are refused."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Generic, Protocol, TypeVar, overload

from pydantic import TypeAdapter, ValidationError

from backend.campaign.events import Happening
from backend.store import Event, NewEvent
from mcal_engine.errors import HistoryError, MCALError

E_co = TypeVar("E_co", bound=Happening, covariant=True)
A = TypeVar("A", bound=Happening)
B = TypeVar("B", bound=Happening)
C = TypeVar("C", bound=Happening)


@dataclass(frozen=True, slots=True)
class Entry(Generic[E_co]):
    """One line of a campaign's history: what happened, when, and its place (1, 2, 3 …)."""

    seq: int
    at: datetime
    event: E_co


class HasEvents(Protocol):
    """The part of the store that a history is read from."""

    def events(self, campaign_id: int, *, after: int = 0, kinds: Collection[str] | None = None) -> list[Event]: ...


def new(event: Happening) -> NewEvent:
    """The row that is to be appended."""
    return NewEvent(event.kind, _adapter(event.kind).dump_python(event, mode="json"))


def entry(row: Event) -> Entry[Happening]:
    """What a row says.

    Raises:
        HistoryError: its kind is none that this version knows, or a part of it is missing or of another type.
    """
    if row.kind not in Happening.kinds:
        raise HistoryError(f"event {row.seq} has the kind {row.kind!r}, which this version does not know: it was written by a newer one")
    try:
        return Entry(row.seq, row.created_at, _adapter(row.kind).validate_python(row.payload))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        part = ".".join(str(name) for name in first["loc"])
        raise HistoryError(f"event {row.seq} of kind {row.kind!r} cannot be read: {part or 'it'}: {first['msg']}") from None


def entries(rows: Iterable[Event]) -> tuple[Entry[Happening], ...]:
    return tuple(entry(row) for row in rows)


@overload
def read(store: HasEvents, campaign_id: int, one: type[A], /) -> list[Entry[A]]: ...
@overload
def read(store: HasEvents, campaign_id: int, one: type[A], other: type[B], /) -> list[Entry[A | B]]: ...
@overload
def read(store: HasEvents, campaign_id: int, one: type[A], other: type[B], third: type[C], /) -> list[Entry[A | B | C]]: ...
def read(store: HasEvents, campaign_id: int, /, *types: type[Happening]) -> Sequence[Entry[Happening]]:
    """The events of these types, in order: a few of a history, where the rest is not needed."""
    return [entry(row) for row in store.events(campaign_id, kinds=tuple(found.kind for found in types))]


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Whatever breaks within the block makes ``what`` unreadable, with the reason: damage to one campaign stays that campaign's.

    Raises:
        HistoryError: in place of anything that is no MCALError.
    """
    try:
        yield
    except MCALError:
        raise
    except Exception as error:
        found = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise HistoryError(f"{what} cannot be read: it contradicts the rest ({found})") from error


@cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(Happening.kinds[kind])
