"""A worker may die anywhere. Whoever comes next ends up with the same ledger: nothing doubled, nothing lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backend.services.kills import Snapshot, advance_until
from tests.backend.services.world import World


def moments(world: World) -> Iterator[Snapshot]:
    """The moments before each advance of a campaign, with everything that people do in between."""
    for _ in range(40):
        before = Snapshot.of(world)
        yield before
        before.restore(world)
        before.close()
        if world.advance().ended:
            return
        world.label()
    raise AssertionError("the campaign does not end")


def die_everywhere(world: World, stride: int) -> list[str]:
    """Die after every ``stride``-th change of every advance; returns after which."""
    died: list[str] = []
    for first, before in enumerate(moments(world)):
        changes = advance_until(world, None).n
        expected, annotations = world.ledger(), sorted(world.machine_annotations())
        for at in range(first % stride, changes + 1, stride):
            before.restore(world)
            counter = advance_until(world, at)
            world.advance()
            died.append(counter.names[at - 1] if at else "nothing")
            assert world.ledger() == expected, f"died after change {at}: {died[-1]}"
            assert sorted(world.machine_annotations()) == annotations, f"died after change {at}: {died[-1]}"
    report = world.state().report
    assert report is not None and report["n_machine"] > 0
    return died


def test_a_worker_that_dies_here_and_there_changes_nothing(tmp_path: Path) -> None:
    died = die_everywhere(World(tmp_path, n=205, test_size=20, batch_size=10, target_error=0.1), stride=9)
    assert len(died) > 8


@pytest.mark.slow
def test_a_worker_that_dies_after_any_change_changes_nothing(tmp_path: Path) -> None:
    died = die_everywhere(World(tmp_path, n=220, test_size=20, batch_size=10, target_error=0.1), stride=1)
    assert {"trainer", "store.append", "label_studio.predictions_to_annotations", "store.set_machine_labels"} <= set(died)
