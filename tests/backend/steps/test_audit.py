from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from backend.campaign.events import Requested
from backend.campaign.history import new
from backend.campaign.state import Phase, State
from backend.notify.events import notices
from backend.steering.audits import default_size
from backend.steps.rollback import rollback
from backend.views.exports import export_of, items_csv
from backend.views.log import log_row
from backend.views.predictions import predictions
from backend.views.report import make_report
from backend.views.review import review
from backend.views.status import sentence
from mcal_engine.certificates import uniform
from mcal_engine.errors import InvalidValue
from mcal_engine.round import draw_secret
from mcal_engine.types import CertificateOutcome
from tests.backend.kills import Snapshot, advance_until
from tests.backend.steps.audited import another, audit, machine_said, order, people, shown_of_machine
from tests.backend.world import World, act

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Snapshot]]:
    """A campaign that has written about half of its items back and is finished."""
    world = World(tmp_path_factory.mktemp("ended"), n=300)
    assert world.run().phase == Phase.FINISHED
    before = Snapshot.of(world)
    yield world, before
    before.close()
    world.store.close()


@pytest.fixture
def finished(ended: tuple[World, Snapshot]) -> World:
    world, before = ended
    before.restore(world)
    world.offset *= 0
    world.campaign = world.store.campaign(1)
    return world


def sums(state: State) -> bool:
    report = make_report(state, state.at)
    human = sum(report[part] for part in ("n_test", "n_train", "n_certificate", "n_audit", "n_residual"))
    return human == report["human_items"] and human + report["n_machine"] + report["n_set_aside"] + report["n_open"] == report["n_items"]


def exact_bound(seen: int, n_pool: int, n_sample: int) -> int:
    """The largest number of errors that exact fractions do not refute at 5 %."""

    def tail(errors: int) -> Fraction:
        ways = sum(comb(errors, k) * comb(n_pool - errors, n_sample - k) for k in range(seen + 1))
        return Fraction(ways, comb(n_pool, n_sample))

    return max(k for k in range(seen, n_pool - n_sample + seen + 1) if tail(k) > Fraction(5, 100))


# The sample


def test_people_are_served_exactly_the_sample_in_random_order_and_then_nothing(finished: World) -> None:
    written = sorted(finished.machine_annotations())
    state = audit(finished, size=40)
    assert state.phase == Phase.AUDITING and state.audit is not None
    sample = state.audit.ids
    assert len(set(sample)) == 40 and set(sample) <= set(written) and list(sample) != sorted(sample)
    assert people(finished) == list(sample)


def test_while_people_label_the_sample_nothing_in_label_studio_tells_what_the_machine_said(finished: World) -> None:
    written = finished.machine_annotations()
    state = audit(finished, size=40)
    assert state.audit is not None
    sample = state.audit.ids
    assert list(shown_of_machine(finished, sample)) == []
    assert set(finished.machine_annotations()) == set(written) - set(sample)
    url = finished.label_studio.url
    assert predictions(finished.store, url, finished.project, sample, finished.now()) == {}
    assert not {tile["task"] for tile in review(finished.store, state)["least_sure"]} & set(sample)
    (row,) = make_report(state, state.at)["audits"]
    assert (
        row["status"] == "open" and (row["n_different"], row["max_errors"], row["verdict"]) == (None, None, None) and row["different"] == []
    )
    people(finished, n=39)
    (row,) = make_report(finished.advance(), finished.now())["audits"]
    assert row["n_answered"] == 39 and row["n_different"] is None and row["different"] == []


def test_the_sample_is_drawn_from_what_is_written_now_and_not_from_what_was_written_once(finished: World) -> None:
    edited, answered, deleted, *others = sorted(finished.machine_annotations())
    finished.label_studio.edit(finished.machine_annotations()[edited].id, finished.people[0], "bee")
    finished.label_studio.annotate(answered, finished.people[0], "bee")
    finished.label_studio.delete_task(deleted)
    state = audit(finished, size=len(others))
    assert state.audit is not None and sorted(state.audit.ids) == others and state.audit.n_written == len(others)
    assert state.audit.n_items == 299


