"""The base class that the installed label-studio-ml offers, whichever it is, and how to initialise it."""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing
import warnings
from typing import Any


def plugin_base() -> Any:
    """``LabelStudioMLBase`` of the installed label-studio-ml, ``object`` without one.

    Its import is contained: 1.0.9 fixes multiprocessing's start method for the whole process, and one of its dependencies has invalid
    escape sequences.
    """
    if importlib.util.find_spec("label_studio_ml") is None:
        return object
    before = multiprocessing.get_start_method(allow_none=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="invalid escape sequence", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="invalid escape sequence", category=SyntaxWarning)
        base = importlib.import_module("label_studio_ml.model").LabelStudioMLBase
    if multiprocessing.get_start_method(allow_none=True) != before:
        multiprocessing.set_start_method(before, force=True)
    return base


def initialise(self: Any, base: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, str]:
    """Read the host's arguments; call the base's ``__init__`` where that is only bookkeeping. Returns (project id, label config).

    1.0.9's base parses the label config and keeps names. 2.x's writes a cache database into the working directory and parses the config
    on every request, all for methods of its own that are overridden here: it gets its attributes without that.
    """
    if base is object or not is_second_generation(base):
        names = ("label_config", "train_output")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        label_config = given.get("label_config") or ""
        if base is not object:
            base.__init__(self, **given)
        return str(given.get("project_id") or ""), label_config
    given = {**dict(zip(("project_id", "label_config"), args, strict=False)), **kwargs}
    self.project_id = str(given.get("project_id") or "")
    return self.project_id, given.get("label_config") or ""


def is_second_generation(base: Any) -> bool:
    """2.x has ``set_extra_params``; 1.0.9 has not."""
    return hasattr(base, "set_extra_params")
