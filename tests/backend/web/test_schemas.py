"""Every good answer of the API is what its description says, whole and without more."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import jsonschema
import pytest

from backend.campaign.state import Phase
from backend.web.api.openapi import describe
from backend.web.api.schemas import Schemas
from backend.web.api.table import Api as Table
from tests.backend.web.test_pages import api, browser_of
from tests.browser.digits import DigitWorld
from tests.browser.served import TOKEN


class Leaf(TypedDict):
    """A leaf."""

    colour: Literal["green", "red"] | None
    sizes: list[float]


class Tree(TypedDict):
    leaves: dict[str, Leaf]
    height: NotRequired[int]


def test_a_typed_dictionary_becomes_a_schema_with_references() -> None:
    made = Schemas("#/parts/", {"Tree"})
    assert made.of(Tree) == {"$ref": "#/parts/TestSchemasTree"}  # the name Tree is taken
    assert made.found["TestSchemasTree"]["required"] == ["leaves"]
    assert made.found["TestSchemasTree"]["properties"] == {
        "leaves": {"type": "object", "additionalProperties": {"$ref": "#/parts/Leaf"}},
        "height": {"type": "integer"},
    }
    assert made.found["Leaf"] == {
        "type": "object",
        "description": "A leaf.",
        "required": ["colour", "sizes"],
        "properties": {
            "colour": {"anyOf": [{"enum": ["green", "red"]}, {"type": "null"}]},
            "sizes": {"type": "array", "items": {"type": "number"}},
        },
    }
    with pytest.raises(TypeError, match="no schema for"):
        made.of(set[int])


def test_every_operation_says_what_it_answers() -> None:
    document = describe(Table(None).operations)  # type: ignore[arg-type]
    loose = [
        operation["operationId"]
        for methods in document["paths"].values()
        for operation in methods.values()
        for answer in operation["responses"].values()
        for content in answer["content"].values()
        if content["schema"] == {"type": "object"}
    ]
    assert loose == ["openapi"]


@pytest.mark.slow
def test_answers_at_every_stage_are_what_the_description_says(tmp_path: Path) -> None:
    world = DigitWorld(tmp_path, n=300, test_size=60, batch_size=20, machine_price_per_hour=3.0, price_per_hour=36.0, overlap_share=0.5)
    client = browser_of(world)
    document = closed(api(client, "/openapi.json"))
    checked = {*agree(client, document)}  # nobody has visited the project
    world.advance()
    world.label(10)
    checked |= {*agree(client, document)}
    world.run(until=[Phase.RESIDUAL])
    world.act("check", size=3, by="ann")
    world.act("audit", size=5, by="ann")
    world.advance()
    checked |= {*agree(client, document)}
    assert world.run().phase == Phase.FINISHED
    checked |= {*agree(client, document)}
    assert {"ShownCampaign", "Report", "Review", "Series", "WhatIf", "EventList", "CampaignList", "ProjectList", "Newcomers"} <= checked
    world.store.close()


def closed(document: Any) -> Any:
    """The description, with no fields allowed besides those that it names."""
    made = copy.deepcopy(document)
    for schema in made["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return made


def agree(client: Any, document: Any) -> list[str]:
    """Ask every operation that only looks; the names of the schemas that answers were held against."""
    names = []
    for path, methods in document["paths"].items():
        good = methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        reference = good.get("application/json", {}).get("schema", {}).get("$ref")
        if reference is None:
            continue
        answer = client.get(f"/api/v1{re.sub('{campaign_id}', '1', path)}", headers={"Authorization": f"Bearer {TOKEN}"})
        if answer.status_code == 400 and "before the first round is measured" in answer.text:
            continue  # only what-if asks for a round
        assert answer.status_code == 200, (path, answer.text)
        schema = {"$ref": reference, "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(answer.get_json())
        names.append(reference.rpartition("/")[2])
    return names
