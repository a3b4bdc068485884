"""The page of a campaign on several questions: pairs of question and answer, and each question's choices."""

from __future__ import annotations

import re
from pathlib import Path

from backend.web.app import create_app
from tests.backend.several_questions import ANSWERS, SeveralQuestions
from tests.browser.served import PASSWORD, TOKEN, USER, deps_of


def test_people_see_answers_in_words_and_choices_by_question(tmp_path: Path) -> None:
    world = SeveralQuestions(tmp_path, n=240)
    world.label_studio.annotate(world.tasks[0], world.people[0], ANSWERS[0])
    world.label_studio.annotate(world.tasks[1], world.people[0], ANSWERS[3])
    world.advance()
    client = create_app(deps_of(world)).test_client()
    client.post("/login", data={"user": USER, "password": PASSWORD})
    page = client.get(f"/campaigns/{world.campaign.id}").get_data(as_text=True)
    assert "Questions and answers" in page and "kind: dog; breed: poodle; colours: white; place: Street" in page
    assert "{&#34;kind" not in page and '{"kind' not in page
    view = client.get(f"/api/v1/campaigns/{world.campaign.id}", headers={"Authorization": f"Bearer {TOKEN}"}).get_json()
    counts = {row["question"]: {each["choice"]: each["human"] for each in row["choices"]} for row in view["questions"]}
    assert counts["kind"] == {"cat": 1, "dog": 1} and counts["breed"] == {"pug": 0, "poodle": 1, None: 1}
    shown = re.findall(r'<data value="([^"]*)" data-path="questions\.0\.choices\.\d\.human">', page)
    assert shown == ["1", "1"]
    world.store.close()
