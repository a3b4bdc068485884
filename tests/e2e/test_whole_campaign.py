"""One campaign from the first label to the last, and its undoing, with nothing simulated but the people."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import backend
from backend.demo import audit, trace
from backend.demo.data import load
from backend.demo.house import House
from backend.demo.run import judge
from backend.label_studio import wire
from backend.label_studio.config import parse_label_config
from mcal_engine import codec, engine
from mcal_engine.types import CertificateOutcome, Observation, PeelOrder
from tests.e2e.conftest import Build
from tests.e2e.following import begin, finish
from tests.engine.simulator.test_texts import rows, written

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]


def mcal(house: House, *arguments: str) -> Any:
    """Run a command as an admin of this backend would; returns its JSON."""
    environment = os.environ | house.settings | {"PYTHONPATH": str(Path(backend.__file__).parents[1])}
    command = [sys.executable, "-m", "backend.cli", *arguments, "--json"]
    done = subprocess.run(command, env=environment, cwd=house.directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def replayed(house: House) -> None:
    """Every decision in the history is what the engine says to the rows before it."""
    state = house.state()
    for place, row in enumerate(state.history):
        if isinstance(row, Observation | CertificateOutcome | PeelOrder):
            again = engine.decide(state.settings, state.history[: place + 1])
            assert codec.to_json(again) == codec.to_json(state.history[place + 1])


def emptied_batches_end_with_nothing(house: House) -> None:
    """Between the last task of a batch and the opening of the next, nobody was served anything."""
    batches = house.batches()
    placed = trace.place(house.trace(), batches)
    for batch, after in pairwise(batches):
        last = max(each.pull.served_at for each in placed if each.batch is batch and each.pull.task_id is not None)
        if after.opened_at - last > timedelta(seconds=2):
            between = [each.pull for each in placed if last < each.pull.served_at < after.opened_at]
            assert between, f"nobody asked after the end of {batch.model_version}"
            assert all(pull.task_id is None for pull in between)


def test_a_campaign_runs_to_its_end_and_can_be_undone(build: Build) -> None:
    house = build(400)
    begin(house)
    report = finish(house)
    results, checks = judge(house, report)
    assert [check for check in checks if not check.ok] == []
    assert report["certified"]
    assert report["n_machine"] > 0
    assert report["human_items"] + report["n_machine"] + report["n_set_aside"] == report["n_items"] == 400
    assert results["true_overall_error"] <= 0.1
    replayed(house)
    emptied_batches_end_with_nothing(house)
    assert mcal(house, "campaign", "report", str(house.campaign_id)) == report
    assert mcal(house, "campaign", "list")[0]["phase"] == "finished"
    rolled_back(house)


def test_a_campaign_on_texts_runs_to_its_end_and_can_be_undone(build: Build, tmp_path: Path) -> None:
    house = build(200, data=written(tmp_path / "topics.csv", rows(200)), classifiers="tfidf")
    begin(house)
    report = finish(house)
    results, checks = judge(house, report)
    assert [check for check in checks if not check.ok] == []
    assert report["certified"]
    assert report["n_machine"] > 0
    assert results["true_overall_error"] <= 0.1
    texts = {item.task_id: item.image for item in house.state().live}
    assert all(text.endswith(".") for text in texts.values())
    found = httpx.get(f"{house.url}/api/v1/campaigns/{house.campaign_id}/review", auth=("admin", house.page_password), timeout=60)
    assert all(tile["text"] == texts[tile["task"]] for tile in found.raise_for_status().json()["least_sure"])
    rolled_back(house)


SEVERAL = """<View><Text name="text" value="$text"/>
<Choices name="topic" toName="text" required="true"><Choice value="money"/><Choice value="sport"/><Choice value="weather"/></Choices>
<Choices name="sky" toName="text" required="true" visibleWhen="choice-selected" whenTagName="topic" whenChoiceValue="weather">
<Choice value="wet"/><Choice value="dry"/></Choices>
<Choices name="words" toName="text" choice="multiple"><Choice value="account"/><Choice value="team"/></Choices>
<Taxonomy name="shelf" toName="text" required="true"><Choice value="Papers"><Choice value="Bills"/></Choice>
<Choice value="Other"/></Taxonomy>
<Rating name="stars" toName="text" maxRating="2" required="true"/></View>"""


def test_a_campaign_on_every_kind_of_question_runs_to_its_end_and_can_be_undone(build: Build, tmp_path: Path) -> None:
    """One question is shown by the answer to another; what is right can be told from the words of each text."""
    found = []
    for row in rows(240):
        topic, words = row["label"], [word for word in ("account", "team") if word in row["text"].lower()]
        sky = ("wet" if re.search("rain|storm|snow", row["text"].lower()) else "dry") if topic == "weather" else ""
        shelf, stars = ("Papers / Bills", "1") if topic == "money" else ("Other", "2")
        found.append({"text": row["text"], "topic": topic, "sky": sky, "words": "|".join(words), "shelf": shelf, "stars": stars})
    columns = ["topic", "sky", "words", "shelf", "stars"]
    data = load(written(tmp_path / "several.csv", found), 240, 0, columns)
    questions = parse_label_config(SEVERAL).questions
    assert data.questions is not None
    said = [data.questions.answer_of(data.choices[label]) for label in data.labels]
    texts = [questions.text_of(answer) for answer in said]
    choices = tuple(sorted(set(texts)))
    labels = np.array([choices.index(text) for text in texts])
    house = build(240, data=replace(data, choices=choices, labels=labels, interface=SEVERAL), classifiers="tfidf", target_error=0.15)
    begin(house)
    report = finish(house)
    results, checks = judge(house, report)
    assert [check for check in checks if not check.ok] == []
    assert report["n_machine"] > 0 and results["true_overall_error"] <= 0.15
    rolled_back(house)


def rolled_back(house: House) -> None:
    """A rollback takes the machine's labels, keeps the one that a person has edited, and touches nobody's own."""
    before = audit.count(house.tasks(), house.service_user_id())
    edited, *others = [each.machine[0] for each in before if each.machine]
    ann = {"Authorization": f"Token {house.people[0].token}"}
    other = next(choice for choice in sorted(set(house.truth.values())) if choice != edited.choice)
    body = {"result": wire.result_of(other, house.project.control)}
    httpx.patch(f"{house.server.url}/api/annotations/{edited.id}/", headers=ann, json=body, timeout=60).raise_for_status()
    done = mcal(house, "campaign", "rollback", str(house.campaign_id), "--yes")
    assert f"{len(others):,} machine labels removed; 1 were kept" in done["notes"][0]
    after = audit.count(house.tasks(), house.service_user_id())
    assert [each.machine for each in after] == [()] * len(after)
    kept = {each.task.id: [one.id for one in each.people] for each in after}
    was = {each.task.id: [one.id for one in each.people] for each in before}
    assert kept == was | {edited.task_id: [edited.id]}


def test_the_doctor_finds_a_connected_project_in_good_health(build: Build) -> None:
    house = build(200)
    house.connect()
    found = {row["name"]: row for row in mcal(house, "doctor", "--project", str(house.project.id))}
    assert {name: row["detail"] for name, row in found.items() if row["status"] == "fail"} == {}
    names = {name.removeprefix(f"project {house.project.id}: ") for name in found}
    assert {"token", "webhook", "images", "annotators per task", "model", "service user", "device", "disk", "job queue"} <= names
    assert found[f"project {house.project.id}: webhook"]["status"] == "ok"
