from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from backend.campaign.state import State, derive
from backend.views.bands import drawn_in
from mcal_engine.types import Certify, LabelByMachine, PeelBatch
from tests.backend.campaign.golden.replay import Recording


def states() -> Iterator[State]:
    """Of a campaign that drew a sample and peeled, from the draw on."""
    for facts, now in Recording("peeled").facts():
        state = derive(facts, now)
        if state.bands is not None:
            yield state


def test_from_the_draw_to_the_end_every_item_has_one_part_and_the_machine_s_only_shrinks() -> None:
    machine: list[int] = []
    kinds: set[type] = set()
    for state in states():
        assert state.bands is not None
        one = drawn_in(state)
        half = state.bands.n_pool // 2
        two = drawn_in(replace(state, bands=replace(state.bands, n_sure=half, sample_sure=20, sample_unsure=state.bands.n_sample - 20)))
        assert [band["n"] for band in one] == [state.bands.n_pool] and [band["n"] for band in two] == [half, state.bands.n_pool - half]
        decided = isinstance(state.decision, LabelByMachine)
        for found in (one, two):
            assert all(band["certificate"] + band["machine"] + band["possible"] + band["people"] == band["n"] for band in found)
            assert all(min(band["certificate"], band["machine"], band["possible"], band["people"]) >= 0 for band in found)
            assert all(band["possible" if decided else "machine"] == 0 for band in found), "nothing is the machine's before it is decided"
        assert two[0]["people"] == 0 or two[1]["machine"] + two[1]["possible"] == 0, "the less sure end leaves first"
        machine += {sum(band["machine"] + band["possible"] for band in found) for found in (one, two)}
        kinds.add(type(state.decision))
        if isinstance(state.decision, LabelByMachine):
            assert machine[-1] == state.decision.n_machine
    assert kinds == {Certify, PeelBatch, LabelByMachine}
    assert machine == sorted(machine, reverse=True) and machine[-1] < machine[0]


def test_one_uniform_sample_has_no_bands_to_draw() -> None:
    for facts, now in Recording("two_looks").facts():
        assert drawn_in(derive(facts, now)) == []
