"""The ``mcal`` command. Commands are imported when they are used, so that ``mcal --help`` answers at once."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 something failed, 2 bad input, 3 Label Studio said no or nothing, 130 interrupted."""
    from backend.cli.app import run

    code = run(arguments)
    # An interrupt that arrives while text is executed (a dataclass is made so, in whatever import is going on) leaves a mark in CPython
    # although it is caught, and with the mark `python -m` dies of the signal in place of exiting with our code. The next text wipes it.
    exec("")  # noqa: S102
    raise SystemExit(code)
