"""Label Studio's installer is found on PATH, beside the project, or in this environment."""

from __future__ import annotations

from pathlib import Path

import pytest

import backend
from backend.demo import label_studio_server
from backend.demo.label_studio_server import ServerError


def test_uv_is_looked_for_where_make_puts_it_and_else_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(backend, "__file__", str(tmp_path / "backend" / "__init__.py"))
    monkeypatch.setattr(label_studio_server.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ServerError, match="uv is needed"):
        label_studio_server._uv()
    private = tmp_path / ".tools" / "bin" / "uv"
    private.parent.mkdir(parents=True)
    private.touch(mode=0o755)
    assert label_studio_server._uv() == [str(private)]
    public = tmp_path / "bin" / "uv"
    public.parent.mkdir()
    public.touch(mode=0o755)
    assert label_studio_server._uv() == [str(public)]
