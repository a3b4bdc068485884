"""Dockerfile, docker-compose.yml and .env.example, read as text: what must hold on every machine, with an engine or without."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.settings import unknown_environment

ROOT = Path(__file__).parents[2]
PROFILES = {"embedded", "gpu", "scale", "scale-gpu"}
ONE_SHOT = {"preflight", "bootstrap"}
EXAMPLE = (ROOT / ".env.example").read_text()
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
DATABASE_SECRETS = {"POSTGRES_PASSWORD", "LABEL_STUDIO_DATABASE_PASSWORD", "BACKEND_DATABASE_PASSWORD", "REDIS_PASSWORD"}
SECRETS = {"LABEL_STUDIO_PASSWORD", "MCAL_ADMIN_PASSWORD", "MCAL_BASIC_AUTH_PASSWORD", *DATABASE_SECRETS}
WEB_SECRETS = {"MCAL_ADMIN_PASSWORD", "MCAL_BASIC_AUTH_PASSWORD", "MCAL_API_TOKEN"}
IMAGES = {"BACKEND_IMAGE", "BASE_IMAGE", "LABEL_STUDIO_IMAGE", "POSTGRES_IMAGE", "REDIS_IMAGE"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE_TEXT))


def services(compose: dict[str, Any], profile: str) -> dict[str, Any]:
    return {name: each for name, each in compose["services"].items() if profile in each["profiles"]}


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_each_profile_is_a_whole_deployment(compose: dict[str, Any], profile: str) -> None:
    running = services(compose, profile)
    kinds = {re.sub(r"(-scale)?(-gpu)?$", "", name) for name in running}
    databases = {"postgres", "redis"} if profile.startswith("scale") else set()
    assert kinds == {"label-studio", "web", "worker", *ONE_SHOT, *databases}
    assert len(running) == len(kinds), "two of a kind would fight over a port or a database"
    for name, service in running.items():
        for needed, condition in service.get("depends_on", {}).items():
            assert needed in running or condition.get("required") is False, f"{name} waits for {needed}, which {profile} does not start"
    gpu = [name for name, each in running.items() if "reservations" in each.get("deploy", {}).get("resources", {})]
    assert bool(gpu) is profile.endswith("gpu")


def test_every_service_belongs_to_known_profiles(compose: dict[str, Any]) -> None:
    assert {profile for each in compose["services"].values() for profile in each["profiles"]} == PROFILES
    assert re.search(r"^COMPOSE_PROFILES=embedded$", EXAMPLE, re.MULTILINE)


def test_nothing_but_label_studio_and_the_page_is_published_and_only_to_this_machine(compose: dict[str, Any]) -> None:
    published = {name: each["ports"] for name, each in compose["services"].items() if "ports" in each}
    assert set(published) == {"label-studio", "label-studio-scale", "web", "web-scale"}
    assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for ports in published.values() for port in ports)
    assert compose["networks"]["databases"]["internal"] is True


def test_what_keeps_running_has_a_healthcheck_limits_and_comes_back(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if name in ONE_SHOT:
            assert service["restart"] == "no"
            continue
        assert service["restart"] == "unless-stopped", name
        assert "memory" in service["deploy"]["resources"]["limits"], name
        assert service["logging"]["options"]["max-size"], name
        assert "healthcheck" in service or service["image"].startswith("${BACKEND_IMAGE"), name
    assert "HEALTHCHECK" in DOCKERFILE


def test_no_container_has_rights(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["deploy"]["resources"]["limits"]["pids"] <= 1024, name
        if service["image"].startswith(("${BACKEND_IMAGE", "${REDIS_IMAGE")):
            assert service["read_only"] is True, name
        if name in ("postgres", "redis"):
            assert service["user"] == name, "an entrypoint that begins as root could not become anybody else without rights"


def knows(compose: dict[str, Any], name: str) -> set[str]:
    """Which secrets of .env a service gets: by name, or inside another variable."""
    service = compose["services"][name]
    given = {f"${{{each}" for each in SECRETS | {"MCAL_API_TOKEN"}} if "env_file" in service else set()
    given -= {f"${{{each}" for each, value in service["environment"].items() if value == ""}
    texts = [str(value) for value in service["environment"].values()]
    texts += [compose["configs"][each["source"]]["content"] for each in service.get("configs", [])]
    return {each for each in SECRETS | {"MCAL_API_TOKEN"} if f"${{{each}" in given or any(f"${{{each}:" in text for text in texts)}


def test_each_container_knows_its_own_secrets_and_no_others(compose: dict[str, Any]) -> None:
    for name in compose["services"]:
        if name == "preflight":
            continue  # without a network; it judges them all
        known, scale = knows(compose, name), "scale" in name
        expected = {
            "web": WEB_SECRETS,
            "worker": set(),
            "label-studio": {"LABEL_STUDIO_PASSWORD"},
            "bootstrap": {"LABEL_STUDIO_PASSWORD", *WEB_SECRETS},
            "postgres": {"POSTGRES_PASSWORD", "LABEL_STUDIO_DATABASE_PASSWORD", "BACKEND_DATABASE_PASSWORD"},
            "redis": {"REDIS_PASSWORD"},
        }[re.sub(r"(-scale)?(-gpu)?$", "", name)]
        if scale:
            expected = expected | (
                {"LABEL_STUDIO_DATABASE_PASSWORD"} if "studio" in name else {"BACKEND_DATABASE_PASSWORD", "REDIS_PASSWORD"}
            )
        assert known == expected, name


def test_label_studio_reaches_its_database_and_not_the_backend_s_queue(compose: dict[str, Any]) -> None:
    networks = {name: set(each.get("networks", ())) for name, each in compose["services"].items()}
    assert not networks["label-studio-scale"] & networks["redis"]
    assert networks["label-studio-scale"] & networks["postgres"] and networks["web-scale"] & networks["redis"]
    assert compose["networks"]["label-studio-database"]["internal"] is True
    roles = re.findall(r"CREATE ROLE (\w+) (.*?) PASSWORD '\$\{(\w+):-\}'", compose["configs"]["databases"]["content"])
    assert roles == [("mcal", "LOGIN", "BACKEND_DATABASE_PASSWORD"), ("label_studio", "LOGIN", "LABEL_STUDIO_DATABASE_PASSWORD")]
    assert "--requirepass" in str(compose["services"]["redis"]["command"])


def test_every_image_can_be_named_by_its_digest(compose: dict[str, Any]) -> None:
    named = {each["image"] for each in compose["services"].values()} | {compose["x-backend"]["build"]["args"]["BASE_IMAGE"]}
    assert {re.sub(r"^\$\{(\w+):-.*\}$", r"\1", image) for image in named} == IMAGES
    for image in named:
        tag = image.partition(":-")[2].rstrip("}")
        assert ":" in tag and not tag.endswith(":latest"), image


def test_digests_are_written_once_per_image_and_renewed_in_place(tmp_path: Path) -> None:
    """With an engine that answers as Docker does."""
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\n[ "$4" = --format ] || exit 1\necho "sha256:$(printf %s "$6-$DAY" | sha256sum | cut -c1-64)"\n')
    docker.chmod(0o755)
    (tmp_path / ".env").write_text("MCAL_ADMIN_PASSWORD=kept\n# REDIS_IMAGE=redis:7\n")
    command = ["make", "--silent", "--file", str(ROOT / "Makefile"), "digests"]
    found = []
    for day in ("1", "2"):
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "DAY": day}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        lines = (tmp_path / ".env").read_text().splitlines()
        assert "MCAL_ADMIN_PASSWORD=kept" in lines
        found.append([line for line in lines if "@sha256:" in line])
    assert [[line.partition("=")[0] for line in day] for day in found] == [sorted(IMAGES - {"BACKEND_IMAGE"})] * 2
    assert all(re.fullmatch(r"\w+=[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", line) for day in found for line in day)
    assert not set(found[0]) & set(found[1])


def test_what_builds_the_image_comes_from_the_lock() -> None:
    joined = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    installs = [command for line in joined.splitlines() for command in line.split("&&") if "pip install" in command]
    assert len(installs) == 3 and all("--require-hashes" in each or "--no-index" in each for each in installs)
    lock = (ROOT / "requirements.lock").read_text()
    assert re.search(r"^uv==", lock, re.MULTILINE) and re.search(r"^hatchling==", lock, re.MULTILINE)
    assert "--build-constraints" in DOCKERFILE and "--require-hashes" in DOCKERFILE


def test_only_bootstrap_and_preflight_get_the_admins_password(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        password = service["environment"].get("LABEL_STUDIO_PASSWORD", "") if "environment" in service else ""
        assert bool(password) is (name in ONE_SHOT or name.startswith("label-studio")), name


def test_secrets_come_from_the_environment_and_have_no_defaults() -> None:
    for name in SECRETS:
        assert set(re.findall(rf"\$\{{{name}(:?[-?][^}}]*)?\}}", COMPOSE_TEXT)) <= {":-", ":?see .env.example"}, name
    for name in SECRETS:
        assert f"${{{name}:?" in COMPOSE_TEXT
        assert re.search(rf"^{name}=$", EXAMPLE, re.MULTILINE), f"{name} must be empty in the example"


def test_the_example_explains_every_variable_and_knows_the_settings() -> None:
    explained = set(re.findall(r"^(?:# )?([A-Z_]+)=", EXAMPLE, re.MULTILINE))
    used = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE_TEXT))
    assert used - explained <= {"BACKEND_IMAGE", "FRONT_SUBNET", "MCAL_LABEL_STUDIO_URL"}
    assert unknown_environment(dict.fromkeys(explained, "x")) == []


def test_label_studio_may_reach_the_backend_and_no_other_private_network(compose: dict[str, Any]) -> None:
    settings = compose["services"]["label-studio"]["environment"]
    assert not {"ML_BLOCK_LOCAL_IP", "SSRF_PROTECTION_ENABLED"} & set(settings), "the protection stays on"
    banned = [ipaddress.ip_network(each) for each in settings["USER_ADDITIONAL_BANNED_SUBNETS"].split(",")]

    def reachable(address: str) -> bool:
        ip = ipaddress.ip_address(address)
        return not any(ip in network for network in banned if network.version == ip.version)

    subnet = re.search(r"FRONT_SUBNET:-([\d./]+)", COMPOSE_TEXT)
    assert subnet is not None
    assert all(reachable(str(ip)) for ip in ipaddress.ip_network(subnet[1]))
    for private in (
        "10.1.2.3",
        "127.0.0.1",
        "169.254.169.254",
        "172.17.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "::1",
        "fd00::1",
        "fe80::1",
    ):
        assert not reachable(private), private
    assert reachable("93.184.216.34")


def test_label_studio_can_register_a_webhook_at_our_address(compose: dict[str, Any]) -> None:
    """Django's form takes no host without a dot, but localhost."""
    address = compose["x-backend"]["environment"]["MCAL_PUBLIC_URL"]
    host = address.removeprefix("http://").partition(":")[0]
    assert "." in host
    assert host in compose["services"]["web"]["networks"]["front"]["aliases"]
    assert host in compose["services"]["web-scale"]["networks"]["front"]["aliases"]


