"""``mcal docs``: the documents in a terminal, without a server."""

from __future__ import annotations

import difflib
import sys

import click

from backend.docs import FIRST, pages, sections
from mcal_engine.errors import InvalidValue


@click.command()
@click.argument("page", required=False)
def docs(page: str | None) -> None:
    """Print a page of the documents, or the list of pages.

    A running backend shows them under /docs, with their drawings.
    """
    if page is None:
        _list()
        return
    name = page.removesuffix(".md")
    if name not in pages():
        close = difflib.get_close_matches(name, pages(), n=1)
        raise InvalidValue(f"there is no page {page!r}{f' (did you mean {close[0]}?)' if close else ''}; mcal docs lists them")
    _print(pages()[name].text)


def _list() -> None:
    for section in sections():
        click.secho(section.title, bold=True)
        for page in section.pages:
            click.echo(f"  mcal docs {page.name:<24}{page.title}")
    click.echo(f"  mcal docs {FIRST:<24}{pages()[FIRST].title}")


def _print(text: str) -> None:
    """Laid out for a terminal; as it is where something else reads it."""
    if not sys.stdout.isatty():
        click.echo(text, nl=False)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    with (console := Console()).pager(styles=True):
        console.print(Markdown(text))