def test_every_written_label_is_as_likely_to_be_drawn_as_any_other(finished: World) -> None:
    """Over 400 seeds; a chi-square test at 0.1 %, with the variance of draws without replacement."""
    ids = [row.task_id for row in finished.state().machine_labels if row.state == "written"]
    counts, n, draws = dict.fromkeys(ids, 0), len(ids) // 4, 400
    for seed in range(draws):
        for task in draw_secret(seed, np.array(ids), n).tolist():
            counts[task] += 1
    share = n / len(ids)
    scatter = sum((count - draws * share) ** 2 for count in counts.values()) / (draws * share * (1 - share)) * (len(ids) - 1) / len(ids)
    assert stats.chi2.sf(scatter, len(ids) - 1) > 0.001


def test_a_second_audit_draws_afresh_and_never_what_was_audited_before(finished: World) -> None:
    first = audit(finished, size=40).audits[0]
    people(finished)
    assert finished.advance().phase == Phase.FINISHED
    state = audit(finished, size=40)
    second = state.audits[1]
    assert not set(first.ids) & set(second.ids) and second.n_written == first.n_written - 40 and second.number == 2
    people(finished)
    state = finished.advance()
    assert state.phase == Phase.FINISHED and [row["status"] for row in (state.report or {})["audits"]] == ["decided", "decided"]
    assert state.report is not None and state.report["n_audit"] == 80 and sums(state)


# What it says


def test_the_bound_is_exact_and_what_people_say_is_final(finished: World) -> None:
    said = machine_said(finished)
    state = audit(finished, size=60)
    assert state.audit is not None
    wrong = set(state.audit.ids[:3])
    people(finished, lambda task: another(said[task]) if task in wrong else said[task])
    state = finished.advance()
    assert state.phase == Phase.FINISHED and state.report is not None
    (row,) = state.report["audits"]
    bound = exact_bound(3, row["n_written"], 60)
    assert (row["n_different"], row["n_unanswered"], row["max_errors"]) == (3, 0, bound)
    assert row["max_errors_left"] == bound - 3
    assert row["upper_bound"] == bound / 300 and row["machine_upper_bound"] == bound / row["n_written"] and row["error_estimate"] == 3 / 60
    assert {(each["task"], each["machine"], each["people"]) for each in row["different"]} == {
        (task, said[task], another(said[task])) for task in wrong
    }
    labels = finished.annotations()
    for task in state.audits[0].ids:
        (only,) = labels[task]  # one counting label per task
        assert only.completed_by != finished.label_studio.service_user.id
        assert only.choice == (another(said[task]) if task in wrong else said[task])
    assert all(len(rows) == 1 for rows in labels.values())
    assert state.report["n_audit"] == 60 and sums(state)
    assert state.report["human_cost"] == pytest.approx(0.04 * state.report["human_labels"])
    rows = [line.split(",") for line in "".join(items_csv(export_of(state, make_report(state, state.at)))).splitlines()]
    assert sum(cells[7] == "audit" and cells[3] == "human" for cells in rows) == 60


@pytest.mark.parametrize(("n_wrong", "verdict"), [(0, "holds"), (11, "not_shown"), (30, "broken")])
def test_the_verdict_says_holds_only_where_it_is_shown_and_broken_only_where_it_is_refuted(
    finished: World, n_wrong: int, verdict: str
) -> None:
    said = machine_said(finished)
    state = audit(finished, size=100)
    assert state.audit is not None
    wrong = set(state.audit.ids[:n_wrong])
    people(finished, lambda task: another(said[task]) if task in wrong else said[task])
    (row,) = (finished.advance().report or {})["audits"]
    assert row["verdict"] == verdict and row["allowed_errors"] == 15
    assert (row["max_errors"] <= 15) == (verdict == "holds") and (row["min_errors"] > 15) == (verdict == "broken")
    told = {"holds": "the target holds", "not_shown": "the target is not shown", "broken": "more than the 15"}[verdict]
    assert told in row["sentence"] and f"{n_wrong:,} count as wrong" in row["sentence"]


