"""A campaign asks and loads only what the operator has listed."""

from __future__ import annotations

import pytest

from backend.outside.allowed import Allowed
from backend.settings import server_settings
from backend.wiring import allowed_of
from mcal_engine.errors import InvalidValue


def test_a_listed_backend_may_be_asked_with_its_login():
    allowed = Allowed.of(["http://ann:p%40ss@Yolo:9090/", "https://open.example/clip"], [])
    assert allowed.backends == {"http://yolo:9090": ("ann", "p@ss"), "https://open.example/clip": None}
    allowed.check(["frozen", "backend:http://yolo:9090", "backend:https://open.example/clip/"])
    assert "p@ss" not in repr(allowed)


def test_an_unlisted_backend_is_refused_with_those_that_are_listed_and_no_password():
    allowed = Allowed.of(["http://ann:hunter2@yolo:9090"], [])
    with pytest.raises(InvalidValue, match=r"MCAL_ML_BACKENDS, which lists http://yolo:9090") as caught:
        allowed.check(["backend:http://169.254.169.254"])
    assert "hunter2" not in str(caught.value)


def test_modules_are_listed_with_what_is_in_them():
    allowed = Allowed.of([], ["acme"])
    allowed.check(["python:acme:Net", "python:acme.models.vit:Net", "auto"])
    for name in ("python:acmes:Net", "python:os:Net"):
        with pytest.raises(InvalidValue, match="MCAL_CLASSIFIER_MODULES, which lists acme"):
            allowed.check([name])


def test_models_are_listed_by_their_names():
    allowed = Allowed.of([], [], ["gpt-4o", "llama3.2-vision:11b"])
    allowed.check(["llm:gpt-4o:price=0.002", "llm:llama3.2-vision:11b"])
    with pytest.raises(InvalidValue, match=r"MCAL_LLM_MODELS, which lists gpt-4o, llama3\.2-vision:11b"):
        allowed.check(["llm:gpt-5"])


@pytest.mark.parametrize(
    "listed", ["yolo:9090", "http://", "http://ann@yolo:9090", "http://:hunter2@yolo", "http://a:hunter2@b:c", "http://h?x=hunter2"]
)
def test_a_list_that_breaks_a_rule_is_refused_without_its_secrets(listed):
    with pytest.raises(InvalidValue, match="ml_backends") as caught:
        Allowed.of([listed], [])
    assert "hunter2" not in str(caught.value)


def test_the_settings_list_them(monkeypatch):
    monkeypatch.setenv("MCAL_ML_BACKENDS", "http://ann:hunter2@yolo:9090, http://clip:9091")
    monkeypatch.setenv("MCAL_CLASSIFIER_MODULES", "acme, other.models")
    settings = server_settings()
    assert "hunter2" not in repr(settings)
    assert allowed_of(settings) == Allowed({"http://yolo:9090": ("ann", "hunter2"), "http://clip:9091": None}, ("acme", "other.models"))
