"""Settings: where they come from, which wins, and what a person reads when one is wrong."""

from __future__ import annotations

import base64
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from backend.campaign_settings import CampaignSettings, campaign_defaults, parse_campaign_settings
from backend.credentials import keep_token
from backend.settings import ServerSettings, server_settings, unknown_environment
from backend.settings_reference import describe_settings
from mcal_engine.errors import InvalidValue
from mcal_engine.spec import CampaignSpec

GIVEN = {"target_error": 0.05, "price_per_label": 0.04}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no .env of the machine reaches a test."""
    import os

    for name in list(os.environ):
        if name.upper().startswith("MCAL_") or name.upper() in ("DATABASE_URL", "QUEUE_URL"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def web_token(kind: str) -> str:
    parts = ({"alg": "HS256"}, {"token_type": kind, "exp": 1, "note": "é" * 3})
    return ".".join([*(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts), "c2ln"])


# --- the server's settings


def test_without_any_setting_everything_lives_in_one_data_folder() -> None:
    settings = server_settings()
    assert settings.database_url == f"sqlite:///{settings.data_dir}/mcal.db"
    assert settings.queue_url == f"sqlite:///{settings.data_dir}/queue.db"
    assert settings.data_dir.is_absolute()
    assert (settings.host, settings.public_url) == ("127.0.0.1", "http://127.0.0.1:9090")
    assert settings.label_studio_token is None


def test_reading_the_settings_writes_nothing(tmp_path: Path) -> None:
    server_settings(data_dir=tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_the_environment_wins_over_the_env_file_and_arguments_win_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("MCAL_PORT=1001\nMCAL_HOST=10.0.0.1\nMCAL_DEVICE=cpu\nMCAL_TARGET_ERROR=0.1\nOTHER=1\n")
    monkeypatch.setenv("MCAL_PORT", "1002")
    monkeypatch.setenv("mcal_host", "10.0.0.2")
    settings = server_settings(host="10.0.0.3")
    assert (settings.host, settings.port, settings.device) == ("10.0.0.3", 1002, "cpu")


def test_an_empty_variable_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCAL_PORT", "")
    monkeypatch.setenv("MCAL_WEBHOOK_SECRET", "")
    monkeypatch.setenv("DATABASE_URL", "")
    settings = server_settings()
    assert settings.port == 9090
    assert settings.webhook_secret is None
    assert settings.database_url.startswith("sqlite:///")


def test_the_usual_names_of_database_and_queue_work_and_our_own_names_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://a/b")
    monkeypatch.setenv("QUEUE_URL", "redis://a/0")
    assert (server_settings().database_url, server_settings().queue_url) == ("postgresql://a/b", "redis://a/0")
    monkeypatch.setenv("MCAL_DATABASE_URL", "postgresql://c/d")
    assert server_settings().database_url == "postgresql://c/d"
    assert server_settings(database_url="sqlite:////e.db").database_url == "sqlite:////e.db"


def test_private_hosts_are_a_comma_separated_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCAL_ALLOWED_PRIVATE_HOSTS", "minio, Images.Internal ,")
    assert server_settings().allowed_private_hosts == ["minio", "images.internal"]


@pytest.mark.parametrize(
    ("host", "address"), [("0.0.0.0", "http://localhost:9090"), ("::", "http://localhost:9090"), ("::1", "http://[::1]:9090")]
)
def test_the_public_address_can_be_followed_whatever_we_listen_on(host: str, address: str) -> None:
    assert server_settings(host=host).public_url == address


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://localhost:8080/", "http://localhost:8080"),
        (" HTTPS://Label.Example.org ", "https://label.example.org"),
        ("https://example.org/Label-Studio/", "https://example.org/Label-Studio"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_label_studios_address_is_kept_in_one_spelling(given: str, kept: str) -> None:
    assert server_settings(label_studio_url=given).label_studio_url == kept


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("localhost:8080", "must be an address such as"),
        ("ftp://a", "must be an address such as"),
        ("http://", "must be an address such as"),
        ("http://a:99999", "must be an address such as"),
        ("http://[a", "must be an address such as"),
        ("http://me:hush", "must be an address such as"),
        ("http://a:8080/projects/3/data", "without /projects"),
        ("http://a:8080/user/login", "without /user"),
        ("http://me:hush@a", "without a login"),
        ("http://a/?token=hush", "without a login, '?' or '#'"),
        ("me:hush@a", "must be an address such as"),
    ],
)
def test_an_address_that_is_none_is_refused_without_repeating_what_may_be_secret(value: str, rule: str) -> None:
    with pytest.raises(InvalidValue, match=r"label_studio_url.*") as caught:
        server_settings(label_studio_url=value)
    assert rule in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"port": "x"}, "port must be a whole number, got 'x'"),
        ({"port": 0}, "port must be at least 1, got 0"),
        ({"device": "gpu"}, "device must be auto, cpu, mps, cuda.*'gpu'"),
        ({"log_level": "warn"}, r"log_level must be one of DEBUG, INFO, WARNING, ERROR, got 'WARN' \(did you mean WARNING\?\)"),
        ({"lease_seconds": 1}, "lease_seconds must be at least 5, got 1"),
        ({"poll_seconds": float("inf")}, "poll_seconds must be a number, got inf"),
        ({"basic_auth_user": "me"}, "set both or neither"),
        ({"prot": 1}, r"unknown setting 'prot' \(did you mean port\?\)"),
    ],
)
def test_a_bad_server_setting_is_named_with_its_rule(values: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidValue, match=text):
        server_settings(**values)


def test_one_bad_setting_is_reported_once_although_others_default_from_it() -> None:
    with pytest.raises(InvalidValue) as caught:
        server_settings(data_dir=5, host="")
    assert len(str(caught.value).split("; ")) == 2
    assert "public_url" not in str(caught.value)


def test_a_secret_of_the_wrong_type_is_not_repeated() -> None:
    with pytest.raises(InvalidValue, match="label_studio_token must be text; webhook_secret must be text") as caught:
        server_settings(label_studio_token=["hush"], webhook_secret={"hush": 1})
    assert "hush" not in str(caught.value)
    with pytest.raises(ValidationError) as direct:
        ServerSettings(label_studio_token=["hush"])
    assert "hush" not in str(direct.value)


def test_no_secret_is_in_the_settings_repr() -> None:
    settings = server_settings(
        label_studio_token="hush",
        basic_auth_user="me",
        basic_auth_password="hush",
        webhook_secret="hush",
        database_url="postgresql://u:hush@h/n",
        queue_url="redis://:hush@h/0",
    )
    assert "hush" not in f"{settings!r} {settings}"
    assert settings.label_studio_token == SecretStr("hush")


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError):
        server_settings().port = 1


def test_a_missing_token_says_how_to_get_one() -> None:
    with pytest.raises(InvalidValue, match=r"MCAL_LABEL_STUDIO_TOKEN is not set: .*Personal Access Token"):
        server_settings().token()


def test_an_access_token_is_told_from_the_token_it_was_made_from() -> None:
    with pytest.raises(InvalidValue, match="access token, which lives five minutes"):
        server_settings(label_studio_token=web_token("access")).token()
    for good in (web_token("refresh"), "0123456789abcdef" * 2 + "01234567", "a.b.c", "a.e30.c"):
        server_settings(label_studio_token=good).token()


@pytest.mark.parametrize("pasted", ["abc", " abc\n", "Token abc", "Authorization: Bearer abc"])
def test_a_pasted_header_is_stripped_to_its_token(pasted: str) -> None:
    token = server_settings(label_studio_token=pasted).label_studio_token
    assert token is not None
    assert token.get_secret_value() == "abc"


def test_the_webhook_secret_is_made_once_and_only_ours_to_read(tmp_path: Path) -> None:
    settings = server_settings(data_dir=tmp_path / "data")
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: settings.ensure_webhook_secret().get_secret_value(), range(8)))
    assert len(made) == 1
    assert len(made.pop()) >= 32
    (file,) = (tmp_path / "data").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert settings.ensure_webhook_secret().get_secret_value() == file.read_text()


def test_a_given_webhook_secret_is_used_and_not_kept(tmp_path: Path) -> None:
    settings = server_settings(data_dir=tmp_path / "data", webhook_secret="given")
    assert settings.ensure_webhook_secret() == SecretStr("given")
    assert not (tmp_path / "data").exists()


# --- a campaign's settings


@pytest.mark.parametrize(
    "values",
    [
        GIVEN,
        {"target_error": 0.05, "price": 0.04},
        json.dumps(GIVEN),
        '  {"target_error": "0.05", "price": "0.04"}\n',
        json.dumps(json.dumps(GIVEN)),
        {"target_error": 0.05, "price": 0.04, "price_per_label": 0.04},
    ],
)
def test_settings_come_as_an_object_or_as_label_studios_text(values: Any) -> None:
    assert parse_campaign_settings(values) == CampaignSettings(target_error=0.05, price_per_label=0.04)


@pytest.mark.parametrize("nothing", [None, "", "  ", {}, "null", '""'])
def test_no_settings_at_all_names_what_is_required(nothing: Any) -> None:
    with pytest.raises(InvalidValue, match="target_error is required; price_per_label is required"):
        parse_campaign_settings(nothing)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"target_error": 5}, r"target_error must be in \(0, 1\), got 5 \(did you mean 0\.05\?\)"),
        ({"target_error": 0}, "target_error must be in"),
        ({"target_error": "much"}, r"target_error must be a number in \(0, 1\), got 'much'"),
        ({"price_per_label": -1}, "price_per_label must be at least 0.000001, got -1"),
        ({"quorum": 0}, r"quorum must be in \(0, 1\], got 0"),
        ({"quorum": 90}, r"quorum must be in \(0, 1\], got 90 \(did you mean 0.9\?\)"),
        ({"quorum": "0,9"}, r"quorum must be a number in \(0, 1\], got '0,9' \(did you mean 0.9\?\)"),
        ({"patience_minutes": -1}, "patience_minutes"),
        ({"blind_timeout_hours": 0}, "blind_timeout_hours"),
        ({"work_ahead": 2}, "work_ahead"),
        ({"label_controls": ""}, "label_controls"),
        ({"batch_size": True}, "batch_size must be a whole number, got true"),
        ({"batch_size": 2.5}, r"batch_size must be a whole number, got 2\.5"),
        ({"acquisition": "margins"}, r"acquisition must be one of margin, entropy.*, got 'margins' \(did you mean margin\?\)"),
        ({"target_eror": 0.05}, r"unknown setting 'target_eror' \(did you mean target_error\?\)"),
        ({"colour": 1}, "unknown setting 'colour'; known settings: acquisition, "),
        ({"price": 0.05}, "price_per_label is given twice"),
    ],
)
def test_a_bad_campaign_setting_is_named_with_its_rule(change: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidValue, match=text):
        parse_campaign_settings({**GIVEN, **change})


def test_every_bad_setting_is_named_at_once() -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_campaign_settings({"target_error": 5, "price": 0, "quorum": 7, "qourum": 1})
    for name in ("target_error", "price_per_label", "quorum", "qourum"):
        assert name in str(caught.value)


@pytest.mark.parametrize(("values", "text"), [("[1]", "got list"), (7, "got int"), ('{"a": 1', "line 1, column"), ("hush", "line 1")])
def test_what_is_no_json_object_is_refused_with_an_example_and_not_repeated(values: Any, text: str) -> None:
    with pytest.raises(InvalidValue, match=text) as caught:
        parse_campaign_settings(values)
    assert '{"target_error": 0.05, "price_per_label": 0.04}' in str(caught.value)
    assert "hush" not in str(caught.value)


def test_an_unknown_settings_value_is_not_repeated() -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_campaign_settings({**GIVEN, "token": "hush"})
    assert "hush" not in str(caught.value)


def test_the_environment_gives_defaults_and_what_is_given_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("MCAL_TARGET_ERROR=0.2\nMCAL_QUORUM=0.8\nMCAL_SEED=\n")
    monkeypatch.setenv("MCAL_TARGET_ERROR", "0.1")
    monkeypatch.setenv("MCAL_PRICE_PER_LABEL", "0.5")
    monkeypatch.setenv("MCAL_CLASSIFIERS", "frozen, cnn")
    monkeypatch.setenv("MCAL_PORT", "9999")
    assert campaign_defaults() == {"target_error": "0.1", "price_per_label": "0.5", "classifiers": "frozen, cnn", "quorum": "0.8"}
    settings = parse_campaign_settings({"price": 0.04})
    assert (settings.target_error, settings.price_per_label, settings.quorum) == (0.1, 0.04, 0.8)
    assert settings.classifiers == ("frozen", "cnn")


def test_the_price_has_its_short_name_in_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCAL_PRICE", "0.25")
    assert campaign_defaults()["price_per_label"] == "0.25"
    assert unknown_environment({"MCAL_PRICE": "0.25"}) == []
    monkeypatch.setenv("MCAL_PRICE_PER_LABEL", "0.5")
    with pytest.raises(InvalidValue, match=r"price_per_label is given twice, as 0\.5 and 0\.25"):
        campaign_defaults()


def test_the_cache_is_the_data_directory_unless_it_is_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MCAL_DATA_DIR", str(tmp_path))
    assert server_settings().cache_url == f"file://{tmp_path}"
    monkeypatch.setenv("MCAL_CACHE_URL", "s3://bucket/prefix/")
    assert server_settings().cache_url == "s3://bucket/prefix"
    for wrong in ("bucket/prefix", "s3://key:hush@bucket"):
        monkeypatch.setenv("MCAL_CACHE_URL", wrong)
        with pytest.raises(InvalidValue, match="cache_url must look like") as caught:
            server_settings()
        assert "hush" not in str(caught.value)


def test_the_cache_s_key_is_long_enough_and_never_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MCAL_CACHE_KEY", "hush" * 4)
    assert "hush" not in repr(server_settings())
    monkeypatch.setenv("MCAL_CACHE_KEY", "hush" * 3)
    with pytest.raises(InvalidValue, match="cache_key must be text of at least 16 characters") as caught:
        server_settings()
    assert "hush" not in str(caught.value)


def test_given_defaults_stand_in_for_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCAL_QUORUM", "0.5")
    assert parse_campaign_settings(GIVEN, defaults={}).quorum == 0.9


def test_settings_survive_being_stored() -> None:
    settings = parse_campaign_settings({**GIVEN, "classifiers": "frozen,cnn", "label_control": "digit", "seed": 3})
    assert parse_campaign_settings(json.loads(json.dumps(settings.model_dump(mode="json")))) == settings


def test_a_misspelt_variable_is_found_with_the_name_that_was_meant() -> None:
    environment = {"MCAL_LABEL_STUDIO_TOKNE": "hush", "MCAL_TARGET_ERROR": "0.1", "MCAL_PORT": "1", "PATH": "/"}
    assert unknown_environment(environment) == ["MCAL_LABEL_STUDIO_TOKNE is no setting (did you mean MCAL_LABEL_STUDIO_TOKEN?)"]


# --- their description


@pytest.mark.parametrize("model", [CampaignSettings, ServerSettings])
def test_every_setting_is_described(model: Any) -> None:
    rows = describe_settings(model)
    assert [row.name for row in rows] == list(model.model_fields)
    for row in rows:
        assert row.type, row
        assert row.default, row
        assert row.description.endswith("."), row


def test_descriptions_show_defaults_as_a_person_would_write_them() -> None:
    rows = {row.name: row for row in describe_settings()}
    assert set(CampaignSpec.model_fields) < set(rows)
    assert rows["target_error"][1:4] == ("number", "required", "fraction")
    assert rows["patience_minutes"][1:4] == ("number", "15", "min")
    assert rows["test_size"][1:4] == ("whole number", "empty", "items")
    assert rows["classifiers"].default == "auto"
    assert rows["guarantee"].type == "certified | estimate"
    assert rows["label_controls"].type == "text"


@pytest.mark.parametrize("value", ["change-me", "CHANGEME", "please-change_this-now", "<your password>", "replace-me", "…", "..."])
@pytest.mark.parametrize("name", ["admin_password", "webhook_secret", "label_studio_token", "label_studio_admin_password"])
def test_placeholders_are_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(InvalidValue, match=f"^{name} still holds a placeholder") as refused:
        server_settings(**{name: value})
    assert value not in str(refused.value).replace(name, "") or value in ("…", "...")


def test_a_placeholder_within_an_address_is_refused() -> None:
    with pytest.raises(InvalidValue, match="database_url still holds a placeholder"):
        server_settings(database_url="postgresql://mcal:change-me@postgres/mcal")


def test_secrets_of_ones_own_are_taken() -> None:
    settings = server_settings(admin_password="correct horse", label_studio_token="ab" * 20, database_url="postgresql://u:p4ss@h/n")
    assert settings.token() == "ab" * 20


def test_the_token_that_bootstrap_kept_is_used_for_its_label_studio_alone(tmp_path: Path) -> None:
    settings = server_settings(data_dir=tmp_path, label_studio_url="http://here:8080")
    keep_token(settings.token_file, "http://here:8080", "kept")
    assert settings.token() == "kept"
    assert settings.token_file.stat().st_mode & 0o777 == 0o600
    assert server_settings(data_dir=tmp_path, label_studio_url="http://here:8080", label_studio_token="given").token() == "given"
    with pytest.raises(InvalidValue, match="mcal bootstrap"):
        server_settings(data_dir=tmp_path, label_studio_url="http://elsewhere:8080").token()
    settings.token_file.write_text("{")
    with pytest.raises(InvalidValue, match="MCAL_LABEL_STUDIO_TOKEN is not set"):
        settings.token()
