"""Settings of the server, from the environment, ``.env`` and options. Those of a campaign are in :mod:`backend.campaign_settings`."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import platformdirs
from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backend.campaign_settings import ALIASES, ENV_FILE, ENV_PREFIX, CampaignSettings, read_environment
from backend.credentials import HOW_TO_LOG_IN, TOO_SHORT_LIVED, bare_token, is_access_token, is_placeholder, kept_secret, kept_token
from mcal_engine.errors import InvalidValue
from mcal_engine.rules import about, complaint, findings, shown, unknown, within_reason

LABEL_STUDIO, STORAGE, WEB, WORKER, IMAGES, LOGS = "Label Studio", "Storage", "Web server", "Worker", "Images", "Logs"
MODELS = "Models from outside"
A_DAY, A_YEAR = 86_400, 8_760  # seconds, hours
WAITING = "default_factory_not_called"
PAGES_OF_LABEL_STUDIO = {"api", "data", "organization", "projects", "tasks", "user"}


class ServerSettings(BaseSettings):
    """Where things are and how much they may take. Read with :func:`server_settings`, whose errors are for people."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_file=ENV_FILE,
        env_ignore_empty=True,  # compose files hand unset variables on as empty ones
        extra="ignore",  # .env is shared with campaign settings and with other programs
        validate_by_name=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        frozen=True,
    )

    label_studio_url: str = Field(
        "http://localhost:8080", description="Address of Label Studio, as this backend reaches it.", json_schema_extra=about(LABEL_STUDIO)
    )
    label_studio_token: SecretStr | None = Field(
        None,
        repr=False,
        description="Personal access token (or legacy token) of a user made for this backend alone; without one, what mcal bootstrap made.",
        json_schema_extra=about(LABEL_STUDIO),
    )
    label_studio_admin_email: str | None = Field(
        None,
        validation_alias=AliasChoices("MCAL_LABEL_STUDIO_ADMIN_EMAIL", "LABEL_STUDIO_USERNAME"),
        description="A member of Label Studio's organisation; only mcal bootstrap needs it, to invite the backend's own user.",
        json_schema_extra=about(LABEL_STUDIO),
    )
    label_studio_admin_password: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("MCAL_LABEL_STUDIO_ADMIN_PASSWORD", "LABEL_STUDIO_PASSWORD"),
        repr=False,
        description="Password that goes with label_studio_admin_email.",
        json_schema_extra=about(LABEL_STUDIO),
    )
    service_email: str = Field(
        "mcal@backend.localhost",
        min_length=3,
        description="Address of the user that mcal bootstrap makes in Label Studio; gets no mail.",
        json_schema_extra=about(LABEL_STUDIO),
    )
    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("mcal"),
        description="Where databases, caches and keys are kept.",
        json_schema_extra=about(STORAGE),
    )
    database_url: str = Field(
        default_factory=lambda data: f"sqlite:///{data['data_dir'] / 'mcal.db'}",
        validation_alias=AliasChoices("MCAL_DATABASE_URL", "DATABASE_URL"),
        repr=False,  # may hold a password
        description="Database: sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME.",
        json_schema_extra=about(STORAGE),
    )
    queue_url: str = Field(
        default_factory=lambda data: f"sqlite:///{data['data_dir'] / 'queue.db'}",
        validation_alias=AliasChoices("MCAL_QUEUE_URL", "QUEUE_URL"),
        repr=False,
        description="Job queue: sqlite:///PATH, redis://HOST/NUMBER or postgresql://USER:PASSWORD@HOST/NAME.",
        json_schema_extra=about(STORAGE),
    )
    cache_url: str = Field(
        default_factory=lambda data: f"file://{data['data_dir']}",
        description="Where images, embeddings and checkpoints are cached: file:///FOLDER, or s3://BUCKET/PREFIX for several machines, "
        "which then work on copies in data_dir.",
        json_schema_extra=about(STORAGE),
    )
    cache_key: SecretStr | None = Field(
        None,
        repr=False,
        min_length=16,
        description="Secret that signs what is shared at cache_url, the same on all machines; what is not signed with it is passed over.",
        json_schema_extra=about(STORAGE),
    )
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 for all.", json_schema_extra=about(WEB))
    port: int = Field(9090, ge=1, le=65535, description="Port to listen on.", json_schema_extra=about(WEB))
    public_url: str = Field(
        default_factory=lambda data: _own_address(data["host"], data["port"]),
        description="Address under which Label Studio reaches this backend.",
        json_schema_extra=about(WEB),
    )
    page_url: str | None = Field(
        None,
        description="Address of the pages as people's browsers reach them, where that differs from public_url; with https the login's "
        "cookie never travels without it.",
        json_schema_extra=about(WEB),
    )
    trusted_proxy: str | None = Field(
        None,
        description="Address (IP) of the one proxy in front of the server; it alone is believed about who calls, and whether by https.",
        json_schema_extra=about(WEB),
    )
    basic_auth_user: str | None = Field(
        None, min_length=1, description="User name that Label Studio must give.", json_schema_extra=about(WEB)
    )
    basic_auth_password: SecretStr | None = Field(
        None, repr=False, description="Password that goes with basic_auth_user.", json_schema_extra=about(WEB)
    )
    webhook_secret: SecretStr | None = Field(
        None,
        repr=False,
        description="What Label Studio's webhooks must carry; without one it is made once and kept in data_dir.",
        json_schema_extra=about(WEB),
    )
    admin_user: str = Field("admin", min_length=1, description="User name that opens the pages and the API.", json_schema_extra=about(WEB))
    admin_password: SecretStr | None = Field(
        None,
        repr=False,
        description="Password that goes with admin_user, or its hash by werkzeug.security; on loopback one is made at the first start.",
        json_schema_extra=about(WEB),
    )
    api_token: SecretStr | None = Field(
        None,
        repr=False,
        min_length=16,
        description="Bearer token of programs that use the API; without one they log in as admin_user.",
        json_schema_extra=about(WEB),
    )
    notify_urls: SecretStr | None = Field(
        None,
        repr=False,
        description="Channels to tell people through (chat, mail, webhook), as Apprise addresses separated by spaces; "
        "https://appriseit.com/services/ lists them.",
        json_schema_extra=about(WORKER),
    )
    label_studio_public_url: str | None = Field(
        None,
        description="Address of Label Studio as browsers reach it, where that differs from label_studio_url.",
        json_schema_extra=about(LABEL_STUDIO),
    )
    device: str = Field("auto", description="Where to train: auto, cpu, cuda, cuda:1, mps.", json_schema_extra=about(WORKER))
    poll_seconds: float = Field(
        20.0, gt=0, le=A_DAY, description="Time between visits to Label Studio when no webhook comes.", json_schema_extra=about(WORKER, "s")
    )
    lease_seconds: float = Field(
        60.0,
        ge=5,
        le=A_DAY,
        description="Time after which another worker takes over from one that went silent.",
        json_schema_extra=about(WORKER, "s"),
    )
    campaigns_at_once: int = Field(
        4,
        ge=1,
        le=64,
        description="Campaigns that one worker looks after at the same time; on one machine trainings take turns.",
        json_schema_extra=about(WORKER),
    )
    training_time_limit_hours: float = Field(
        6.0, gt=0, le=A_YEAR, description="Time after which a training is ended.", json_schema_extra=about(WORKER, "h")
    )
    ml_backends: SecretStr | None = Field(
        None,
        repr=False,
        description="ML backends that campaigns may ask as candidates, separated by commas, each with its login where it wants one: "
        "http://USER:PASSWORD@HOST:9090.",
        json_schema_extra=about(MODELS),
    )
    llm_url: str = Field(
        "https://api.openai.com/v1",
        validation_alias=AliasChoices("MCAL_LLM_URL", "OPENAI_BASE_URL"),
        description="Address of the OpenAI-compatible endpoint where language models are asked: OpenAI, vLLM, Ollama and others.",
        json_schema_extra=about(MODELS),
    )
    llm_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("MCAL_LLM_API_KEY", "OPENAI_API_KEY"),
        repr=False,
        description="Key of that endpoint.",
        json_schema_extra=about(MODELS),
    )
    llm_models: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Names of the models there that campaigns may ask, and pay, as candidates, separated by commas.",
        json_schema_extra=about(MODELS),
    )
    classifier_modules: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Python modules whose classes campaigns may load as candidates, separated by commas.",
        json_schema_extra=about(MODELS),
    )
    allowed_private_hosts: Annotated[list[str], NoDecode] = Field(
        default_factory=list,
        description="Private hosts that images may be fetched from, separated by commas.",
        json_schema_extra=about(IMAGES),
    )
    max_image_bytes: int = Field(
        50_000_000, ge=1_000, le=10_000_000_000, description="Largest image file that is read.", json_schema_extra=about(IMAGES, "bytes")
    )
    max_image_pixels: int = Field(
        100_000_000, ge=1_000, le=10_000_000_000, description="Largest image that is decoded.", json_schema_extra=about(IMAGES, "pixels")
    )
    fetch_threads: int = Field(
        8, ge=1, le=64, description="Images of one campaign fetched at the same time.", json_schema_extra=about(IMAGES)
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="How much is logged.", json_schema_extra=about(LOGS)
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="text for a terminal, json for machines: one object a line.", json_schema_extra=about(LOGS)
    )

    @field_validator("*", mode="before")
    @classmethod
    def _printable(cls, value: Any, info: ValidationInfo) -> Any:
        name = info.field_name or ""
        if isinstance(value, bool) or (isinstance(value, str) and not within_reason(value)):
            raise ValueError(complaint(name, cls.model_fields[name], value))
        return value

    @field_validator("label_studio_url", "llm_url", "public_url", "page_url", "label_studio_public_url")
    @classmethod
    def _address(cls, value: str | None, info: ValidationInfo) -> str | None:
        return None if value is None else plain_address(info.field_name or "", value)

    @field_validator("cache_url")
    @classmethod
    def _cache(cls, value: str) -> str:
        if not re.match(r"[a-z][a-z0-9+]*://[^@]+$", value):
            raise ValueError("cache_url must look like file:///FOLDER or s3://BUCKET/PREFIX, without a login")
        return value.rstrip("/")

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("label_studio_token", mode="after")
    @classmethod
    def _bare_token(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(bare_token(value.get_secret_value()))

    @field_validator("allowed_private_hosts", mode="before")
    @classmethod
    def _hosts(cls, value: Any) -> Any:
        return [host.strip().lower() for host in value.split(",") if host.strip()] if isinstance(value, str) else value

    @field_validator("classifier_modules", "llm_models", mode="before")
    @classmethod
    def _modules(cls, value: Any) -> Any:
        return [module.strip() for module in value.split(",") if module.strip()] if isinstance(value, str) else value

    @field_validator("device")
    @classmethod
    def _device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
            raise ValueError(f"device must be auto, cpu, mps, cuda, or cuda:0, cuda:1 …, got {shown(value)}")
        return value

    @field_validator("trusted_proxy")
    @classmethod
    def _one_address(cls, value: str | None) -> str | None:
        try:
            return None if value is None else str(ipaddress.ip_address(value.strip()))
        except ValueError:
            raise ValueError(f"trusted_proxy must be one IP address such as 198.19.90.1, got {shown(value)}") from None

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _whole_login(self) -> Self:
        if (self.basic_auth_user is None) != (self.basic_auth_password is None):
            raise ValueError("basic_auth_user and basic_auth_password go together: set both or neither")
        return self

    @model_validator(mode="after")
    def _no_placeholders(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            secret = value.get_secret_value() if isinstance(value, SecretStr) else _password_in(value) if name.endswith("_url") else ""
            if secret and is_placeholder(secret):
                raise ValueError(f"{name} still holds a placeholder: put a secret of your own into {' or '.join(variables_of(name))}")
        return self

    @property
    def pages(self) -> str:
        """The address of the pages, for people."""
        return self.page_url or self.public_url

    @property
    def token_file(self) -> Path:
        """Where ``mcal bootstrap`` keeps the token that it made."""
        return self.data_dir / "label-studio-token"

    def token(self) -> str:
        """What to ask Label Studio with: ``label_studio_token``, or the token that ``mcal bootstrap`` has made for this Label Studio.

        Raises:
            InvalidValue: there is none, or one of the wrong kind; the text says what to do.
        """
        given = self.label_studio_token
        token = kept_token(self.token_file, self.label_studio_url) if given is None else given.get_secret_value()
        if not token:
            raise InvalidValue(HOW_TO_LOG_IN)
        if is_access_token(token):
            raise InvalidValue(TOO_SHORT_LIVED)
        return token

    def ensure_webhook_secret(self) -> SecretStr:
        """``webhook_secret``, or the one kept in ``data_dir``: made on the first call, readable by this user only."""
        return self.webhook_secret or SecretStr(kept_secret(self.data_dir / "webhook-secret"))

    def ensure_session_secret(self) -> SecretStr:
        """What the pages' session cookies are signed with, kept in ``data_dir`` so that a restart logs nobody out."""
        return SecretStr(kept_secret(self.data_dir / "session-secret"))


def server_settings(**overrides: Any) -> ServerSettings:
    """Read the environment and ``.env``, ``overrides`` (by field name) on top.

    Raises:
        InvalidValue: one text that names every bad setting and its rule, and no secret.
    """
    for name in overrides:
        if name not in ServerSettings.model_fields:
            raise InvalidValue(unknown(name, sorted(ServerSettings.model_fields)))
    try:
        return ServerSettings(**overrides)
    except ValidationError as error:
        # A default that waits for another field's cure is no finding of its own.
        real = [found for found, each in zip(findings(error, ServerSettings), error.errors(), strict=True) if each["type"] != WAITING]
        raise InvalidValue("; ".join(found.sentence for found in real)) from None


def unknown_environment(environment: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each ``MCAL_`` variable that no setting has, so that a slip of the pen does not go unseen."""
    known = {(ENV_PREFIX + name).upper() for name in (*CampaignSettings.model_fields, *ALIASES, *ServerSettings.model_fields)}
    sentences = []
    for variable in sorted(read_environment(environment)):
        if variable.startswith(ENV_PREFIX) and variable not in known:
            close = difflib.get_close_matches(variable, sorted(known), n=1)
            sentences.append(f"{variable} is no setting" + (f" (did you mean {close[0]}?)" if close else ""))
    return sentences


def plain_address(name: str, value: str) -> str:
    """An http(s) address without its last slash. Raises ``ValueError`` naming the rule; parts that may hold secrets are not repeated."""
    try:
        parts = urlsplit(value.strip())
        _ = parts.port  # read to be checked
    except ValueError:
        raise ValueError(f"{name} must be an address such as http://localhost:8080") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        given = f", got {shown(value)}" if not set(value) & set("@?") else ""
        raise ValueError(f"{name} must be an address such as http://localhost:8080{given}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"{name} must be an address only: scheme, host, port, without a login, '?' or '#'")
    page = next((part for part in parts.path.split("/") if part in PAGES_OF_LABEL_STUDIO), None)
    if page and name == "label_studio_url":
        raise ValueError(f"{name} must be the address of Label Studio itself, without /{page}…, got {shown(value)}")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def variables_of(name: str) -> list[str]:
    """What a setting of the server is called in the environment; any of them will do."""
    alias = ServerSettings.model_fields[name].validation_alias
    return list(map(str, alias.choices)) if isinstance(alias, AliasChoices) else [(ENV_PREFIX + name).upper()]


def _password_in(url: Any) -> str:
    """The password within an address; a malformed one is found by whoever opens it."""
    try:
        return urlsplit(url).password or "" if isinstance(url, str) else ""
    except ValueError:
        return ""


def _own_address(host: str, port: int) -> str:
    reachable = "localhost" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 (compared, not bound)
    return f"http://{f'[{reachable}]' if ':' in reachable else reachable}:{port}"
