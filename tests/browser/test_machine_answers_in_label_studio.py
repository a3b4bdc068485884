"""A machine annotation of every kind of control, opened and edited by a person in Label Studio's own editor."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from backend.label_studio.client import LabelStudioClient
from backend.label_studio.config import parse_label_config
from backend.label_studio.port import Prediction
from tests.conftest import RealLabelStudio

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

CONFIG = """<View><Text name="text" value="$text"/>
<Choices name="kind" toName="text" required="true"><Choice value="cat"/><Choice value="dog"/></Choices>
<Choices name="breed" toName="text" required="true" visibleWhen="choice-selected" whenTagName="kind" whenChoiceValue="dog">
<Choice value="pug"/><Choice value="poodle"/></Choices>
<Choices name="colours" toName="text" choice="multiple"><Choice value="black"/><Choice value="white"/></Choices>
<Taxonomy name="place" toName="text"><Choice value="Home"><Choice value="Garden"/></Choice><Choice value="Street"/></Taxonomy>
<Rating name="stars" toName="text" maxRating="4"/></View>"""
CONTROL = parse_label_config(CONFIG)
WRITTEN = {"kind": ("dog",), "breed": ("pug",), "colours": ("black", "white"), "place": ("Home / Garden", "Street"), "stars": ("3",)}
EDITED = {"kind": ("cat",), "colours": ("white",), "place": ("Home / Garden", "Street"), "stars": ("1",)}


def test_a_machine_annotation_of_every_kind_opens_in_the_editor_and_a_persons_edit_is_read(
    real_label_studio: RealLabelStudio, chromium: Any
) -> None:
    url, token = real_label_studio.server.url, real_label_studio.server.admin_token
    port = LabelStudioClient(url, real_label_studio.service_token)
    with httpx.Client(base_url=url, headers={"Authorization": f"Token {token}"}, timeout=60) as admin:
        project = admin.post("/api/projects", json={"title": "Editor", "label_config": CONFIG}).raise_for_status().json()["id"]
        imported = admin.post(f"/api/projects/{project}/import?return_task_ids=true", json=[{"text": "a pug at home"}])
        (task,) = imported.raise_for_status().json()["task_ids"]
    port.import_predictions(project, "final", [Prediction(task, 0.9, CONTROL.questions.text_of(WRITTEN), {"campaign": 1})], CONTROL)
    port.predictions_to_annotations(project, "final", [task])
    context = chromium.new_context(viewport={"width": 1400, "height": 1000})
    try:
        page = logged_in(context, url, real_label_studio)
        page.goto(f"{url}/projects/{project}/data?task={task}")
        page.wait_for_selector(".lsf-choices input[name=dog]")
        opens_as_written(page)
        page.click("input[name=cat]")
        page.wait_for_selector("input[name=pug]", state="hidden")
        page.click("input[name=black]")
        page.click('.ant-rate [aria-posinset="1"]')
        with page.expect_response(lambda reply: reply.request.method == "PATCH" and "/api/annotations/" in reply.url):
            page.click("[data-testid=bottombar-update-button]")
    finally:
        context.close()
    (read,) = port.tasks_by_id(project, CONTROL, [task])[0].annotations
    assert read.choice == CONTROL.questions.text_of(EDITED) and read.no_choice == ""
    assert read.completed_by != read.updated_by  # a person's now, and so kept by a rollback
    port.close()


def logged_in(context: Any, url: str, real: RealLabelStudio) -> Any:
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{url}/user/login/")
    page.fill("input[name=email]", real.server.admin_email)
    page.fill("input[name=password]", real.server.admin_password)
    page.click("button[type=submit]")
    page.wait_for_url("**/")
    return page


def opens_as_written(page: Any) -> None:
    ticked = {name: page.is_checked(f"input[name={name}]") for name in ("cat", "dog", "pug", "poodle", "black", "white")}
    assert ticked == {"cat": False, "dog": True, "pug": True, "poodle": False, "black": True, "white": True}
    paths = page.locator(".htx-taxonomy .ant-select-selection-item").all_inner_texts()
    assert [text.strip() for text in paths] == ["Garden", "Street"]
    assert page.locator(".ant-rate .ant-rate-star-full").count() == 3
    assert page.is_disabled("[data-testid=bottombar-update-button]")  # nothing has changed by opening it
