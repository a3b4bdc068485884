"""What the pages show, on the command line: the same numbers as the services', as tables and as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backend import wiring
from backend.campaign.state import Phase
from backend.cli import app
from backend.cli.campaign import campaign as group
from backend.store import Store
from backend.views.exports import FORMATS
from backend.web.api.table import Api
from tests.backend.web.world import desk
from tests.backend.world import World

Mcal = Callable[..., Any]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("show"), n=240)
    assert world.run().phase == Phase.FINISHED
    return world


@pytest.fixture
def mcal(finished: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Mcal:
    """Run a command; its output, decoded where it is JSON."""
    monkeypatch.chdir(finished.path.parent)
    for name in ("DATABASE_URL", "QUEUE_URL", "MCAL_DATABASE_URL", "MCAL_QUEUE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MCAL_DATA_DIR", str(finished.path.parent))
    monkeypatch.setenv("MCAL_LABEL_STUDIO_URL", finished.label_studio.url)

    @contextmanager
    def client(_: object) -> Iterator[Any]:
        yield finished.label_studio

    monkeypatch.setattr(wiring, "label_studio", client)

    def call(*arguments: str) -> Any:
        assert app.run(["campaign", *arguments]) == 0
        shown = capsys.readouterr().out
        return json.loads(shown) if "--json" in arguments else shown

    return call


def test_every_operation_of_the_api_is_a_command_too(store: Store) -> None:
    names = {operation.name for operation in Api(desk(store)).operations}
    only_for_programs = {"openapi", "describe_settings", "image"}  # a description, the help, a picture
    as_commands = {
        "list_projects": "projects",
        "list_campaigns": "list",
        "create_campaign": "create",
        "show_campaign": "show",
        "show_settings": "show",
        "set_settings": "set",
        **{f"export_{name}": "export" for name in FORMATS},
    }
    commands = {as_commands.get(name, name.replace("_", "-")) for name in names - only_for_programs}
    assert commands <= set(group.commands)


def test_every_command_can_print_json() -> None:
    assert [name for name, command in group.commands.items() if not any(each.name == "as_json" for each in command.params)] == []


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path / 'mcal.db'}")
    made.migrate()
    yield made
    made.close()


@pytest.mark.slow
def test_each_format_is_written_to_a_file_or_to_standard_output(mcal: Mcal, tmp_path: Path) -> None:
    for name, row in FORMATS.items():
        path = tmp_path / row.file
        assert mcal("export", "1", "--format", name, "--output", str(path)) == f"wrote {path}: 240 items\n"
        assert path.stat().st_size > 200
    assert mcal("export", "1", "--format", "jsonl") == (tmp_path / "items.jsonl").read_text("utf-8")
    assert mcal("items", "1") == (tmp_path / "items.csv").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["events", "series", "review", "certificate", "items", "what-if", "watch"])
def test_tables_say_what_the_json_has(mcal: Mcal, command: str) -> None:
    assert mcal(command, "1", "--json")
    text = mcal(command, "1")
    assert len(text.splitlines()) >= 1 and "None" not in text


@pytest.mark.slow
def test_the_numbers_are_the_services(mcal: Mcal, finished: World) -> None:
    report = finished.state().report
    assert report is not None
    rows = mcal("items", "1", "--json")
    assert sum(row["by"] == "machine" for row in rows) == report["n_machine"] and len(rows) == 240
    table = list(csv.DictReader(io.StringIO(mcal("items", "1"))))
    assert [(int(row["task"]), row["label"] or None, row["by"] or None) for row in table] == [
        (row["task"], row["label"], row["by"]) for row in rows
    ]
    assert [row["seq"] for row in mcal("events", "1", "--json")] == [event.seq for event in finished.store.events(1)]
    assert mcal("events", "1", "--after", "3", "--json")[0]["seq"] == 4
    tried = mcal("what-if", "1", "--target-error", "0.2", "--json")
    assert tried["changed"] == {"target_error": 0.2} and tried["then"]["n_machine"] >= tried["now"]["n_machine"]
    assert mcal("watch", "1", "--json")["phase"] == "finished"


@pytest.mark.slow
def test_projects_and_estimate_ask_label_studio(mcal: Mcal, finished: World) -> None:
    (row,) = mcal("projects", "--json")
    assert (row["project"], row["n_tasks"], row["campaigns"]) == (finished.project, 240, [1])
    assert str(finished.project) in mcal("projects")
    assert mcal("newcomers", "1", "--json")["n"] == 0 and "no task waits" in mcal("newcomers", "1")
    arguments = ("estimate", "--project", str(finished.project), "--target-error", "0.05", "--price", "0.04")
    found = mcal(*arguments, "--json")
    assert (found["human_only_cost"], found["n_to_label"]) == (0.0, 0)  # everything there has its label by now
    assert "0.00 USD" in mcal(*arguments)


def test_people_can_be_left_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(tmp_path / "world", n=240)
    world.advance()
    monkeypatch.setenv("MCAL_DATA_DIR", str(world.path.parent))
    assert app.run(["campaign", "label-all", "1", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["phase"] == "residual" == world.state().phase
