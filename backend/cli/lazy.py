"""A command group that knows its commands by name and imports one only when it is called."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from backend.cli.guessing import GuessingGroup

# Number crunching in this process takes turns between torch, which uses every core, and numpy on small arrays. Idle OpenMP threads that
# spin, and OpenBLAS threads of numpy's own, only keep torch's from running. Both libraries read these once, when they are loaded.
SHARED_CORES = {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}


class Lazy(NamedTuple):
    """``module:attribute`` of a command, the line that the group's help has for it, and what the environment needs before its import."""

    target: str
    help: str
    environment: Mapping[str, str] = {}


class LazyGroup(GuessingGroup):
    """A group whose commands are ``Lazy`` references, listed in the order they are given."""

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return None
        for name, value in self._lazy[cmd_name].environment.items():
            os.environ.setdefault(name, value)
        module, attribute = self._lazy[cmd_name].target.split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in self._lazy.items()])
