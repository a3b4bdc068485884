"""The ``mcal`` command. Commands are imported when they are used, so that ``mcal --help`` answers at once."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 something failed, 2 bad input, 3 Label Studio said no or nothing."""
    from backend.cli.app import run

    raise SystemExit(run(arguments))
