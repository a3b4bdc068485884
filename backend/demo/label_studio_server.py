"""A real Label Studio of one's own: SQLite, headless, in its own environment; for the demo and the tests.

Label Studio lives in an environment that ``uv tool run`` makes and caches, because its pins do not fit ours. Nothing is left behind:
a watchdog ends the whole process group when :meth:`LabelStudioServer.stop` is called and when the starting process dies.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

import httpx

import backend
from backend.demo import watchdog
from mcal_engine.errors import MCALError

VERSION = "1.23.2"
PYTHON = "3.11"


class ServerError(MCALError):
    """Label Studio could not be started or did not do what was asked; the text tells what to do."""


class LabelStudioServer:
    """One Label Studio in ``directory``; data, admin and port are kept there, so that a later start finds them again.

    Attributes:
        url: address on loopback.
        admin_email, admin_password, admin_token: the first user; the token is a legacy one.
        document_root: folder whose subfolders may be served as local files.
        postgresql: address of the database to use in place of SQLite, ``postgresql://user:password@host:port/name``.
    """

    def __init__(
        self,
        directory: Path,
        port: int | None = None,
        *,
        document_root: Path | None = None,
        admin_email: str = "admin@example.com",
        postgresql: str | None = None,
    ) -> None:
        self.directory = directory
        self.document_root = document_root or directory / "files"
        for folder in (directory, self.document_root):
            folder.mkdir(parents=True, exist_ok=True)
        self.postgresql = postgresql
        self._process: subprocess.Popen[bytes] | None = None
        settings = self._load_settings(admin_email)
        self.admin_email: str = settings["email"]
        self.admin_password: str = settings["password"]
        self.admin_token: str = settings["token"]
        self.port = port or _port_near(settings.get("port"))
        self.url = f"http://127.0.0.1:{self.port}"
        self._save_settings()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log_file(self) -> Path:
        return self.directory / "label-studio.log"

    def start(self, timeout: float = 900.0) -> None:
        """Start and wait until it answers; the very first start installs Label Studio, which takes minutes on a slow line."""
        if self.running:
            return
        command = [*_uv(), "tool", "run", "--from", f"label-studio=={VERSION}", "--python", PYTHON, "label-studio", "start"]
        command += ["--no-browser", "--internal-host", "127.0.0.1", "--port", str(self.port), "--enable-legacy-api-token"]
        guarded = [sys.executable, str(Path(watchdog.__file__)), *command]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 (nothing in the command comes from outside)
                guarded, stdin=subprocess.PIPE, stdout=log, stderr=log, env=self._environment(), cwd=self.directory, start_new_session=True
            )
        try:
            self._wait_until_healthy(timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the whole process group; calling it twice is no error."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(watchdog.GRACE_SECONDS + 5)
        except subprocess.TimeoutExpired:
            _kill_group(process.pid)
            process.wait()
        _kill_group(process.pid)  # in case that the watchdog itself was killed

    def restart(self) -> None:
        self.stop()
        self.start()

    def create_user(self, email: str, password: str) -> str:
        """Sign a person up through the organisation's invite link; returns the person's legacy token.

        Raises:
            ServerError: the form refused, e.g. for a taken address or a password below 8 characters.
        """
        with httpx.Client(base_url=self.url, timeout=30) as admin:
            reply = admin.get("/api/invite", headers={"Authorization": f"Token {self.admin_token}"})
            if reply.status_code != httpx.codes.OK:
                raise ServerError(f"Label Studio answered {reply.status_code} when asked for an invite link")
            invite = str(reply.json()["invite_url"])
        with httpx.Client(base_url=self.url, timeout=30, follow_redirects=True) as person:
            person.get(invite).raise_for_status()
            form = {"email": email, "password": password, "csrfmiddlewaretoken": person.cookies["csrftoken"], "allow_newsletters": "false"}
            person.post(invite, data=form, headers={"Referer": self.url + invite}).raise_for_status()
            token = person.get("/api/current-user/token")
            if token.status_code != httpx.codes.OK:
                raise ServerError(f"Label Studio did not sign up {email}: is the address taken, or the password shorter than 8 characters?")
            return str(token.json()["token"])

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LABEL_STUDIO_", "DJANGO_", "POSTGRE", "PYTHON", "VIRTUAL_ENV"))}
        return kept | {
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.directory / "data"),
            "LABEL_STUDIO_HOST": self.url,
            "LABEL_STUDIO_USERNAME": self.admin_email,
            "LABEL_STUDIO_PASSWORD": self.admin_password,  # here and not in the command line, which every user of the machine can read
            "LABEL_STUDIO_USER_TOKEN": self.admin_token,
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(self.document_root),
            **_database(self.postgresql),
            "COLLECT_ANALYTICS": "False",
            "LATEST_VERSION_CHECK": "False",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            # Let Label Studio call a backend on this machine, but not the cloud's metadata address.
            "USE_DEFAULT_BANNED_SUBNETS": "false",
            "USER_ADDITIONAL_BANNED_SUBNETS": "169.254.0.0/16",
            "ML_BLOCK_LOCAL_IP": "false",
        }

    def _wait_until_healthy(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not self.running:
                raise ServerError(f"Label Studio ended while starting; {self.log_file} ends with:\n{self._log_tail()}")
            try:
                if httpx.get(f"{self.url}/health", timeout=2).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(0.2)
        raise ServerError(f"Label Studio did not answer within {timeout:g} s; {self.log_file} ends with:\n{self._log_tail()}")

    def _log_tail(self) -> str:
        text = self.log_file.read_text(errors="replace")[-3000:]
        return text.replace(self.admin_password, "…").replace(self.admin_token, "…")

    @property
    def _settings_file(self) -> Path:
        return self.directory / "server.json"

    def _load_settings(self, admin_email: str) -> dict[str, str]:
        if self._settings_file.exists():
            return dict(json.loads(self._settings_file.read_text()))
        return {"email": admin_email, "password": secrets.token_urlsafe(12), "token": secrets.token_hex(20)}

    def _save_settings(self) -> None:
        settings = {"email": self.admin_email, "password": self.admin_password, "token": self.admin_token, "port": str(self.port)}
        with os.fdopen(os.open(self._settings_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(settings, file)


def _uv() -> list[str]:
    made_by_make = Path(backend.__file__).resolve().parents[1] / ".tools" / "bin"  # where make puts one if there is none on PATH
    if found := shutil.which("uv") or shutil.which("uv", path=str(made_by_make)):
        return [found]
    if importlib.util.find_spec("uv") is not None:
        return [sys.executable, "-m", "uv"]
    raise ServerError(
        "uv is needed to install Label Studio in an environment of its own: run `pip install uv`, or see https://docs.astral.sh/uv/"
    )


def _database(postgresql: str | None) -> dict[str, str]:
    if postgresql is None:
        return {"DJANGO_DB": "sqlite"}
    parts = urlsplit(postgresql)
    return {
        "DJANGO_DB": "default",
        "POSTGRE_USER": unquote(parts.username or ""),
        "POSTGRE_PASSWORD": unquote(parts.password or ""),
        "POSTGRE_HOST": parts.hostname or "",
        "POSTGRE_PORT": str(parts.port or 5432),
        "POSTGRE_NAME": parts.path.lstrip("/"),
    }


def _port_near(last: str | None) -> int:
    """The port of the last run if it is free, otherwise any free one."""
    for candidate in (int(last) if last else 0, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerError("no free port on 127.0.0.1")


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
