"""A campaign on images with a text beside them, lived to the end on a real Label Studio with the real encoders.

The picture tells one half of the class, the text the other.
"""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from backend.campaign.state import Phase
from backend.label_studio import wire
from backend.label_studio.config import parse_label_config
from backend.label_studio.port import LabelControl, TextBeside
from backend.steps.images import CampaignImages
from backend.steps.rollback import rollback
from backend.steps.trainer import ChildTrainer
from mcal_engine.classifiers.images.shapes import shapes
from tests.conftest import RealLabelStudio
from tests.contracts.test_people_s_projects import Lived
from tests.contracts.worlds import RealWorld
from tests.engine.classifiers.texts.sentences import sentences

pytestmark = [pytest.mark.contract, pytest.mark.timeout(1800)]

N = 240
CLASSES = ("down money", "across money", "down sport", "across sport", "down weather", "across weather")
CONFIG = (
    '<View><Image name="image" value="$image"/><HyperText name="words" value="$post.words"/><Choices name="kind" toName="image" '
    f'choice="single">{"".join(f"<Choice value={each!r}/>" for each in CLASSES)}</Choices></View>'
)
CONTROL = parse_label_config(CONFIG)


class Posts(Lived):
    """Ann says what she sees in the picture and reads in the text."""

    def import_posts(self) -> None:
        pictures, kinds = shapes(N, n_classes=2)
        texts, topics = sentences(N, noise=0)
        rows = [
            {"data": {"image": uri(picture), "post": {"words": f"<p>{text}</p><script>nothing</script>"}}}
            for picture, text in zip(pictures, texts, strict=True)
        ]
        made = self.world._ok(self.world._admin.post("/api/projects", json={"title": "Posts", "label_config": CONFIG}))
        self.project = made["id"]
        path = f"/api/projects/{self.project}/import?return_task_ids=true"
        self.tasks = self.world._ok(self.world._admin.post(path, json=rows))["task_ids"]
        self.truth = {task: CLASSES[kind + 2 * topic] for task, kind, topic in zip(self.tasks, kinds, topics, strict=True)}
        self.read = dict(zip(self.tasks, texts, strict=True))

    def right(self, task: int) -> list[dict[str, Any]]:
        return wire.result_of(self.truth[task], CONTROL)

    @property
    def control(self) -> LabelControl:
        return CONTROL


def uri(picture: Any) -> str:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def test_a_campaign_on_pictures_with_texts_comes_to_its_end_and_a_rollback_keeps_an_edit(
    real_label_studio: RealLabelStudio, tmp_path: Path
) -> None:
    world = RealWorld(real_label_studio)
    lived = Posts(world, tmp_path)
    limits: dict[str, int] = {"max_bytes": 1 << 20, "max_pixels": 1 << 20, "threads": 4}
    shelf = CampaignImages(world.port, tmp_path / "images", **limits, name_of=str)
    trainer = ChildTrainer(shelf, cache_dir=tmp_path / "encoders", device="cpu", time_limit_hours=1)
    lived.services = replace(lived.services, images=shelf, trainer=trainer)
    lived.import_posts()
    lived.begin(classifiers="both")
    state = lived.advance()
    assert state.control.beside == (TextBeside("post.words", "hypertext"),) and state.settings.classifiers == ("both",)
    texts = shelf.beside(lived.campaign)
    assert texts is not None and texts.batch(texts.rows(lived.tasks)) == [lived.read[task] for task in lived.tasks]
    state = lived.run()
    assert state.phase == Phase.FINISHED and state.report is not None and state.report["n_machine"] > 60
    assert lived.in_label_studio() == {"people": state.report["human_items"], "machine": state.report["n_machine"], "none": 0}
    me = world.port.current_user().id
    ours = [each for task in world.port.tasks(lived.project, CONTROL) for each in task.annotations if each.completed_by == me]
    assert sum(each.choice != lived.truth[each.task_id] for each in ours) <= 0.1 * N
    edited = ours[0]
    other = next(choice for choice in CLASSES if choice != edited.choice)
    body = {"result": wire.result_of(other, CONTROL)}
    world._ok(world._people[world.ann.id].patch(f"/api/annotations/{edited.id}/", json=body))
    done = rollback(lived.services, lived.campaign, by="test")
    assert (done.n_removed, done.n_kept) == (len(ours) - 1, 1)
    lived.store.close()
    world.close()
