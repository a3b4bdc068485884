"""``mcal bootstrap`` against a real Label Studio: user, token, webhook and connection from nothing, and nothing twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.cli.app import run
from backend.credentials import kept_token
from backend.demo.label_studio_server import LabelStudioServer
from backend.demo.processes import Command, wait_until_healthy
from backend.demo.project import label_config
from backend.label_studio.client import LabelStudioClient
from tests.conftest import RealLabelStudio
from tests.docker.deployment import free_ports

pytestmark = pytest.mark.contract

SERVICE = "mcal.bootstrap@backend.localhost"
SECRET = "the-webhooks-own-secret"


@pytest.fixture
def server(real_label_studio: RealLabelStudio) -> LabelStudioServer:
    return real_label_studio.server


@pytest.fixture
def environment(server: LabelStudioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    (port,) = free_ports(1)
    values = {
        "LABEL_STUDIO_USERNAME": server.admin_email,
        "LABEL_STUDIO_PASSWORD": server.admin_password,
        "MCAL_LABEL_STUDIO_URL": server.url,
        "MCAL_SERVICE_EMAIL": SERVICE,
        "MCAL_DATA_DIR": str(tmp_path / "data"),
        "MCAL_HOST": "127.0.0.1",
        "MCAL_PORT": str(port),
        "MCAL_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "MCAL_WEBHOOK_SECRET": SECRET,
        "MCAL_BASIC_AUTH_USER": "label-studio",
        "MCAL_BASIC_AUTH_PASSWORD": "a-password-for-label-studio",
        "MCAL_ADMIN_PASSWORD": "a-password-for-the-pages",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


@pytest.fixture
def web(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    command = Command(["serve"], environment, tmp_path)
    command.start()
    try:
        wait_until_healthy(environment["MCAL_PUBLIC_URL"], command, 60)
        yield environment["MCAL_PUBLIC_URL"]
    finally:
        command.stop()


def token_file(environment: dict[str, str]) -> Path:
    return Path(environment["MCAL_DATA_DIR"]) / "label-studio-token"


def project(server: LabelStudioServer) -> int:
    body = {"title": "for bootstrap", "label_config": label_config(["a", "b"])}
    reply = httpx.post(f"{server.url}/api/projects", json=body, headers={"Authorization": f"Token {server.admin_token}"})
    return int(reply.json()["id"])


def models(server: LabelStudioServer, project_id: int) -> list[dict[str, Any]]:
    reply = httpx.get(f"{server.url}/api/ml", params={"project": project_id}, headers={"Authorization": f"Token {server.admin_token}"})
    return list(reply.json())


def test_a_user_is_made_once_and_a_lost_token_is_replaced(
    server: LabelStudioServer, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bootstrap"]) == 0
    assert "has a new token and is a new user" in capsys.readouterr().out
    first = kept_token(token_file(environment), server.url)
    assert first is not None
    client = LabelStudioClient(server.url, first)
    assert client.current_user().email == SERVICE
    client.close()
    assert run(["bootstrap"]) == 0
    assert f"is {SERVICE}" in capsys.readouterr().out
    assert kept_token(token_file(environment), server.url) == first
    token_file(environment).unlink()
    assert run(["bootstrap"]) == 0
    said = capsys.readouterr().out
    assert "has a new token" in said
    assert "new user" not in said
    assert kept_token(token_file(environment), server.url) not in (None, first)
    assert server.admin_password not in token_file(environment).read_text()


def test_a_project_is_connected_with_login_and_secret_and_not_twice(
    server: LabelStudioServer, environment: dict[str, str], web: str, capsys: pytest.CaptureFixture[str]
) -> None:
    number = project(server)
    assert run(["bootstrap", "--project", str(number)]) == 0, capsys.readouterr().err
    assert run(["bootstrap", "--project", str(number), "--target-error", "0.05", "--price", "0.04"]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert said.count(f"project {number} is connected to {web}") == 2
    assert said.count("as it was before") == 1
    (model,) = models(server, number)
    assert model["readable_state"] == "Connected"
    assert model["auth_method"] == "BASIC_AUTH"
    assert model["extra_params"] == {"target_error": 0.05, "price_per_label": 0.04}
    client = LabelStudioClient(server.url, str(kept_token(token_file(environment), server.url)))
    (hook,) = client.webhooks(number)
    client.close()
    assert hook["url"] == f"{web}/webhook"
    assert hook["headers"] == {"X-MCAL-Secret": SECRET}


def test_a_backend_that_is_not_up_is_told(
    server: LabelStudioServer, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bootstrap", "--project", str(project(server))]) == 3
    assert "health check failed" in capsys.readouterr().err


def test_a_slip_in_a_setting_is_told_before_anything_happens(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bootstrap", "--project", "1", "--target-error", "5", "--price", "0.04"]) == 2
    assert "target_error" in capsys.readouterr().err
    assert not token_file(environment).exists()


def test_a_token_of_ones_own_is_taken_as_it_is(
    real_label_studio: RealLabelStudio, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MCAL_LABEL_STUDIO_TOKEN", real_label_studio.service_token)
    assert run(["bootstrap"]) == 0
    assert "is mcal@example.com" in capsys.readouterr().out
    assert not token_file(environment).exists()
    monkeypatch.setenv("MCAL_LABEL_STUDIO_TOKEN", "0" * 40)
    assert run(["bootstrap"]) == 2
    assert "refuses MCAL_LABEL_STUDIO_TOKEN" in capsys.readouterr().err
    assert json.dumps("0" * 40) not in capsys.readouterr().err
