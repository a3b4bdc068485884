"""Simulated lives: a seed is one life, no life breaks an invariant, and mistakes that are built in are found."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from backend.cli import simtest as command
from backend.simtest import invariants
from backend.simtest.acts import ACTS
from backend.simtest.faults import FAULTS
from backend.simtest.life import Place
from backend.simtest.lives import Found, Violation, lives, some
from backend.simtest.mutations import MUTATIONS
from backend.simtest.plan import Incident, draw, undisturbed
from backend.simtest.runs import Run
from backend.simtest.scenes import SCENES
from mcal_engine.errors import InvalidValue

PAGE = Path(command.__file__).parent.parent / "docs" / "simulated-lives.md"


def test_a_seed_draws_the_same_plan_each_time_and_another_seed_another_one() -> None:
    assert draw(5) == draw(5) != replace(draw(6), seed=5)
    assert not draw(5).loose, "in every second life only faults happen"


def test_the_documents_say_each_invariant_each_incident_and_each_mutation() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert invariants.__doc__ is not None
    for words in re.findall(r"\*\*(.+?)\*\*", invariants.__doc__):
        assert words.rstrip(".") in text, words
    for name in [*FAULTS, *ACTS]:
        assert f"| {name} |" in text, name
    for name, mutation in MUTATIONS.items():
        assert f"`{name}`" in text and mutation.words in text, name


def test_runs_that_were_kept_are_counted_together_and_no_seed_twice(tmp_path: Path) -> None:
    place, broken = Place("collecting", "store.append", "death after"), Violation(draw(1001), ["9: a bill"], draw(1001), [])
    for name, first, struck, violations in (("a", 0, 2, []), ("b", 1000, 3, [broken])):
        run = Run([range(first, first + 1000)], "0.2.0", 1.5, Found(1000, 10, Counter({place: struck}), violations))
        run.write(tmp_path / name)
    run = Run.read(tmp_path / "a")
    run.add(Run.read(tmp_path / "b"))
    assert (run.seeds, run.minutes, run.found.lives, run.found.calls) == ("0 to 1,999", 3.0, 2000, 20)
    assert (run.found.struck, run.found.violations) == (Counter({place: 5}), [broken])
    page = command.matrix_page(run)
    assert "2,000 lives (seeds 0 to 1,999) with 20 calls and 5 incidents" in page and "1 of these lives broke an invariant" in page
    with pytest.raises(InvalidValue, match="each seed counts once, got 1000 twice"):
        run.add(Run.read(tmp_path / "b"))
    with pytest.raises(InvalidValue, match=r"add must name lives of version 0\.2\.0, got some of 0\.3\.0"):
        run.add(Run([range(5000, 5001)], "0.3.0"))
    (tmp_path / "c").write_text("{}")
    with pytest.raises(InvalidValue, match="add must name a file that mcal simtest --json has written"):
        Run.read(tmp_path / "c")


@pytest.mark.slow
def test_a_seed_replays_one_life_exactly() -> None:
    with lives() as many:
        for seed in (1, 2):
            first = many.live(draw(seed))
            between = many.live(draw(seed + 100))
            again = many.live(draw(seed))
            assert first.lines == again.lines != between.lines
            assert (first.ledger, first.struck, first.problems) == (again.ledger, again.struck, again.problems)


@pytest.mark.slow
def test_each_scene_comes_to_its_end_where_nothing_happens() -> None:
    with lives() as many:
        for scene in SCENES:
            outcome = many.live(undisturbed(scene))
            assert outcome.problems == [], scene
            assert outcome.ledger["phase"] == ("rolled_back" if "rolled-back" in scene else "finished")


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 50, 100, 150])
def test_two_hundred_lives_break_nothing(first: int) -> None:
    found = some(range(first, first + 50))
    assert [(broken.plan.seed, broken.problems, broken.shortest.incidents) for broken in found.violations] == []
    assert found.lives == 50


@pytest.mark.slow
@pytest.mark.parametrize(("name", "needed"), [("redraw", ()), ("trust-empty-list", ("empty list", "short list"))])
def test_a_mistake_that_is_built_in_is_found_and_what_shows_it_is_kept(name: str, needed: tuple[str, ...]) -> None:
    found = some(range(1000), mutation=name, first_only=True)
    (broken,) = found.violations
    kinds = [incident.kind for incident in broken.shortest.incidents]
    assert any(kind in needed for kind in kinds) if needed else kinds == []


@pytest.mark.slow
def test_what_has_no_part_in_a_violation_is_left_out_of_the_shortest_life() -> None:
    plan = replace(undisturbed("certified"), incidents=(Incident(10, "429", 1), Incident(120, "500", 2)))
    with lives() as many, pytest.MonkeyPatch.context() as patched:
        patched.setattr(invariants, "_bill", lambda *_: iter(["9: a bill that is never right"]))
        assert many.shortest(plan, ["9: a bill that is never right"])[0].incidents == ()
