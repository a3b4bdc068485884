"""The documents hold together: links, anchors and pictures are there, commands exist, generated parts are what the code makes."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest
import yaml

from backend.campaign_settings import CampaignSettings, parse_campaign_settings
from backend.cli import reference
from backend.cli.app import mcal
from backend.docs import FIRST, IMAGES, Page, files, image_at, page_at, pages, sections
from backend.label_studio.config import campaign_control
from backend.settings import unknown_environment
from backend.web.docs import anchors
from tests.backend.docs.documents import DOCUMENTS, ROOT, UNSERVED, blocks, commands, every

MARKS = {
    "sh": {"run", "illustrative"},
    "json": {"settings"},
    "ini": {"settings", "illustrative"},
    "text": {"illustrative"},
    "python": {"example"},
    "xml": {"interface"},
}
each_document = pytest.mark.parametrize("page", DOCUMENTS.values(), ids=DOCUMENTS.keys())


def test_the_readme_fits_on_a_few_screens_and_contributing_on_one_page() -> None:
    assert (ROOT / "README.md").stat().st_size <= 10_000
    assert len((ROOT / ".github/CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 80


def test_every_page_is_listed_on_the_first_one_and_begins_with_its_only_title() -> None:
    listed = [page.name for section in sections() for page in section.pages]
    assert sorted(listed) == sorted(set(pages()) - {FIRST})
    for page in pages().values():
        assert [token.tag for token in every(page) if token.tag == "h1" and token.nesting == 1] == ["h1"], page.path
        assert page.text.startswith("# "), page.path


@each_document
def test_links_lead_to_pages_and_headings_that_are_there(page: Page) -> None:
    for token in every(page):
        if token.type != "link_open":
            continue
        link = str(token.attrs["href"])
        if urlsplit(link).scheme:
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (ROOT / page.path).parent / path if path else ROOT / page.path
        assert target.is_file(), f"{page.path}: {link}"
        if page.path not in UNSERVED:
            assert not path or page_at(page, path) is not None, f"{page.path}: {link} works on GitHub alone"
        if anchor:
            leads_to = DOCUMENTS[str(target.resolve().relative_to(ROOT))]
            assert anchor in anchors(leads_to), f"{page.path}: {link}; there are {sorted(anchors(leads_to))}"


@each_document
def test_pictures_are_there_and_say_what_they_show(page: Page) -> None:
    for token in every(page):
        if token.type == "image":
            source = str(token.attrs["src"])
            assert ((ROOT / page.path).parent / source).is_file(), source
            assert len(token.content) > 10, f"{page.path}: {source} says nothing to those who cannot see it"
            assert page.path in UNSERVED or image_at(page, source), f"{page.path}: {source} works on GitHub alone"


def test_no_picture_is_kept_that_no_document_shows() -> None:
    shown = {Path(str(token.attrs["src"])).name for page in DOCUMENTS.values() for token in every(page) if token.type == "image"}
    kept = {path.name for folder in (IMAGES, ROOT / ".github/images") for path in folder.iterdir()}
    assert kept == shown


@each_document
def test_every_block_of_code_says_what_becomes_of_it(page: Page) -> None:
    for block in blocks(page):
        assert block.mark in MARKS.get(block.language, ()), f"{page.path}: ```{block.language} {block.mark}: {block.text[:60]!r}"


@each_document
def test_every_command_and_option_exists(page: Page) -> None:
    for words in commands(page):
        command, context, rest = mcal, click.Context(mcal, info_name="mcal"), list(words)
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-") and not rest[0].isupper():
            name = rest.pop(0)
            found = command.get_command(context, name)
            assert found is not None, f"{page.path}: mcal {' '.join(words)}: there is no {name}"
            command, context = found, click.Context(found, info_name=name, parent=context)
        if rest and rest[0].isupper():
            continue
        try:
            _, left, _ = command.make_parser(context).parse_args(rest)
        except click.UsageError as error:
            pytest.fail(f"{page.path}: mcal {' '.join(words)}: {error.format_message()}")
        assert left == [], f"{page.path}: mcal {' '.join(words)}"


@each_document
def test_settings_in_examples_are_settings(page: Page) -> None:
    for block in blocks(page):
        if (block.language, block.mark) == ("json", "settings"):
            parse_campaign_settings(block.text, defaults={})
        elif block.mark == "interface":
            campaign_control(block.text)
        elif (block.language, block.mark) == ("ini", "settings"):
            given = dict(line.split("=", 1) for line in block.text.split())
            assert unknown_environment(given) == [], page.path
    for name in re.findall(r"`(MCAL_[A-Z_]+)`", page.text):
        assert unknown_environment({name: "1"}) == [], page.path


def test_tests_that_documents_name_exist() -> None:
    there = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    named = {name for page in DOCUMENTS.values() for name in re.findall(r"`(tests/[\w/]+\.py|test_\w+)`", page.text)} - set(
        CampaignSettings.model_fields
    )
    assert len(named) > 30
    missing = [name for name in named if not ((ROOT / name).is_file() if "/" in name else f"def {name}(" in there)]
    assert missing == []


def test_make_targets_services_and_profiles_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    profiles = {profile for each in compose.values() for profile in each["profiles"]}
    for page in DOCUMENTS.values():
        for target in re.findall(r"(?:^|`) *make ([a-z-]+)", page.text, re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page.path}: make {target}"
        for service in re.findall(r"docker compose (?:exec|run|stop|logs)(?: --[a-zA-Z-]+)* ([a-z-]+)", page.text):
            assert service in compose, f"{page.path}: {service}"
        for profile in re.findall(r"--profile ([a-z-]+)", page.text):
            assert profile in profiles, f"{page.path}: {profile}"


@pytest.mark.parametrize("name", files())
def test_generated_parts_are_what_the_code_makes(name: str) -> None:
    text = files()[name][1].read_text(encoding="utf-8")
    assert text == reference.filled(text), f"{name} is out of date: make docs"


def test_every_generated_part_has_its_place() -> None:
    texts = "".join(file.read_text(encoding="utf-8") for _, file in files().values())
    assert sorted(reference.PART.sub(r"<<\1>>", texts).count(f"<<{name}>>") for name in reference.parts()) == [1] * len(reference.parts())


@pytest.mark.parametrize("page", ["quickstart-admin", "quickstart-annotator", "quickstart-operator", "quickstart-containers"])
def test_a_quickstart_has_at_most_seven_steps(page: str) -> None:
    depth, steps = 0, 0
    for token in every(pages()[page]):
        depth += token.nesting if token.type.startswith("ordered_list") else 0
        steps += token.type == "list_item_open" and depth == 1 and token.markup == "."
    assert 3 <= steps <= 7