def test_what_is_skipped_deleted_or_not_answered_in_time_counts_as_wrong_and_stays_with_people(finished: World) -> None:
    state = audit(finished, size=60)
    assert state.audit is not None
    skipped, deleted, missing = state.audit.ids[5], state.audit.ids[7], state.audit.ids[-2:]
    finished.label_studio.delete_task(deleted)
    people(
        finished, lambda task: None if task == skipped else finished.right(task), n=58
    )  # a skipped task is offered to the other person too
    assert finished.advance().phase == Phase.AUDITING
    finished.wait(hours=71)
    assert finished.advance().phase == Phase.AUDITING
    finished.wait(hours=2)
    state = finished.advance()
    row = make_report(state, state.at)["audits"][0]
    assert row["n_unanswered"] == 4 and row["n_different"] == 0 and row["verdict"] is not None
    assert row["max_errors"] == exact_bound(4, row["n_written"], 60) and row["min_errors"] == 0
    assert state.phase == Phase.RESIDUAL and {item.task_id for item in state.residual} == set(missing)
    people(finished)
    state = finished.advance()
    assert state.phase == Phase.FINISHED and state.report is not None
    assert state.report["audits"][0]["max_errors"] == row["max_errors"]  # answers that come later change nothing
    assert state.report["n_set_aside"] == 1 and sums(state)
    assert skipped not in finished.machine_annotations()


def test_when_nobody_answers_it_waits_and_can_be_called_off(finished: World) -> None:
    before = {task: row.choice for task, row in finished.machine_annotations().items()}
    state = audit(finished, size=50)
    assert state.audit is not None
    answered = people(finished, lambda task: another(before[task]), n=2)
    finished.wait(days=30)
    assert finished.advance().phase == Phase.AUDITING
    assert "called off" in finished.act("cancel-audit")
    assert "already" in finished.act("cancel-audit")
    state = finished.advance()
    assert state.phase == Phase.FINISHED and state.report is not None
    after = {task: row.choice for task, row in finished.machine_annotations().items()}
    assert after == {task: choice for task, choice in before.items() if task not in answered}
    (row,) = state.report["audits"]
    assert row["status"] == "cancelled" and row["max_errors"] is None and row["verdict"] is None and "says nothing" in row["sentence"]
    assert f"{48} machine labels were written again" in row["sentence"]
    assert state.report["n_audit"] == 2 and sums(state)
    assert {item.label for item in state.live if item.task_id in answered} != {None}


def test_an_audit_that_is_called_off_before_the_worker_looked_leaves_no_trace(finished: World) -> None:
    before = finished.annotations()
    finished.act("audit", size=10)
    finished.act("cancel-audit")
    assert finished.advance().phase == Phase.FINISHED
    assert finished.annotations() == before


def test_while_the_rest_is_with_people_an_audit_comes_first_and_the_rest_goes_on_after(tmp_path: Path) -> None:
    world = World(tmp_path, n=300)
    state = world.run(until=[Phase.RESIDUAL])
    rest = {item.task_id for item in state.residual}
    assert rest
    state = audit(world, size=30)
    assert state.audit is not None
    assert people(world) == list(state.audit.ids)
    state = world.advance()
    assert state.phase == Phase.RESIDUAL and {item.task_id for item in state.residual} == rest
    assert set(people(world)) == rest
    state = world.advance()
    assert state.phase == Phase.FINISHED and sums(state) and state.report is not None and state.report["n_audit"] == 30
    world.store.close()


