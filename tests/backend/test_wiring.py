"""Settings in, ready objects out."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from backend import wiring
from backend.jobs import JobQueue
from backend.settings import ServerSettings, server_settings
from backend.store import NewEvent, Store
from backend.web.app import create_app
from mcal_engine.errors import InvalidValue

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServerSettings:
    monkeypatch.chdir(tmp_path)  # away from any .env
    monkeypatch.setenv("MCAL_LABEL_STUDIO_TOKEN", "0" * 40)
    return server_settings(data_dir=tmp_path, label_studio_url="http://127.0.0.1:9")


def test_a_worker_can_be_built_without_asking_anybody(settings: ServerSettings) -> None:
    store, jobs = Store(settings.database_url), JobQueue(settings.queue_url)
    store.migrate()
    with wiring.worker(settings, store, jobs, threading.Event()) as made:
        made.wake_all()
    assert jobs.waiting() == []


def test_servers_start_without_what_takes_seconds_to_import() -> None:
    heavy = "('torch', 'label_studio_sdk', 'pandas', 'scipy.stats', 'plotly', 'boto3')"
    script = f"import sys, backend.wiring; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_shared_cache_is_only_opened_where_it_is_elsewhere(settings: ServerSettings, tmp_path: Path) -> None:
    assert wiring.shared_cache(settings) is None
    elsewhere = settings.model_copy(update={"cache_url": f"file://{tmp_path}/shared", "cache_key": SecretStr("0123456789abcdef")})
    shared = wiring.shared_cache(elsewhere)
    assert shared is not None and shared._key == b"0123456789abcdef"


def test_campaigns_of_different_databases_keep_their_images_apart(tmp_path: Path) -> None:
    names = set()
    for database in ("one", "two"):
        store = Store(f"sqlite:///{tmp_path / database}.db")
        store.migrate()
        campaign = store.create_campaign(7, "http://ls", [])
        assert wiring.image_folder(campaign) == wiring.image_folder(store.campaign(campaign.id))
        names.add(wiring.image_folder(campaign))
        store.close()
    assert len(names) == 2 and all(name.startswith("campaign-1-") for name in names)


def test_without_a_token_there_are_no_services_and_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MCAL_LABEL_STUDIO_TOKEN", raising=False)
    bare = server_settings(data_dir=tmp_path)
    with pytest.raises(InvalidValue, match="MCAL_LABEL_STUDIO_TOKEN is not set"), wiring.services(bare, Store(bare.database_url)):
        pass


def test_the_web_app_answers_setup_status_and_report_from_the_database(settings: ServerSettings) -> None:
    store, jobs = Store(settings.database_url), JobQueue(settings.queue_url)
    store.migrate()
    wanted = {"target_error": 0.05, "price_per_label": 0.04}
    campaign = store.create_campaign(7, settings.label_studio_url, [NewEvent("requested", {"settings": wanted, "source": "test"})])
    told: list[str] = []
    host = {"Host": "127.0.0.1"}
    with wiring.web_deps(settings, store, jobs, tell=told.append) as deps:
        client = create_app(deps).test_client()
        said = client.post("/setup", json={"project": "7.1", "schema": "<View/>"}, headers=host)
        assert said.get_json()["model_version"] == "waiting for the first visit to the project"
        login = ("admin", told[0].splitlines()[0].split()[-1])
        report = client.get(f"/api/v1/campaigns/{campaign.id}/report", headers=host, auth=login).get_json()
        assert report["phase"] == "requested" and report["n_items"] is None
        rows = client.get("/api/v1/campaigns", headers=host, auth=login).get_json()["campaigns"]
        assert rows[0]["sentence"] == "Waiting for the first visit to the project"
        predicted = client.post("/predict", json={"project": "7.1", "tasks": [{"id": 1}], "label_config": ""}, headers=host)
        assert predicted.get_json()["results"][0]["result"] == []
