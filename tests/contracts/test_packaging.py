"""The wheel and the sdist: built, complete, installed somewhere else, and at work there."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import mcal_engine
from backend.demo.label_studio_server import _uv

pytestmark = pytest.mark.contract  # uv asks the package registry for the build backend and for the dependencies' metadata

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MCAL_", "DATABASE_URL", "QUEUE_URL", "PYTHON"))}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=kept | environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(*_uv(), "build", "--quiet", "--python", sys.executable, "--out-dir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of a new environment with the wheel in it; its dependencies are looked up in the environment of the tests."""
    environment = tmp_path_factory.mktemp("elsewhere") / "venv"
    run(*_uv(), "venv", "--quiet", "--python", sys.executable, environment, cwd=wheel.parent)
    run(*_uv(), "pip", "install", "--quiet", "--python", environment / "bin" / "python", "--no-deps", wheel, cwd=wheel.parent)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")  # the project's own .pth in there does not count
    return environment / "bin"


def test_everything_that_is_not_python_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    needed = {
        str(path.relative_to(ROOT))
        for package in ("backend", "mcal_engine")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert needed - packed == set()
    assert {"backend/py.typed", "mcal_engine/py.typed", "backend/store/migrations/script.py.mako"} <= packed
    assert not [name for name in packed if name.startswith("tests/")]


def test_the_version_comes_from_one_place_and_the_license_is_named_and_packed(wheel: Path, metadata: Message) -> None:
    assert metadata["Version"] == mcal_engine.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    with zipfile.ZipFile(wheel) as archive:
        (license_file,) = [name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
        assert archive.read(license_file) == (ROOT / "LICENSE").read_bytes()


def test_the_sdist_has_what_a_packager_needs(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "CHANGELOG.md", "README.md", "pyproject.toml", "requirements.lock", "Makefile", "tests/conftest.py"} <= names
    assert not [name for name in names if name.startswith((".venv", ".tools", "build/", "dist/", ".env")) and name != ".env.example"]


def test_label_studio_ml_is_an_extra_and_nothing_else_needs_it(metadata: Message) -> None:
    requirements = metadata.get_all("Requires-Dist") or []
    asked = [each for each in requirements if each.startswith("label-studio-ml")]
    assert asked
    assert all("extra ==" in each for each in asked)


def test_the_command_works_where_the_wheel_is_installed(elsewhere: Path, tmp_path: Path) -> None:
    settings = {"MCAL_DATA_DIR": str(tmp_path / "data")}
    assert run(elsewhere / "mcal", "--version", cwd=tmp_path).strip() == f"mcal, version {mcal_engine.__version__}"
    assert "made anew" in run(elsewhere / "mcal", "migrate", cwd=tmp_path, **settings)
    assert run(elsewhere / "mcal", "campaign", "list", "--json", cwd=tmp_path, **settings).strip() == "[]"
    script = (
        "import sys, importlib.util; from pathlib import Path; import backend, mcal_engine\n"
        "assert all(Path(m.__file__).is_relative_to(sys.prefix) for m in (backend, mcal_engine)), backend.__file__\n"
        "from backend.web.app import create_app; import backend.training, backend.cli.serve\n"
    )
    run(elsewhere / "python", "-W", "error::SyntaxWarning", "-c", script, cwd=tmp_path, **settings)


def test_pip_finds_every_dependency_of_the_wheel_and_the_extra_with_the_locks_overrides(wheel: Path, tmp_path: Path) -> None:
    run(*_uv(), "venv", "--quiet", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    install = [*_uv(), "pip", "install", "--dry-run", "--python", tmp_path / "venv" / "bin" / "python"]
    plain = run(*install, wheel, cwd=tmp_path)
    assert " + flask==3" in plain
    assert "label-studio-ml" not in plain
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["override-dependencies"]
    (tmp_path / "overrides.txt").write_text("\n".join(overrides))
    whole = run(*install, "--overrides", tmp_path / "overrides.txt", f"{wheel}[label-studio-ml]", cwd=tmp_path)
    assert " + label-studio-ml==1.0.9" in whole
    assert " + flask==3" in whole