def test_the_image_builds_anywhere_and_is_not_root() -> None:
    assert "# syntax" not in DOCKERFILE
    assert DOCKERFILE.index("ARG BASE_IMAGE") < DOCKERFILE.index("FROM")
    stages = set(re.findall(r"^FROM .* AS (\S+)$", DOCKERFILE, re.MULTILINE))
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) - stages == {"${BASE_IMAGE}"}
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)[-1] == "10001:10001"
    assert "--require-hashes" in DOCKERFILE
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored, "everything stays outside"
    assert not any("env" in line for line in ignored if line.startswith("!"))


def _is_compose_2(words: list[str]) -> bool:
    if not shutil.which(words[0]):
        return False
    asked = subprocess.run([*words, "version", "--short"], capture_output=True, text=True, check=False)
    return asked.returncode == 0 and asked.stdout.startswith("2.")


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_compose_itself_takes_the_file(profile: str, tmp_path: Path) -> None:
    compose = next((words for words in (["docker", "compose"], ["docker-compose"]) if _is_compose_2(words)), None)
    if compose is None:
        assert not os.environ.get("MCAL_REQUIRE_COMPOSE"), "MCAL_REQUIRE_COMPOSE is set, and there is no Docker Compose 2"
        pytest.skip("Docker Compose 2 is not installed; the tests above read the file by themselves")
    (tmp_path / "full.env").write_text("".join(re.sub("=$", "=0123456789abcdef", line) + "\n" for line in EXAMPLE.splitlines()))
    command = [*compose, "--file", str(ROOT / "docker-compose.yml"), "--profile", profile]
    full = subprocess.run([*command, "--env-file", str(tmp_path / "full.env"), "config"], capture_output=True, text=True, check=False)
    assert full.returncode == 0, full.stderr
    empty = subprocess.run([*command, "--env-file", str(ROOT / ".env.example"), "config"], capture_output=True, text=True, check=False)
    assert empty.returncode != 0
    assert "see .env.example" in empty.stderr
