"""A worker may die anywhere, Label Studio may go away or lose a reply at any call. What follows ends up with the same ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend.label_studio.port import LabelStudioError
from tests.backend.kills import READS, Snapshot, advance_until, lapse
from tests.backend.several_questions import SeveralQuestions
from tests.backend.world import World

pytestmark = pytest.mark.slow

Accident = Callable[[World, int], str]


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


def strike_everywhere(world: World, accident: Accident, stride: int) -> list[str]:
    """Let the accident happen at every ``stride``-th place of every advance; returns where it did."""
    struck: list[str] = []
    for first, before in enumerate(moments(world)):
        advance_until(world, None)
        expected, annotations = world.ledger(), sorted(world.machine_annotations())
        for at in range(first % stride, 10_000, stride):
            before.restore(world)
            where = accident(world, at)
            if not where:
                break
            world.fresh_services()
            world.advance()
            struck.append(where)
            assert world.ledger() == expected, f"struck at {at}: {where}"
            assert sorted(world.machine_annotations()) == annotations, f"struck at {at}: {where}"
    report = world.state().report
    assert report is not None and report["n_machine"] > 0
    return struck


def die(world: World, at: int) -> str:
    """The worker dies after its ``at``-th change."""
    names = advance_until(world, at).names
    return "the start" if at == 0 else names[at - 1] if at <= len(names) else ""


def go_away(world: World, at: int) -> str:
    """Label Studio answers ``at`` calls and then no more; later it is back."""
    return _with_calls(world, at, lambda: setattr(world.label_studio, "down", True))


def lose_a_reply(world: World, at: int) -> str:
    """Label Studio does what it is asked in its ``at``-th call, and its answer gets lost."""
    return _with_calls(world, at, lambda: world.label_studio.fail(after_effect=True), changes_only=True)


def _with_calls(world: World, at: int, strike: Callable[[], None], *, changes_only: bool = False) -> str:
    seen: list[str] = []

    def before(method: str) -> None:
        if changes_only and method in READS:
            return
        seen.append(method)
        if len(seen) == at + 1:
            strike()

    world.label_studio.before = before
    try:
        world.advance()
    except LabelStudioError:
        return seen[at]
    finally:
        world.label_studio.before, world.label_studio.down = None, False
        lapse(world)
    return ""


def small(tmp_path: Path) -> World:
    return World(tmp_path, n=205, test_size=20, batch_size=10, target_error=0.1, overlap_share=0.3)


def test_dying_here_and_there_changes_nothing(tmp_path: Path) -> None:
    assert len(strike_everywhere(small(tmp_path), die, stride=43)) >= 3


@pytest.mark.parametrize("accident", [die, go_away, lose_a_reply])
def test_accidents_anywhere_change_nothing(tmp_path: Path, accident: Accident) -> None:
    struck = set(strike_everywhere(small(tmp_path), accident, stride=1))
    written = "predictions_to_annotations"
    assert {"label_studio.set_overlap", "set_overlap"} & struck
    assert {f"label_studio.{written}", "trainer", "store.append", "store.set_machine_labels"} <= struck or written in struck


def test_dying_changes_nothing_where_answers_become_classes_on_the_way(tmp_path: Path) -> None:
    world = SeveralQuestions(tmp_path, n=205, test_size=20, batch_size=10, target_error=0.1, overlap_share=0.3)
    advance_until(world, None)
    world.label(3)
    before, expected = Snapshot.of(world), None
    for at in (None, *range(12)):  # the visit that reads the first answers: each is a class before a label has it
        before.restore(world)
        advance_until(world, at)
        world.fresh_services()
        world.advance()
        seen = (world.ledger(), world.state().choices)
        expected = expected or seen
        assert seen == expected and len(expected[1]) > 1, f"struck at {at}"
    before.close()
    assert len(strike_everywhere(world, die, stride=31)) >= 3