def test_tasks_that_were_added_after_the_end_are_none_of_the_campaign_s_also_when_it_is_taken_up_again(finished: World) -> None:
    added = finished.label_studio.add_tasks(finished.project, [f"/data/new-{place}.png" for place in range(20)])
    paid = make_report(finished.state(), finished.now())["human_labels"]
    finished.label_studio.annotate(added[0], finished.people[0], "bee")
    state = audit(finished, size=30)
    assert state.audit is not None and state.audit.n_items == 300
    assert people(finished) == list(state.audit.ids)  # a new task is the sentinel, and none of them leaks
    state = finished.advance()
    assert state.phase == Phase.FINISHED and state.report is not None and sums(state)
    assert (state.report["n_items"], state.report["n_open"], state.report["human_labels"]) == (300, 0, paid + 30)


# Taking back


def test_taking_back_leaves_what_the_certificate_s_own_scan_vouches_for(finished: World) -> None:
    said = machine_said(finished)
    state = audit(finished, size=90)
    found = state.audit
    assert found is not None
    ranks = {row.task_id: row.rank for row in order(finished, found)}
    assert [row.surety for row in order(finished, found)] == sorted((row.surety for row in order(finished, found)), reverse=True)
    people(finished, lambda task: another(said[task]) if ranks[task] >= 0.7 * len(ranks) else said[task])
    state = finished.advance()
    assert (state.report or {})["audits"][0]["verdict"] == "broken"
    places = sorted(ranks[task] for task in found.ids)
    outcome = CertificateOutcome(1, len(ranks), np.array(places), np.array(places) >= 0.7 * len(ranks), 0)
    scan = uniform.certify(outcome, allowed=15, level=0.05)
    assert 0 < scan.n_ranked < len(ranks)
    gone = {task for task, rank in ranks.items() if rank >= scan.n_ranked} - set(found.ids)
    edited = max(gone)
    finished.label_studio.edit(finished.machine_annotations()[edited].id, finished.people[0], another(said[edited]))
    finished.act("take-back")
    state = finished.advance()
    assert state.phase == Phase.RESIDUAL and {item.task_id for item in state.residual} == gone - {edited}
    assert set(finished.machine_annotations()) == set(ranks) - set(found.ids) - gone
    assert list(shown_of_machine(finished, tuple(gone - {edited}))) == []
    assert set(people(finished)) == gone - {edited}
    state = finished.advance()
    assert state.phase == Phase.FINISHED and sums(state) and state.report is not None
    cut = state.report["audits"][0]["take_back"]
    assert (cut["n_ranked"], cut["tolerated"], cut["max_errors"]) == (scan.n_ranked, scan.tolerated, scan.max_errors)
    assert cut["n_removed"] == len(gone) - 1 and cut["level"] == 0.05
    assert "a statement of its own" in state.report["audits"][0]["sentence"]
    assert state.report["n_machine"] == scan.n_machine
    with pytest.raises(InvalidValue, match="was followed already"):
        finished.act("take-back")


def test_what_a_person_edits_while_labels_are_taken_back_is_kept(finished: World) -> None:
    said = machine_said(finished)
    audit(finished, size=20)
    people(finished, lambda task: another(said[task]))
    finished.advance()
    finished.act("take-back")
    edited = min(finished.machine_annotations())

    def before(method: str) -> None:
        if method == "delete_predictions_on":
            finished.label_studio.before = None
            finished.label_studio.edit(finished.machine_annotations()[edited].id, finished.people[0], another(said[edited]))

    finished.label_studio.before = before
    state = finished.advance()
    cut = state.audits[0].take_back
    assert cut is not None and (cut.n_removed, cut.n_kept) == (cut.n - 1, 1)
    assert [row.choice for row in finished.annotations()[edited]] == [another(said[edited])]
    assert edited not in {item.task_id for item in state.residual}


def test_an_audit_that_vouches_for_everything_takes_nothing_back(finished: World) -> None:
    audit(finished, size=100)
    people(finished)
    assert (finished.advance().report or {})["audits"][0]["verdict"] == "holds"
    assert "nothing is taken back" in finished.act("take-back")
    assert finished.state().phase == Phase.FINISHED


