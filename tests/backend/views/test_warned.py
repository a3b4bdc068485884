"""Warnings of a campaign: what too many repeats cost, and that noise is not taken for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy import stats

from backend.cli.campaign import shown
from backend.views.report import make_report
from backend.views.warned import FEWEST, LEVEL, TOLERATED, too_many
from tests.backend.world import World


@pytest.mark.parametrize("labels", [3, 40, 221, 1000, 20_000])
def test_repeats_are_too_many_exactly_where_the_binomial_test_says_so(labels: int) -> None:
    for n in range(min(labels, 200) + 1):
        assert too_many(n, labels) == (n >= FEWEST and stats.binom.sf(n - 1, labels, TOLERATED) <= LEVEL), n


def doubling(world: World, n: int) -> None:
    """Both people label ``n`` tasks of the open queue, first those that two people are asked about, and the first of them all the rest."""
    queue = world.advance().queue
    assert queue is not None
    doubled = {task for _, task in zip(range(n), dict.fromkeys([*queue.twice, *queue.ids]), strict=False)}
    for task in queue.ids:
        for person in world.people[: 2 if task in doubled else 1]:
            world.label_studio.annotate(task, person, world.right(task))
    world.advance()


def test_repeats_are_told_with_number_money_and_way_out_in_report_and_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(tmp_path)
    doubling(world, 4)
    report = make_report(world.state(), world.now())
    assert report["duplicates"] == 4
    (line,) = report["warnings"]
    assert line.startswith(f"4 of {report['human_labels']} paid labels ({4 / report['human_labels']:.1%}, 0.16 USD) ")
    assert "PostgreSQL" in line and "Label All Tasks" in line
    shown.campaign(world.store, 1, world.now(), as_json=False)
    assert f"warning: {line}" in capsys.readouterr().out.replace("\n", " ")
    shown.report(dict(report))
    assert "paid labels" in capsys.readouterr().out


def test_two_repeats_are_noise_and_second_labels_that_were_asked_for_are_none(tmp_path: Path) -> None:
    few, asked = World(tmp_path / "few"), World(tmp_path / "asked", overlap_share=1.0)
    doubling(few, 2)
    doubling(asked, 30)
    for world, repeats, second in ((few, 2, 0), (asked, 0, 30)):
        report = make_report(world.state(), world.now())
        assert (report["duplicates"], report["second_labels"]) == (repeats, second) and "warnings" not in report


def test_tasks_that_get_another_image_are_recorded_once_and_named(tmp_path: Path) -> None:
    world = World(tmp_path, n=205, test_size=20, batch_size=10, target_error=0.1)
    assert "warnings" not in make_report(world.advance(), world.now())
    for task in world.tasks[3:5]:
        world.label_studio.set_image(task, "/data/another.png")
    for _ in range(2):
        world.wait(minutes=6)
        state = world.advance()
    assert state.changed_images == set(world.tasks[3:5])
    assert len(world.store.events(1, kinds=["images_changed"])) == 1
    (line,) = make_report(state, world.now())["warnings"]
    assert line.startswith("2 tasks got another image in Label Studio") and f": {world.tasks[3]}, {world.tasks[4]}. " in line
