"""``mcal campaign audit`` as an admin walks it: the words before, meanwhile, after, and where it cannot be done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend.campaign.state import Phase
from backend.cli import app
from tests.backend.steps.audited import another, machine_said, people
from tests.backend.world import World

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "QUEUE_URL", "MCAL_DATABASE_URL", "MCAL_QUEUE_URL", "MCAL_LABEL_STUDIO_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MCAL_DATA_DIR", str(tmp_path))
    made = World(tmp_path, n=300)
    yield made
    made.store.close()


@pytest.fixture
def mcal(world: World, capsys: pytest.CaptureFixture[str]) -> Said:
    """Run ``mcal campaign …``; its exit code, output and complaints."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = app.run(["campaign", *arguments])
        said = capsys.readouterr()
        return code, " ".join(said.out.split()), said.err  # tables wrap

    return call


@pytest.mark.slow
def test_an_admin_audits_looks_takes_back_and_audits_again(world: World, mcal: Said) -> None:
    assert world.run().phase == Phase.FINISHED
    said = machine_said(world)
    code, out, _ = mcal("audit", "1", "--size", "60", "--confidence", "0.9")
    assert code == 0 and "audit 1: 60 of its" in out and "the target is shown at 90%" in out
    world.advance()
    assert "audit 1: 0 of 60 labels of the blind sample in" in mcal("list")[1]
    code, _, err = mcal("audit", "1")
    assert code == 2 and "has an open audit, 0 of 60 labels are in; wait until it is answered, or call it off" in err
    least = sorted((row.surety, row.task_id) for row in world.state().machine_labels)
    unsure = {task for _, task in least[: len(least) // 3]}
    people(world, lambda task: another(said[task]) if task in unsure else said[task])
    assert world.advance().phase == Phase.FINISHED
    code, out, _ = mcal("show", "1")
    assert code == 0 and "Audit 1: people labelled 60 of the" in out and "more than the 15 wrong labels" in out
    code, out, _ = mcal("report", "1")
    assert "audit 1" in out and "60 audit" in out
    report = json.loads(mcal("report", "1", "--json")[1])
    assert report["audits"][0]["confidence_level"] == 0.9 and report["n_audit"] == 60
    code, out, _ = mcal("take-back", "1", "--yes")
    assert code == 0 and "least sure machine labels are taken back and left to people" in out
    world.advance()
    people(world)
    assert world.advance().phase == Phase.FINISHED
    code, out, _ = mcal("audit", "1", "--json")
    assert code == 0 and json.loads(out)["phase"] == "auditing" and len(json.loads(out)["notes"]) == 2
    assert mcal("cancel-audit", "1")[0] == 0
    assert world.advance().phase == Phase.FINISHED
    assert "called off: it says nothing" in mcal("show", "1")[1]


def test_what_cannot_be_done_is_said_with_what_could(world: World, mcal: Said) -> None:
    world.advance()
    for arguments, says in (
        (("audit", "1"), "campaign 1 cannot be audited: it is collecting; its machine labels must all be written first"),
        (("cancel-audit", "1"), "campaign 1 has no open audit"),
        (("take-back", "1"), "nothing can be taken back now"),
        (("audit", "1", "--size", "many"), "size must be a whole number, got 'many'"),
        (("audit", "1", "--confidence", "95"), "did you mean 0.95?"),
        (("audit", "9"), "there is no campaign 9"),
    ):
        code, out, err = mcal(*arguments)
        assert code == 2 and out == "" and says in err, arguments


def test_help_names_what_a_taking_back_takes_and_no_second_name_for_it(mcal: Said) -> None:
    said = mcal("take-back", "--help")[1]
    assert "Give the least sure machine labels, those that the last audit could not vouch for, to people." in said
    assert "--size" in mcal("audit", "--help")[1]
    for other in ("audit", "take-back"):
        assert "slice" not in mcal(other, "--help")[1] and "--fix" not in mcal(other, "--help")[1]


@pytest.mark.slow
def test_a_check_by_eye_is_begun_judged_and_read(world: World, mcal: Said) -> None:
    assert world.run().phase == Phase.FINISHED
    assert mcal("judge", "1", "--check", "1")[0] == 2  # there is none
    code, out, _ = mcal("check", "1", "--size", "3")
    assert code == 0 and "check 1: 3 of" in out
    first, *others = map(str, world.state().checks[0].ids)
    assert mcal("judge", "1", "--check", "1", "--wrong", first)[1] == "Check 1: 1 of 3 labels is judged."
    code, out, _ = mcal("judge", "1", "--check", "1", *(part for task in others for part in ("--right", task)), "--json")
    assert (code, json.loads(out)) == (0, {"campaign": 1, "check": 1, "n_judged": 3, "done": True})
    assert "drawn at random and judged by eye" in mcal("review", "1")[1]
