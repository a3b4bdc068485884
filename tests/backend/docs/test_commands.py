"""What the documents mark as ``run`` does run, as it stands there, on a campaign that is under way."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.cli.app import run as mcal
from backend.docs import Page
from tests.backend.docs.documents import DOCUMENTS, blocks
from tests.backend.world import World
from tests.browser.served import PASSWORD, TOKEN, deps_of, serving

pytestmark = pytest.mark.slow

OURS = ("MCAL_", "DATABASE_URL", "QUEUE_URL")
RUN = {path: page for path, page in DOCUMENTS.items() if any(block.mark == "run" for block in blocks(page))}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Campaign 1, two rounds in."""
    made = World(tmp_path_factory.mktemp("documented"), n=400)
    made.advance()
    for _ in range(2):
        made.label()
        made.advance()
    yield made
    made.store.close()


@pytest.mark.parametrize("page", RUN.values(), ids=RUN.keys())
def test_the_commands_of_a_page_run(
    page: Page, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "\n".join(block.text for block in blocks(page) if block.mark == "run")
    with sqlite3.connect(world.path) as whole, sqlite3.connect(tmp_path / "mcal.db") as copy:
        whole.backup(copy)
    lines = [line for line in text.splitlines() if line.strip()]
    if all(line.startswith("mcal ") for line in lines):  # here, which saves each of them the start of a process
        for name in os.environ:
            if name.startswith(OURS):
                monkeypatch.delenv(name)
        monkeypatch.setenv("MCAL_DATA_DIR", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        for line in lines:
            code = mcal(shlex.split(line, comments=True)[1:])
            said = capsys.readouterr()
            assert code == 0, f"{line}: {said.err}"
            assert said.out or said.err, f"{line} said nothing"
        return
    if "curl" in text and shutil.which("curl") is None:
        pytest.skip("NOT RUN, because there is no curl on this machine")
    with serving(deps_of(world)) as url:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        environment |= {"MCAL_PUBLIC_URL": url, "MCAL_API_TOKEN": TOKEN, "MCAL_ADMIN_PASSWORD": PASSWORD}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout, "it said nothing"
