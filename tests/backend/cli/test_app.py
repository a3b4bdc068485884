"""The command line as a whole: quick help, one line per error, exit codes that say who is at fault."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import backend
from backend.campaign_settings import CampaignSettings
from backend.cli import app
from backend.cli.numbers import Number, Whole
from backend.label_studio.port import LabelStudioError
from backend.settings import ServerSettings
from mcal_engine import __version__
from mcal_engine.errors import InvalidValue

COMMANDS = [
    (),
    ("serve",),
    ("worker",),
    ("doctor",),
    ("demo",),
    ("simulate",),
    ("bench",),
    ("bench", "paper"),
    ("bench", "engine"),
    ("migrate",),
    ("backup",),
    ("restore",),
    ("campaign",),
    *[("campaign", name) for name in ("create", "list", "show", "pause", "resume", "stop", "set", "rollback", "report")],
]


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("MCAL_", "DATABASE_URL", "QUEUE_URL"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MCAL_DATA_DIR", str(tmp_path / "data"))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_and_every_option(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Usage: {' '.join(('mcal', *command))}" in shown
    for line in shown.splitlines()[1:]:
        assert not line.strip().endswith("..."), f"a help text is cut short: {line}"


def test_every_campaign_setting_is_an_option_of_create_set_and_demo(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["campaign", "create"], ["campaign", "set"], ["demo"]):
        app.run([*command, "--help"])
        shown = capsys.readouterr().out
        for name in CampaignSettings.model_fields:
            assert f"--{name.replace('_', '-')}" in shown
        assert "--price " in shown


def test_settings_that_hold_secrets_have_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    app.run(["serve", "--help"])
    shown = capsys.readouterr().out
    assert "--public-url" in shown
    for name, field in ServerSettings.model_fields.items():
        assert (f"--{name.replace('_', '-')} " in shown) == field.repr, name


def test_the_version_is_the_engine_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code"),
    [(InvalidValue("price_per_label must be above 0, got 0"), 2), (LabelStudioError("Label Studio is away", retryable=True), 3)],
)
def test_an_error_meant_for_people_is_one_line_on_standard_error(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr(app, "mcal", failing)
    assert app.run([]) == code
    seen = capsys.readouterr()
    assert seen.err == f"mcal: {error}\n"
    assert seen.out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["campaign", "create", "--project", "1", "--target-error", "5", "--price", "0.04"], "got 5 (did you mean 0.05?)"),
        (["campaign", "create", "--project", "1", "--target-error", "0.05", "--price", "0"], "price_per_label must be at least 0.000001"),
        (["campaign", "create", "--project", "1", "--target-error", "0.05"], "price_per_label is required"),
        (["campaign", "create", "--target-error", "0.05", "--price", "1"], "Missing option '--project'"),
        (["campaign", "set", "1"], "no setting was given"),
        (["campaign", "show", "7"], "there is no campaign 7"),
        (["campaign", "pause", "7"], "there is no campaign 7"),
        (["campaign", "rollback", "7", "--yes"], "there is no campaign 7"),
        (["campaign", "show", "x"], "campaign must be a whole number of at least 1, got 'x'"),
        (["demo", "--target-error", "5"], "did you mean 0.05?"),
        (["bench", "headline", "--data", "x", "--target-error", "5"], "target_error must be in (0, 1), got 5 (did you mean 0.05?)"),
        (["bench", "paper", "--data", "x", "--machine-price-per-hour", "nan"], "machine_price_per_hour must be a number, got 'nan'"),
        (["bench", "engine", "--seeds", "1" + "0" * 400], "--seeds must be a whole number of at most 1,000,000,000,000"),
        (["demo", "--items", "100"], "--items must be a whole number of at least 200, got 100"),
        (["demo", "--data", "nowhere"], "'nowhere' does not exist"),
        (["nonsense"], "No such command 'nonsense'"),
        (["serve", "--port", "0.5"], "port"),
        (["serve", "--host", "0.0.0.0"], "MCAL_BASIC_AUTH_USER"),
        (["serve", "--label-studio-url", "localhost:8080"], "label_studio_url must be an address"),
        (["worker"], "MCAL_LABEL_STUDIO_TOKEN is not set"),
        (["campaign", "create", "--project", "1", "--target-error", "0.05", "--price", "1"], "MCAL_LABEL_STUDIO_TOKEN is not set"),
    ],
)
def test_bad_input_is_exit_code_two_with_the_rule(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(arguments) == 2
    seen = capsys.readouterr()
    assert said in seen.err
    assert "Traceback" not in seen.err


def every_command(command: click.Command, path: str = "mcal") -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from every_command(found, f"{path} {name}")


def test_no_number_on_the_command_line_is_refused_in_other_words_than_ours() -> None:
    types = {(path, str(param.name)): param.type for path, each in every_command(app.mcal) for param in each.params}
    foreign = (click.IntRange, click.FloatRange, type(click.INT), type(click.FLOAT))
    assert len(types) > 300
    assert sum(isinstance(kind, Whole | Number) for kind in types.values()) > 20
    assert [at for at, kind in types.items() if isinstance(kind, foreign) and not isinstance(kind, Whole | Number)] == []


@pytest.mark.slow
def test_help_does_not_wait_for_heavy_imports() -> None:
    script = (
        "import sys; from backend.cli import app; app.run(['--help']); app.run(['campaign', '--help'])\n"
        "print(sorted(set(sys.modules) & {'torch', 'scipy', 'flask', 'label_studio_sdk', 'matplotlib'}), file=sys.stderr)"
    )
    root = Path(app.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.slow
def test_simulate_and_bench_share_the_cores_before_numpy_is_loaded() -> None:
    script = (
        "import os, sys; from backend.cli.app import mcal; import click\n"
        "assert 'numpy' not in sys.modules; mcal.get_command(click.Context(mcal), sys.argv[1])\n"
        "print(os.environ['OMP_WAIT_POLICY'], os.environ['OPENBLAS_NUM_THREADS'])"
    )
    root = Path(app.__file__).parents[2]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "OPENBLAS_"))}
    for command, given, shown in (("simulate", {}, "PASSIVE 1"), ("bench", {"OPENBLAS_NUM_THREADS": "2"}, "PASSIVE 2")):
        done = subprocess.run(
            [sys.executable, "-c", script, command], cwd=root, env=kept | given, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == shown


@pytest.mark.slow
def test_campaign_create_with_label_studio_away_is_exit_code_three(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MCAL_LABEL_STUDIO_TOKEN", "0123456789abcdef0123456789abcdef01234567")
    monkeypatch.setenv("MCAL_LABEL_STUDIO_URL", "http://127.0.0.1:9")
    assert app.run(["campaign", "create", "--project", "1", "--target-error", "0.05", "--price", "1"]) == 3
    said = capsys.readouterr().err
    assert "cannot be reached" in said
    assert "0123456789abcdef" not in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["campain"], "no such command 'campain' (did you mean campaign?)"),
        (["campaign", "reprot", "1"], "no such command 'reprot' (did you mean report?)"),
        (["bench", "papr"], "no such command 'papr' (did you mean paper?)"),
    ],
)
def test_a_mistyped_command_is_told_with_what_was_meant(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(arguments) == 2
    assert said in capsys.readouterr().err


def test_an_interrupt_keeps_its_exit_code_wherever_it_comes(tmp_path: Path) -> None:
    """Caught while text was executed, it used to end ``python -m`` by the signal and not with 130."""
    (tmp_path / "interrupted.py").write_text(
        "import backend.cli, backend.cli.app\n"
        "def run(arguments):\n"
        "    try:\n"
        "        exec('raise KeyboardInterrupt')\n"
        "    except KeyboardInterrupt:\n"
        "        return 130\n"
        "backend.cli.app.run = run\n"
        "backend.cli.main()\n"
    )
    root = str(Path(backend.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), root])}
    assert subprocess.run([sys.executable, "-m", "interrupted"], env=environment, cwd=tmp_path, check=False).returncode == 130