def test_a_sample_that_vouches_for_nothing_takes_everything_back(finished: World) -> None:
    said = machine_said(finished)
    audit(finished, size=20)
    people(finished, lambda task: another(said[task]))
    finished.advance()
    finished.act("take-back")
    finished.advance()
    assert finished.machine_annotations() == {}
    people(finished)
    state = finished.advance()
    assert state.phase == Phase.FINISHED and state.report is not None and state.report["n_machine"] == 0
    assert "vouches for none" in state.report["audits"][0]["sentence"]


# Errors


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size": 10_000}, r"size must be from 1 to the \d+ machine labels that are written, got 10,000"),
        ({"size": 0}, "got 0"),
        ({"confidence": 95}, r"confidence must be in \[0.5, 1\), got 95 \(did you mean 0\.95\?\)"),
        ({"confidence": 1.0}, "got 1"),
    ],
)
def test_what_cannot_be_audited_is_said_with_the_rule(finished: World, options: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidValue, match=says):
        finished.act("audit", **options)
    assert finished.state().phase == Phase.FINISHED


def test_one_audit_at_a_time_and_none_before_anything_is_written(finished: World, tmp_path: Path) -> None:
    audit(finished, size=10)
    people(finished, n=4)
    finished.advance()
    with pytest.raises(InvalidValue, match="has an open audit, 4 of 10 labels are in; wait until it is answered, or call it off"):
        finished.act("audit")
    with pytest.raises(InvalidValue, match="nothing can be taken back now"):
        finished.act("take-back")
    world = World(tmp_path, n=240)
    world.advance()
    with pytest.raises(InvalidValue, match="cannot be audited: it is collecting; its machine labels must all be written first"):
        world.act("audit")
    with pytest.raises(InvalidValue, match="no open audit"):
        world.act("cancel-audit")
    with pytest.raises(InvalidValue, match="nothing can be taken back now"):
        world.act("take-back")
    world.store.close()


def test_a_finished_campaign_is_not_audited_while_another_one_runs_on_its_project(finished: World) -> None:
    asked = Requested(settings=finished.settings.model_dump(mode="json"), source="test")
    finished.store.create_campaign(finished.project, finished.label_studio.url, [new(asked)])
    with pytest.raises(InvalidValue, match="campaign 2 is under way on the same project"):
        act(finished.services, 1, "audit", size=10)
    assert [event.kind for event in finished.store.events(1)][-1] == "finished"


def test_no_campaign_can_begin_on_a_project_that_is_being_audited(finished: World) -> None:
    audit(finished, size=10)
    with pytest.raises(InvalidValue, match="campaign 1"):
        finished.begin()


def test_the_default_size_is_enough_for_what_the_campaign_believes(finished: World) -> None:
    state = finished.state()
    size = default_size(state, 0.95)
    n = sum(row.state == "written" for row in state.machine_labels)
    assert 1 <= size <= n
    said = finished.act("audit")
    assert f"{size:,} of its {n:,} machine labels" in said
    assert uniform.most_errors(0, n_pool=n, n_sample=size, level=0.05) <= 15


# Undoing, pausing, dying


def test_rolling_back_an_open_audit_removes_every_machine_label_and_keeps_people_s(finished: World) -> None:
    finished.label_studio.set_project(finished.project, sampling="Sequential sampling", show_collab_predictions=True)
    state = audit(finished, size=40)
    assert state.audit is not None
    answered = people(finished, n=10)
    rollback(finished.services, 1, by="test")
    state = finished.state()
    assert state.phase == Phase.ROLLED_BACK and finished.machine_annotations() == {}
    assert all(len(finished.annotations()[task]) == 1 for task in answered)
    project = finished.label_studio.project(finished.project)
    assert (project.sampling, project.show_collab_predictions, project.model_version) == ("Sequential sampling", True, "")
    assert make_report(state, state.at)["audits"][0]["status"] == "ended"
    assert finished.store.live_campaigns() == []


