"""``mcal health`` tells a living worker or web server from a dead one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from backend.cli.app import run
from backend.cli.health import pulse
from backend.settings import server_settings
from mcal_engine.errors import MCALError
from tests.backend.label_studio.local_server import as_json, serving


def test_a_web_server_that_answers_is_well(tmp_path: Path) -> None:
    with serving(lambda asked: as_json({"status": "ok"}, 200 if asked.path == "/readyz" else 404)) as server:
        assert run(["health", "--port", str(server.port), "--data-dir", str(tmp_path)]) == 0


def test_an_error_and_silence_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda asked: as_json({"checks": {"jobs": "away"}}, 503)) as server:
        assert run(["health", "--port", str(server.port), "--data-dir", str(tmp_path)]) == 1
        assert "answers 503: " in capsys.readouterr().out
    assert run(["health", "--port", str(server.port), "--data-dir", str(tmp_path)]) == 1
    assert "nothing healthy answers on port" in capsys.readouterr().out


def test_a_worker_is_well_until_its_timer_has_been_silent_for_long(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = server_settings(data_dir=tmp_path, poll_seconds=20)
    troubles: list[Exception] = []

    def check() -> None:
        if troubles:
            raise troubles[0]

    with pulse(settings, check) as alive:
        assert run(["health", "--data-dir", str(tmp_path)]) == 0
        (file,) = (tmp_path / "pulses").iterdir()
        long_ago = time.time() - 4 * 20 - 70
        os.utime(file, (long_ago, long_ago))
        assert run(["health", "--data-dir", str(tmp_path)]) == 1
        assert "silent for 150 s, 140 s are allowed" in capsys.readouterr().out
        troubles.append(MCALError("the job queue is away"))
        with pytest.raises(MCALError):
            alive()
        assert run(["health", "--data-dir", str(tmp_path)]) == 1
        troubles.clear()
        alive()
        assert run(["health", "--data-dir", str(tmp_path)]) == 0
    assert not file.exists()
