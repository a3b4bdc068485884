"""What Label Studio says is held against what else it says: its trouble ends no task, no campaign, and reaches no other project."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backend.campaign.queues import BLIND
from backend.campaign.state import Phase
from backend.label_studio.port import LabelStudioError
from backend.steps.open import request_campaign
from backend.steps.rollback import rollback
from backend.store import same_address
from mcal_engine.errors import InvalidValue
from tests.backend.world import CHOICES, World

FULL = timedelta(minutes=6)  # after it a visit compares everything


def small(tmp_path: Path, **more: Any) -> World:
    return World(tmp_path, n=205, test_size=20, batch_size=10, target_error=0.1, **more)


def silent(*_: Any, **__: Any) -> Any:
    """An empty list, with status 200."""
    return {}


def halved(found: Callable[..., Any]) -> Callable[..., Any]:
    def half(*args: Any, **kwargs: Any) -> Any:
        rows = found(*args, **kwargs)
        return dict(list(rows.items())[::2]) if isinstance(rows, dict) else list(rows)[::2]

    return half


@pytest.mark.parametrize("answer", [lambda _: silent, halved])
def test_a_list_that_the_count_contradicts_deletes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    world = small(tmp_path)
    world.advance()
    before = world.ledger()
    world.wait(minutes=6)
    with monkeypatch.context() as lying:
        lying.setattr(world.label_studio, "task_times", answer(world.label_studio.task_times))
        with pytest.raises(LabelStudioError, match=r"lists .* and counts 205") as caught:
            world.advance()
    assert caught.value.retryable and world.ledger() == before
    world.wait(minutes=6)
    assert world.advance().phase == Phase.COLLECTING and world.ledger() == before


@pytest.mark.parametrize("answer", [lambda _: lambda *a, **k: iter(()), halved])
def test_a_campaign_does_not_begin_on_a_part_of_its_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    world = small(tmp_path)
    with monkeypatch.context() as lying:
        lying.setattr(world.label_studio, "tasks", answer(world.label_studio.tasks))
        with pytest.raises(LabelStudioError, match=r"lists .* and counts 205"):
            world.advance()
    assert world.state().phase == Phase.REQUESTED
    assert len(world.advance().live) == 205


def test_tasks_that_are_left_out_are_not_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = small(tmp_path)
    with monkeypatch.context() as lying:
        lying.setattr(world.label_studio, "tasks_by_id", lambda *_: [])
        with pytest.raises(LabelStudioError, match=r"left out .* tasks of project .* that it lists"):
            world.advance()  # while the first queue is published
    assert world.advance().published is not None
    gone = world.tasks[7]
    world.label_studio.delete_task(gone)
    world.wait(minutes=6)
    assert world.advance().items[gone].deleted


@pytest.mark.slow
@pytest.mark.parametrize("names", [("tasks_by_id",), ("task_times",), ("task_times", "tasks_by_id")])
def test_one_empty_answer_at_the_certificate_costs_no_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    world = small(tmp_path)
    world.run(until=[Phase.CERTIFYING])
    world.label()
    with monkeypatch.context() as lying:
        for name in names:
            lying.setattr(world.label_studio, name, silent)
        with pytest.raises(LabelStudioError):
            world.advance()
    report = world.run().report
    assert report is not None and report["n_machine"] == len(world.machine_annotations()) > 100


def test_a_project_that_counts_no_tasks_halts_and_goes_on_when_they_are_back(tmp_path: Path) -> None:
    world = small(tmp_path)
    world.advance()
    fake, tasks = world.label_studio, world.label_studio._tasks
    fake._tasks = {}
    state = world.advance()
    assert state.halt is not None and state.halt.mends_itself and "counts no tasks" in state.halt.reason
    assert not any(item.deleted for item in state.items.values())
    fake._tasks = tasks
    world.advance()
    assert world.advance().phase == Phase.COLLECTING


def test_another_project_of_the_same_number_halts_the_campaign_and_is_left_as_it_is(tmp_path: Path) -> None:
    world = small(tmp_path)
    world.advance()
    began_on = world.label_studio._projects[world.project]
    world.label_studio.set_project(world.project, created_at=datetime(2020, 1, 1, tzinfo=UTC), model_version="", sampling="Random")
    other = world.label_studio._projects[world.project]
    state = world.advance()
    assert state.halt is not None and "this is another one" in state.halt.reason
    with pytest.raises(InvalidValue, match="this is another one"):
        rollback(world.services, world.campaign.id, by="test")
    assert world.label_studio._projects[world.project] == other
    world.label_studio._projects[world.project] = began_on
    world.advance()
    assert world.advance().phase == Phase.COLLECTING


def test_a_campaign_of_another_address_does_not_begin_here_and_one_that_only_moved_goes_on(tmp_path: Path) -> None:
    world = small(tmp_path)
    here = world.label_studio.url
    world.fresh_services(label_studio_url="http://other.test")
    state = world.advance()
    assert state.halt is not None and "MCAL_LABEL_STUDIO_URL is http://other.test" in state.halt.reason
    assert world.label_studio.webhooks(world.project) == [] and state.created is None
    world.fresh_services(label_studio_url=here)
    while world.advance().phase != Phase.COLLECTING:
        pass
    world.fresh_services(label_studio_url="http://moved.test")
    assert world.advance().phase == Phase.COLLECTING
    world.label_studio.delete_project(world.project)
    with pytest.raises(LabelStudioError):  # another Label Studio never had it: that is not its end
        world.advance()
    assert not world.state().ended


@pytest.mark.parametrize(
    "spelling", ["http://label-studio.test/", "http://label-studio.test:80", "HTTP://Label-Studio.test", "http://label-studio.test."]
)
def test_a_project_has_one_live_campaign_however_its_address_is_spelt(tmp_path: Path, spelling: str) -> None:
    world = small(tmp_path)
    services = world.fresh_services(label_studio_url=spelling)
    with pytest.raises(InvalidValue, match="already has a campaign that is not finished"):
        request_campaign(services, world.project, world.settings, "test")
    assert world.store.live_campaign(spelling, world.project) == world.campaign


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://127.0.0.1:8080", "http://localhost:8080/"),
        ("http://[::1]:8080", "http://localhost:8080"),
        ("https://ls.test:443/app/", "https://LS.test/app"),
        ("http://[2001:DB8::1]:8080", "http://[2001:db8::1]:8080/"),
    ],
)
def test_spellings_of_one_address(one: str, other: str) -> None:
    assert same_address(one) == same_address(other) == same_address(same_address(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://ls.test", "https://ls.test"),
        ("http://ls.test:8080", "http://ls.test"),
        ("http://ls.test/a", "http://ls.test/A"),
        ("x", "y"),
    ],
)
def test_other_addresses_stay_others(one: str, other: str) -> None:
    assert same_address(one) != same_address(other)


# --- clocks


def set_clock(world: World, **off: float) -> None:
    """Label Studio's clock jumps."""
    fake = world.label_studio
    fake.now = lambda: world.now() + timedelta(**off)
    fake._last = datetime(2000, 1, 1, tzinfo=UTC)


