"""docker-compose.yml on a real engine: it comes up, campaigns run to their end in it, and it survives what happens to machines."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.docker.conftest import Deploy
from tests.docker.deployment import Deployment, assert_continues, docker, until
from tests.docker.labelling import Campaign

pytestmark = [pytest.mark.docker, pytest.mark.timeout(3600)]

TRAINING = "training_due"


def inspect(container: str) -> dict[str, Any]:
    return dict(json.loads(docker("inspect", container))[0])


def holder(deployment: Deployment) -> str:
    """The worker container that has the campaign's lease: owners begin with their container's host name, its id."""
    sql = "SELECT owner FROM leases WHERE expires_at > now()"
    owners = deployment.compose(
        "exec", "--no-TTY", "postgres", "psql", "--username=postgres", "--dbname=mcal", "--tuples-only", "--command", sql
    )
    return next(
        (each for each in deployment.containers("worker") if any(each.startswith(owner.strip()[:12]) for owner in owners.split())), ""
    )


def rounds(campaign: Campaign) -> int:
    return len(campaign.deployment.api(f"/campaigns/{campaign.id}")["decisions"])


def test_the_embedded_variant_runs_a_campaign_to_its_end_through_down_and_up(deploy: Deploy) -> None:
    deployment = deploy("embedded")
    campaign = Campaign(deployment)
    campaign.begin()
    with campaign:
        until(lambda: rounds(campaign) >= 1, "a first decision")
        deployment.compose("stop", "worker")
        before = deployment.tables()
    deployment.down()
    deployment.up()
    after = deployment.tables()
    assert_continues(before, after)
    assert {row[2] for row in before["items"]} == {row[2] for row in after["items"]}
    again = Campaign.resumed(campaign)
    with again:
        report = again.check()
    assert_continues(before, deployment.tables())
    assert report["n_items"] == len(campaign.truth)
    doctor = json.loads(deployment.run_in_web("mcal", "doctor", "--project", str(campaign.project.id), "--json", check=False))
    failed = [row for row in doctor if row["status"] == "fail"]
    assert [row["name"] for row in failed if not row["name"].endswith("tasks")] == []
    assert any(row["name"].endswith("webhook") and row["status"] == "ok" for row in doctor)
    assert any(row["name"].endswith("model") and row["status"] == "ok" for row in doctor)


def test_with_two_workers_one_is_killed_in_mid_round_and_postgresql_restarts(deploy: Deploy) -> None:
    deployment = deploy("scale", MCAL_LEASE_SECONDS="10")
    assert len(deployment.containers("worker")) == 2
    campaign = Campaign(deployment)
    campaign.begin()
    with campaign:
        killed = until(lambda: campaign.phase() == TRAINING and holder(deployment), "a worker trains", every=0.05)
        docker("kill", killed)
        before = deployment.tables()
        until(lambda: (now := holder(deployment)) and now != killed, "the other worker has taken over", seconds=120)
        assert_continues(before, deployment.tables())
        done = rounds(campaign)
        until(lambda: rounds(campaign) > done, "the round is decided")
        deployment.compose("restart", "postgres")
        report = campaign.check()
    assert_continues(before, deployment.tables())
    assert report["n_items"] == len(campaign.truth)
    assert deployment.compose("exec", "--no-TTY", "redis", "redis-cli", "dbsize").strip().isdigit()


def test_a_stopped_worker_hands_its_step_back_at_once(deploy: Deploy) -> None:
    deployment = deploy("scale", MCAL_LEASE_SECONDS="300")  # nobody waits for that
    campaign = Campaign(deployment)
    campaign.begin()
    with campaign:
        stopped = until(lambda: campaign.phase() == TRAINING and holder(deployment), "a worker trains", every=0.05)
        docker("stop", "--time", "30", stopped)
        assert inspect(stopped)["State"]["ExitCode"] == 0, "it had to be killed"
        until(lambda: ((now := holder(deployment)) and now != stopped) or campaign.phase() != TRAINING, "the other goes on", seconds=60)
    assert [line["message"] for line in deployment.logs(stopped)][-1] == "worker: stopped"


def test_containers_run_without_rights_and_tell_what_they_do_in_json(deploy: Deploy) -> None:
    deployment = deploy("embedded")
    found = {kind: inspect(deployment.containers(kind)[0]) for kind in ("web", "worker")}
    for each in found.values():
        assert each["Config"]["User"] == "10001:10001"
        assert each["HostConfig"]["ReadonlyRootfs"]
        assert each["HostConfig"]["CapDrop"] == ["ALL"]
        assert each["State"]["Health"]["Status"] == "healthy"
    listening = deployment.logs(deployment.containers("web")[0])
    assert {"time", "level", "logger", "message"} <= set(listening[0])
    published = deployment.compose("ps", "--format", "json")
    ports = [port["PublishedPort"] for line in published.splitlines() for port in json.loads(line)["Publishers"] if port["PublishedPort"]]
    assert sorted(ports) == sorted(int(deployment.settings[name]) for name in ("LABEL_STUDIO_PORT", "PAGE_PORT"))
    assert httpx.get(f"{deployment.page_url}/api/v1/campaigns").status_code == 401
    assert httpx.post(f"{deployment.page_url}/setup", json={}).status_code == 401
    second = deployment.compose("run", "--rm", "--no-deps", "bootstrap")
    assert "new" not in second


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("LABEL_STUDIO_PASSWORD", "change-me", "placeholder.* LABEL_STUDIO_PASSWORD"),
        ("POSTGRES_PASSWORD", "p@ss/word", "POSTGRES_PASSWORD must be letters and digits only"),
    ],
)
def test_nothing_starts_with_a_secret_that_breaks_a_rule(deploy: Deploy, name: str, value: str, told: str) -> None:
    deployment = deploy("embedded", up=False, **{name: value})
    with pytest.raises(AssertionError, match=told):
        deployment.up()
    assert not deployment.compose("ps", "--quiet")


def test_each_part_of_the_scale_variant_opens_its_own_data_and_nothing_else(deploy: Deploy) -> None:
    deployment = deploy("scale", up=False)
    deployment.compose("up", "--detach", "--wait", "--no-build", "--no-deps", "postgres", "redis")
    of = deployment.settings

    def sql(user: str, password: str, database: str, statement: str = "SELECT 1") -> str:
        """What PostgreSQL answers through the network, as another container asks it; "" where it refuses."""
        address = f"postgresql://{user}:{password}@postgres/{database}"
        return deployment.compose(
            "exec", "--no-TTY", "postgres", "psql", address, "--tuples-only", "--command", statement, check=False
        ).strip()

    ours, theirs = of["BACKEND_DATABASE_PASSWORD"], of["LABEL_STUDIO_DATABASE_PASSWORD"]
    rights = "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles WHERE rolname = current_user"
    for user, password in (("mcal", ours), ("label_studio", theirs)):
        assert sql(user, password, user) == "1"
        assert sql(user, password, user, rights).replace(" ", "") == "f|f|f|f"
        assert sql(user, password, user, "CREATE TABLE its_own (n int); SELECT count(*) FROM its_own").endswith("0")
    for user, password, database in (
        ("label_studio", theirs, "mcal"),
        ("mcal", ours, "label_studio"),
        ("mcal", theirs, "mcal"),
        ("postgres", theirs, "postgres"),
        ("postgres", ours, "postgres"),
        ("label_studio", theirs, "postgres"),
    ):
        assert sql(user, password, database) == "", f"{user} opens {database}"
    assert sql("postgres", of["POSTGRES_PASSWORD"], "postgres") == "1"

    def ping(*arguments: str) -> str:
        return deployment.compose("exec", "--no-TTY", "--env", "REDISCLI_AUTH=", "redis", "redis-cli", *arguments, "ping", check=False)

    assert "NOAUTH" in ping()
    assert "PONG" in ping("-a", of["REDIS_PASSWORD"], "--no-auth-warning")
    for name in ("postgres", "redis"):
        (container,) = deployment.compose("ps", "--quiet", name).split()
        host = inspect(container)["HostConfig"]
        assert (host["CapDrop"], host["SecurityOpt"], host["PidsLimit"]) == (["ALL"], ["no-new-privileges:true"], 1024)
        status = deployment.compose("exec", "--no-TTY", name, "cat", "/proc/1/status")
        assert "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status and "Uid:\t0\t" not in status