def test_a_project_gets_back_the_settings_it_had_when_the_audit_began(finished: World) -> None:
    finished.label_studio.set_project(finished.project, sampling="Uniform sampling", show_collab_predictions=False)
    audit(finished, size=10)
    assert finished.label_studio.project(finished.project).sampling == "Uncertainty sampling"
    people(finished)
    assert finished.advance().phase == Phase.FINISHED
    project = finished.label_studio.project(finished.project)
    assert (project.sampling, project.show_collab_predictions) == ("Uniform sampling", False)


def test_a_paused_audit_decides_nothing_until_it_goes_on(finished: World) -> None:
    audit(finished, size=10)
    finished.act("pause")
    people(finished)
    assert finished.advance().phase == Phase.PAUSED
    finished.act("resume")
    assert finished.advance().phase == Phase.FINISHED


def test_people_are_told_of_the_result_and_of_each_end_once(finished: World) -> None:
    first = [notice.key for notice in notices(finished.state()) if notice.kind == "finished"]
    state = audit(finished, size=10)
    assert any(notice.key.startswith("ready/") and "blind audit" in notice.text for notice in notices(state))
    assert "audit 1: 0 of 10 labels of the blind sample in" in sentence(state)
    people(finished)
    state = finished.advance()
    told = {notice.key: notice.text for notice in notices(state)}
    assert first == ["finished"] and "finished/1" in told and "Audit 1: people labelled 10" in told["audit/1"]
    assert "audit 1: " in told["finished/1"]


def test_the_history_tells_every_step_in_words(finished: World) -> None:
    audit(finished, size=10)
    people(finished)
    finished.advance()
    told = " ".join(log_row(event)["sentence"] for event in finished.store.events(1))
    for part in ("Audit 1 of 10 items requested (by test)", "machine labels drawn, SHA-256", "Queue opened, blind audit", "Audit 1 read: "):
        assert part in told


def ledger(world: World) -> dict[str, Any]:
    found = world.ledger()
    for row in (found["report"] or {}).get("audits", ()):
        row["opened_at"] = row["ended_at"] = "some time"
    return found


def strike(world: World, before: Snapshot, act: Any) -> list[str]:
    """Let the worker die after every change of the advance that follows ``act``; the next one must end where an undisturbed one does."""
    before.restore(world)
    act()
    start = Snapshot.of(world)
    start.restore(world)
    names = advance_until(world, None).names
    expected, annotations = ledger(world), {task: row.choice for task, row in world.machine_annotations().items()}
    for at in range(len(names) + 1):
        start.restore(world)
        advance_until(world, at)
        world.advance()
        where = names[at - 1] if at else "the start"
        assert ledger(world) == expected, f"died at {at}: {where}"
        assert {task: row.choice for task, row in world.machine_annotations().items()} == annotations, f"died at {at}: {where}"
    start.close()
    return names


def test_a_worker_that_dies_anywhere_in_an_audit_is_followed_by_one_that_ends_it_the_same_way(finished: World) -> None:
    said = machine_said(finished)

    def open_one() -> None:
        finished.act("audit", size=30)

    def answered() -> None:
        open_one()
        finished.advance()
        people(finished, lambda task: another(said[task]))

    def called_off() -> None:
        open_one()
        finished.advance()
        people(finished, n=3)
        finished.act("cancel-audit")

    def taken_back() -> None:
        answered()
        finished.advance()
        finished.act("take-back")

    before = Snapshot.of(finished)
    before.restore(finished)
    for do, change in (
        (open_one, "label_studio.delete_unchanged"),
        (answered, "store.append"),
        (called_off, "label_studio.predictions_to_annotations"),
        (taken_back, "label_studio.delete_unchanged"),
    ):
        assert change in strike(finished, before, do)
    before.close()