def n_labels(world: World) -> int:
    return sum(item.label is not None for item in world.state().items.values())


def test_no_label_is_lost_when_label_studios_clock_is_set_back(tmp_path: Path) -> None:
    world = small(tmp_path)
    world.advance()
    world.label(3)
    world.advance()
    assert n_labels(world) == 3
    set_clock(world, hours=-1)
    world.label(8)
    world.wait(minutes=6)
    world.advance()
    assert n_labels(world) == 11
    world.label(4)
    world.advance()  # by what has changed alone: the watermark has followed
    assert n_labels(world) == 15


def test_no_label_is_lost_after_one_with_a_time_to_come(tmp_path: Path) -> None:
    world = small(tmp_path)
    world.advance()
    set_clock(world, hours=1)
    world.label(1)
    world.advance()
    set_clock(world, hours=0)
    world.wait(seconds=1)
    for given in (5, 9):
        world.label(4)
        world.advance()
        assert n_labels(world) == given
    watermark = world.store.watermark(world.campaign.id)
    assert watermark is not None and watermark <= world.now()


@pytest.mark.parametrize("hours", [-1, 1])
def test_patience_runs_by_one_clock_however_wrong_label_studio_s_is(tmp_path: Path, hours: int) -> None:
    world = small(tmp_path)
    world.advance()
    set_clock(world, hours=hours)
    state = world.state()
    asked = state.queues[-1].asked
    last = next(task for task in reversed(asked) if state.roles.get(task) not in BLIND)
    for task in asked:
        if task != last:
            world.label_studio.annotate(task, world.people[0], CHOICES[task % 2])
    if hours < 0:  # labels that are older than what was read already are found by the full check
        world.wait(minutes=6)
    world.advance()
    seen = world.state().progress
    assert seen is not None and len(seen.missing) == 1 and not seen.blind_missing and seen.quiet_since is not None
    assert abs(seen.quiet_since - world.now()) < timedelta(seconds=30)
    n_queues = len(world.state().queues)
    world.wait(minutes=world.state().settings.patience_minutes - 1)
    world.advance()
    assert len(world.state().queues) == n_queues
    world.wait(minutes=1.5)
    world.advance()
    assert len(world.state().queues) > n_queues


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_what_comes_just_before_the_last_change_is_read_however_wrong_label_studio_s_clock_is(tmp_path: Path, hours: int) -> None:
    world = small(tmp_path)
    world.advance()
    set_clock(world, hours=hours)
    world.label(3)
    world.wait(minutes=6)
    world.advance()  # the full check: the watermark has followed the clock
    world.label(3)
    world.advance()
    late = next(task for task, item in world.state().items.items() if item.label is None)
    world.label_studio.annotate(late, world.people[0], CHOICES[1])
    world.label_studio._tasks[late].updated_at -= timedelta(seconds=5)  # stored after the others, and dated before them
    world.advance()
    assert n_labels(world) == 7


def test_a_change_that_no_clock_tells_is_found_by_the_full_check(tmp_path: Path) -> None:
    world = small(tmp_path)
    world.advance()
    task = world.tasks[3]
    world.label_studio.annotate(task, world.people[0], CHOICES[1])
    world.label_studio._tasks[task].updated_at -= timedelta(days=2)
    world.advance()
    assert n_labels(world) == 0
    world.wait(minutes=6)
    world.advance()
    assert n_labels(world) == 1
