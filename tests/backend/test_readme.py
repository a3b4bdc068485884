"""The README's tables are the settings themselves, and its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from backend.campaign_settings import CampaignSettings
from backend.cli.app import mcal
from backend.settings import ServerSettings
from backend.settings_reference import describe_settings

README = Path(__file__).parents[2] / "README.md"


def table(model: type[CampaignSettings] | type[ServerSettings], prefix: str) -> str:
    rows = ["| setting | default | unit | meaning |", "|---|---|---|---|"]
    for setting in describe_settings(model):
        name = f"`{prefix}{setting.name.upper() if prefix else setting.name}`"
        rows.append(f"| {name} | {setting.default} | {setting.unit} | {setting.description} |")
    return "\n".join(rows)


@pytest.mark.parametrize(
    ("marker", "model", "prefix"), [("campaign-settings", CampaignSettings, ""), ("server-settings", ServerSettings, "MCAL_")]
)
def test_the_table_of_settings_is_made_from_the_settings(
    marker: str, model: type[CampaignSettings] | type[ServerSettings], prefix: str
) -> None:
    text = README.read_text(encoding="utf-8")
    found = re.search(f"<!-- {marker} -->\n(.*?)<!-- /{marker} -->", text, re.DOTALL)
    assert found is not None
    assert found[1].strip() == table(model, prefix).strip()


def test_every_mcal_command_in_the_readme_exists() -> None:
    text = README.read_text(encoding="utf-8")
    root = click.Context(mcal)
    mentioned = set(re.findall(r"(?:`|\.venv/bin/)mcal ([a-z]+)", text))
    assert {"serve", "worker", "campaign", "doctor"} <= mentioned
    for name in mentioned:
        assert mcal.get_command(root, name) is not None, name


def test_every_make_target_in_the_readme_exists() -> None:
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:^|`)make ([a-z-]+)", README.read_text(encoding="utf-8"), re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_pictures_are_there() -> None:
    for name in re.findall(r"\]\((\.github/images/[^)]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / name).is_file(), name
