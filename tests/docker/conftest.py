"""The images, built once: ours, and stand-ins of the same names for those that cannot be pulled.

``MCAL_TEST_IMAGES=there``: all of them have been built or pulled already.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docker.deployment import ROOT, Deployment, docker

OURS = "mcal-backend:local"
OTHERS = {"heartexlabs/label-studio:1.23.2": "label-studio", "postgres:17": "postgres", "redis:7": "redis"}
Deploy = Callable[..., Deployment]


@pytest.fixture(scope="session")
def images() -> None:
    """Fails where there is no engine: these tests are asked for by name, and one that did not run is no evidence."""
    assert shutil.which("docker"), "docker is not installed"
    docker("compose", "version")
    if os.environ.get("MCAL_TEST_IMAGES") == "there":
        return
    docker("build", "--network", "host", "--tag", OURS, str(ROOT), timeout=3600)
    for name, folder in OTHERS.items():
        if docker("images", "--quiet", name):
            continue
        docker("pull", "--quiet", name, check=False)
        if not docker("images", "--quiet", name):
            docker("build", "--network", "host", "--tag", name, str(Path(__file__).parent / "images" / folder), timeout=3600)


@pytest.fixture
def deploy(images: None, tmp_path: Path) -> Iterator[Deploy]:
    """A deployment in a folder of its own, up and healthy; volumes and all are removed after the test."""
    with ExitStack() as stack:

        def make(profile: str, *, up: bool = True, **more: str) -> Deployment:
            deployment = Deployment(tmp_path / profile, profile, more)
            stack.callback(deployment.down, volumes=True)
            if up:
                deployment.up()
            return deployment

        yield make
