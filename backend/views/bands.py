"""The bands of a certificate sample as a drawing shows them: who labels how many items of each. Pure."""

from __future__ import annotations

from typing import TypedDict

from backend.campaign.state import State
from mcal_engine.types import Certify, LabelByMachine, PeelBatch


class Band(TypedDict):
    """Of ``n`` items: ``certificate`` items, ``machine`` items, those that may be (``possible``) before it is decided, and ``people``'s."""

    name: str
    n: int
    certificate: int
    machine: int
    possible: int
    people: int


def drawn_in(state: State) -> list[Band]:
    """The surest items of the frozen order and the others, or all as one; empty where no such sample was drawn, or nothing came of it.

    What leaves the machine's items is counted from the less sure end, as the peel takes it. Before the sample is answered all of them
    may be the machine's: nobody can know yet which predictions are wrong.
    """
    bands, decision = state.bands, state.decision
    if bands is None:
        return []
    rest = bands.n_pool - bands.n_sample
    match decision:
        case Certify():
            machine = rest
        case PeelBatch(look=look):
            machine = rest - sum(row.n_asked for row in state.history if isinstance(row, PeelBatch) and row.look == look)
        case LabelByMachine(certified=True, n_machine=machine):
            pass
        case _:
            return []
    decided = isinstance(decision, LabelByMachine)
    if not bands.n_sure:
        return [_band("all that the machine might label", bands.n_pool, bands.n_sample, machine, decided)]
    surest = min(machine, bands.n_sure - bands.sample_sure)
    return [
        _band("the surest", bands.n_sure, bands.sample_sure, surest, decided),
        _band("the less sure", bands.n_pool - bands.n_sure, bands.sample_unsure, machine - surest, decided),
    ]


def _band(name: str, n: int, certificate: int, machine: int, decided: bool) -> Band:
    return Band(
        name=name,
        n=n,
        certificate=certificate,
        machine=machine if decided else 0,
        possible=0 if decided else machine,
        people=n - certificate - machine,
    )
