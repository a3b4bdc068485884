"""``mcal bootstrap --check`` refuses what a deployment would trip over, by the name that stands in .env and with its rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.cli.app import run
from backend.cli.preflight import PROFILES, preflight
from mcal_engine.errors import InvalidValue
from tests.backend.test_deployment_files import EXAMPLE

GOOD = "0123456789abcdef"
FILLED_IN = {
    name: value or f"{GOOD}{name.replace('_', '')}"
    for name, _, value in (line.partition("=") for line in EXAMPLE.splitlines())
    if name and not name.startswith("#")
}


def test_the_example_filled_in_is_in_order() -> None:
    assert FILLED_IN["POSTGRES_PASSWORD"].startswith(GOOD)
    for profile in PROFILES:
        assert preflight(FILLED_IN | {"COMPOSE_PROFILES": profile}) == []


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("REDIS_PASSWORD", FILLED_IN["POSTGRES_PASSWORD"], "must differ from every other password"),
        ("BACKEND_DATABASE_PASSWORD", "with@sign", "letters and digits only"),
        ("LABEL_STUDIO_PASSWORD", "short", "must have at least 8 characters, has 5"),
        ("MCAL_ADMIN_PASSWORD", "x", "must have at least 8 characters, has 1"),
        ("MCAL_BASIC_AUTH_PASSWORD", "1234567", "must have at least 8 characters, has 7"),
        ("POSTGRES_PASSWORD", "change-me-soon", "still holds a placeholder"),
        ("POSTGRES_PASSWORD", "p@ss/word#1", "must be letters and digits only"),
        ("POSTGRES_PASSWORD", "it's'; DROP", "must be letters and digits only"),
        ("LABEL_STUDIO_USERNAME", "admin", "must be an address such as admin@example.com.* got 'admin'"),
        ("COMPOSE_PROFILES", "embedded,scale", "must be one of embedded, gpu, scale, scale-gpu, got 'embedded,scale'"),
        ("FRONT_SUBNET", "10.1.2.0/24", r"must be a part of 198\.18\.0\.0/15.* got '10\.1\.2\.0/24'"),
        ("FRONT_SUBNET", "198.19.90.1/24", "must be a part of"),
        ("FRONT_SUBNET", "anything", "must be a part of"),
        ("MCAL_TARGET_ERROR", "5", r"target_error must be .* got '?5"),
    ],
)
def test_each_variable_is_refused_with_its_rule_and_without_a_secret(name: str, value: str, rule: str) -> None:
    with pytest.raises(InvalidValue, match=rule) as refused:
        preflight(FILLED_IN | {name: value})
    assert name.removeprefix("MCAL_") in str(refused.value).upper()
    assert "PASSWORD" not in name or value not in str(refused.value)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(InvalidValue, match=r"LABEL_STUDIO_PASSWORD .*; MCAL_ADMIN_PASSWORD .*; LABEL_STUDIO_USERNAME "):
        preflight(FILLED_IN | {"LABEL_STUDIO_PASSWORD": "short", "MCAL_ADMIN_PASSWORD": "x", "LABEL_STUDIO_USERNAME": "me"})


def test_a_slip_of_the_pen_is_told_and_stops_nothing() -> None:
    (slip,) = preflight(FILLED_IN | {"MCAL_TARGET_EROR": "0.05"})
    assert "did you mean MCAL_TARGET_ERROR?" in slip


def test_the_command_looks_at_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in FILLED_IN.items():
        monkeypatch.setenv(name, value)
    assert run(["bootstrap", "--check", "--data-dir", str(tmp_path)]) == 0
    assert "the settings are in order" in capsys.readouterr().out
    monkeypatch.setenv("LABEL_STUDIO_PASSWORD", "change-me")
    assert run(["bootstrap", "--check", "--data-dir", str(tmp_path)]) == 2
    assert "LABEL_STUDIO_PASSWORD" in (told := capsys.readouterr().err)
    assert "change-me" not in told
