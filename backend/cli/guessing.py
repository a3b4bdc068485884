"""Command groups that guess what was meant."""

from __future__ import annotations

import difflib

import click


class GuessingGroup(click.Group):
    """Names the nearest command where one is mistyped."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
        if near and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise click.UsageError(f"no such command {args[0]!r} (did you mean {near[0]}?)", ctx)
        return super().resolve_command(ctx, args)
