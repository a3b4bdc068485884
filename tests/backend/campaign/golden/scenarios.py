"""The campaigns that are recorded: between them they write every kind of event. Each takes an empty folder and returns its recorder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from backend.campaign.state import Phase, State
from backend.notify.channels import ChannelFailed
from backend.notify.notifier import Notifier
from backend.simtest.label_studio import FakeLabelStudio
from backend.steering.checks import Judgement, judge
from backend.steering.control import change_settings
from backend.steps.gone import look_after_the_end
from backend.steps.rollback import rollback
from tests.backend.campaign.golden.recording import Recorder
from tests.backend.several_questions import ANSWERS, SeveralQuestions
from tests.backend.steps.audited import another, audit, machine_said, order, people
from tests.backend.world import CHOICES, World

Scenario = Callable[[Path], Recorder]
SCENARIOS: dict[str, Scenario] = {}


def scenario(play: Scenario) -> Scenario:
    SCENARIOS[play.__name__] = play
    return play


def begun(directory: Path, **settings: Any) -> tuple[World, Recorder]:
    world = World(directory, start=False, **settings)
    recorder = Recorder(world)
    world.begin()
    return world, recorder


def labels_of_two(world: World) -> None:
    """Everybody labels until nothing is served; where a task is served again, the second person errs on every third."""
    idle = 0
    while idle < len(world.people):
        for person in world.people:
            task = world.label_studio.next_task(world.project, person)
            idle = 0 if task is not None else idle + 1
            if task is not None:
                first = not world.annotations()[task]
                world.label_studio.annotate(task, person, world.right(task) if first or task % 3 else another(world.right(task)))


class Post:
    """A channel; ``broken``: what is sent never arrives."""

    def __init__(self, name: str, *, broken: bool = False) -> None:
        self.name, self.broken = name, broken

    def send(self, title: str, text: str, weight: str) -> None:
        if self.broken:
            raise ChannelFailed("the receiver answered 503")


def told(world: World, state: State) -> None:
    """Tell two channels, one of them broken, of this state, and wait until both are done."""
    posts: list[Any] = [Post("1 json"), Post("2 mailto", broken=True)]
    with Notifier(world.store, posts, gather_seconds=0, pause_seconds=0) as notifier:
        notifier.seen(state)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and len(world.store.events(world.campaign.id, kinds=("notified",))) < len(posts):
            time.sleep(0.05)


@scenario
def certified(directory: Path) -> Recorder:
    """A certified campaign to its end; some tasks are skipped, one is answered twice, some are deleted, an image is unreadable."""
    world, recorder = begun(directory, n=260)
    world.shelf.bad["/data/7.png"] = "no image of a known kind"
    state = world.advance()
    assert state.queue is not None
    task = state.queue.ids[0]
    for person in world.people:
        world.label_studio.annotate(task, person, world.right(task))
    world.label_studio.delete_task(state.queue.ids[1])
    world.run(skip=set(world.tasks[::23]))
    return recorder


@scenario
def estimate(directory: Path) -> Recorder:
    """No certificate sample; some labels are from before the campaign."""
    world = World(directory, n=240, start=False, guarantee="estimate")
    for task in world.tasks[:60:3]:
        world.label_studio.annotate(task, world.people[0], world.right(task))
    recorder = Recorder(world)
    world.begin()
    world.run()
    return recorder


@scenario
def audits(directory: Path) -> Recorder:
    """A first audit is called off, a second one is decided and followed by a take-back, a third one is called off before it is drawn."""
    world, recorder = begun(directory, n=300)
    world.run()
    audit(world, size=15)
    people(world, n=4)
    world.act("cancel-audit", by="ann")
    world.advance()
    said = machine_said(world)
    found = audit(world, size=80).audits[1]
    ranks = {row.task_id: row.rank for row in order(world, found)}
    people(world, lambda task: another(said[task]) if ranks[task] >= 0.7 * len(ranks) else said[task])
    world.advance()
    edited = max(task for task, rank in ranks.items() if rank >= 0.9 * len(ranks) and task not in found.ids)
    world.label_studio.edit(world.machine_annotations()[edited].id, world.people[0], another(said[edited]))
    world.act("take-back", by="ann")
    world.advance()
    people(world)
    world.advance()
    audit_called_off_unseen(world)
    return recorder


def audit_called_off_unseen(world: World) -> None:
    world.act("audit", by="ann", size=10)
    world.act("cancel-audit", by="ann")
    world.advance()


@scenario
def second_labels(directory: Path) -> Recorder:
    """Two people answer a share of the test and certificate items, and do not always agree."""
    world, recorder = begun(directory, n=240, overlap_share=0.25)
    state = world.advance()
    while not state.ended:
        labels_of_two(world)
        state = world.advance()
    return recorder


@scenario
def class_bound(directory: Path) -> Recorder:
    """min_class_precision leaves classes different cuts."""
    world, recorder = begun(directory, n=500, test_size=80, min_class_precision=0.6)
    world.run()
    return recorder


@scenario
def budget(directory: Path) -> Recorder:
    """Money ends the search."""
    world, recorder = begun(directory, n=240, budget=4.0)
    world.run()
    return recorder


@scenario
def halted(directory: Path) -> Recorder:
    """Halts that mend themselves and one that a person resumes; a pause; then the admin ends the search."""
    world, recorder = begun(directory, n=220, hopeless=True)
    world.advance()
    project = world.label_studio.project(world.project)
    world.label_studio.set_project(world.project, maximum_annotations=2)
    world.advance()
    world.label_studio.set_project(world.project, maximum_annotations=project.maximum_annotations)
    world.advance()
    world.label(20)
    world.act("pause", by="ann")
    world.label()
    world.advance()
    world.act("resume", by="ann")
    world.advance()
    world.label_studio.set_project(world.project, label_config=project.label_config.replace("bee", "wasp"))
    world.advance()
    world.act("pause", by="ann")
    world.label_studio.set_project(world.project, label_config=project.label_config)
    world.advance()
    world.act("resume", by="ann")
    world.advance()
    world.label(5)
    world.act("stop", by="ann")
    world.run()
    return recorder


@scenario
def unreadable(directory: Path) -> Recorder:
    """No image can be read at first: a halt that waits for a person."""
    world = World(directory, n=220, start=False)
    recorder = Recorder(world)
    world.shelf.bad.update({f"/data/{place}.png": "answered 401" for place in range(220)})
    world.begin()
    world.advance()
    world.shelf.bad.clear()
    world.act("resume", by="ann")
    world.advance()
    world.label(9)
    rollback(world.services, world.campaign.id, by="ann")
    return recorder


@scenario
def rolled_back(directory: Path) -> Recorder:
    """Finished, then taken out of Label Studio again, but for what people had edited."""
    world, recorder = begun(directory, n=260)
    world.run()
    machine = world.machine_annotations()
    for task in sorted(machine)[:3]:
        world.label_studio.edit(machine[task].id, world.people[0], another(world.right(task)))
    rollback(world.services, world.campaign.id, by="ann")
    return recorder


@scenario
def peeled(directory: Path) -> Recorder:
    """A sample in two bands holds errors: people label the least trusted items in some batches before the machine's are written."""
    bands = {"certificate_rule": "two_bands", "max_looks": 1}
    world, recorder = begun(directory, n=260, max_rounds=4, test_size=20, batch_size=10, **bands)
    world.trainer.skill = lambda request: 0.9
    world.run()
    return recorder


@scenario
def two_looks(directory: Path) -> Recorder:
    """A certificate sample falls short by bad luck, joins the test items, and a fresh one decides."""
    world, recorder = begun(directory, n=800, test_size=60, max_looks=3)
    state = world.run(until=[Phase.CERTIFYING])
    rank = {row.task_id: row.rank for row in world.store.frozen(world.campaign.id, 1)}
    for task in sorted(state.sample, key=rank.__getitem__)[: len(state.sample) // 12 + 2]:
        world.label_studio.annotate(task, world.people[0], another(world.right(task)))
    world.label()
    world.run()
    return recorder


@scenario
def approved(directory: Path) -> Recorder:
    """The write-back waits for the admin's yes, given in a pause; somebody is told of it; then a person's label comes first."""
    world, recorder = begun(directory, n=260, approve_write_back="on")
    told(world, world.run(until=[Phase.AWAITING_APPROVAL]))
    task = world.state().machine_labels[0].task_id
    world.label_studio.annotate(task, world.people[0], world.right(task))
    world.act("pause", by="ann")
    world.act("approve", by="ann")
    world.advance()
    world.act("resume", by="ann")
    world.run()
    return recorder


@scenario
def checked(directory: Path) -> Recorder:
    """Machine labels are checked by eye before the yes: one check is given up, one decided; after the end a third is begun."""
    world, recorder = begun(directory, n=260, approve_write_back="on")
    world.run(until=[Phase.AWAITING_APPROVAL])
    world.act("check", by="ann", size=10)
    judged(world, world.state().checks[0].ids[:3])
    world.act("check", by="ann", size=30)
    ids = world.state().checks[1].ids
    judged(world, ids[:2])
    judged(world, ids[1:], wrong=ids[:1])
    world.act("approve", by="ann")
    world.run()
    world.act("check", by="bob", size=5, confidence=0.9)
    return recorder


def judged(world: World, right: Sequence[int], wrong: Sequence[int] = ()) -> None:
    said = Judgement(check=len(world.state().checks), right=list(right), wrong=list(wrong))
    judge(world.store, world.campaign.id, said, world.now(), by="ann")


@scenario
def declined(directory: Path) -> Recorder:
    """People are shown suggestions; the write-back waits, and the admin gives everything to people instead."""
    world, recorder = begun(directory, n=260, approve_write_back="on", assisted_labelling="on")
    world.run(until=[Phase.AWAITING_APPROVAL])
    world.act("label-all", by="ann")
    world.run()
    return recorder


@scenario
def assisted(directory: Path) -> Recorder:
    """Suggestions on training and residual items, switched on in mid-campaign; settings change before and while V is answered."""
    world, recorder = begun(directory, n=300)
    change_settings(world.store, world.campaign.id, {"quorum": 0.8}, world.now(), by="ann")
    world.advance()
    change_settings(world.store, world.campaign.id, {"assisted_labelling": "on", "target_error": 0.06}, world.now(), by="ann")
    world.run(until=[Phase.CERTIFYING])
    change_settings(world.store, world.campaign.id, {"target_error": 0.4, "patience_minutes": 1}, world.now(), by="ann")
    world.label(len(world.state().sample) - 1)
    world.wait(hours=100)
    world.run()
    return recorder


@scenario
def newcomers(directory: Path) -> Recorder:
    """Tasks are added in mid-campaign; hours are paid, and the price is measured from lead times."""
    world, recorder = begun(directory, n=220, price_per_hour=36.0)
    annotate = FakeLabelStudio.annotate

    def paced(task_id: int, user: Any, choice: str | None, *, lead_time: float | None = None) -> int:
        seconds = 2.0 + task_id % 7 + (3 if world.trainer.requests else 0)
        return annotate(world.label_studio, task_id, user, choice, lead_time=seconds)

    world.label_studio.annotate = paced  # type: ignore[method-assign]
    world.advance()
    world.label()
    world.label_studio.add_tasks(world.project, [f"/data/new/{place}.png" for place in range(40)])
    world.run()
    return recorder


@scenario
def no_classifier(directory: Path) -> Recorder:
    """All first labels are of one class: nothing can be trained. Two classifiers race. The admin gives up while V is answered."""
    world, recorder = begun(directory, n=260, classifiers="frozen,cnn")
    right = world.right
    world.right = lambda task: CHOICES[0]  # type: ignore[method-assign]
    world.advance()
    world.label()
    world.advance()
    world.right = right  # type: ignore[method-assign]
    state: State = world.run(until=[Phase.CERTIFYING, Phase.RESIDUAL])
    if state.stage == Phase.CERTIFYING:
        world.act("label-all", by="ann")
    world.run()
    return recorder


@scenario
def cancelled(directory: Path) -> Recorder:
    """Requested, and called off before the first visit."""
    world, recorder = begun(directory, n=200)
    rollback(world.services, world.campaign.id, by="ann")
    return recorder


@scenario
def asked_again(directory: Path) -> Recorder:
    """People skip some items and answer others without a label; after the end they are asked again, and most of it gets one."""
    world, recorder = begun(directory, n=200, hopeless=True, max_rounds=4)
    world.advance()
    studio, (ann, bob) = world.label_studio, world.people
    for place, task in enumerate(world.tasks[3:200:19]):
        if place % 3 == 0:
            studio.skip(task, ann)
            studio.skip(task, bob)
        else:
            instead = "submitted without an answer" if place % 3 == 1 else "2 choices at once: 'ant', 'bee'"
            studio.annotate(task, ann, None, instead=instead)
    world.run()
    world.act("ask-again", by="ann")
    world.run()
    return recorder


@scenario
def several_questions(directory: Path) -> Recorder:
    """People answer several questions about each item, one of them shown by the answer to another; a machine label is edited."""
    world = SeveralQuestions(directory, n=240, start=False)
    recorder = Recorder(world)
    world.begin()
    state = world.run(until=[Phase.RESIDUAL])
    written = next(row for row in state.machine_labels if row.state == "written")
    assert written.annotation_id is not None
    other = next(answer for answer in ANSWERS if answer != state.choices[written.label])
    world.label_studio.edit(written.annotation_id, world.people[0], other)
    world.run()
    return recorder


@scenario
def gone(directory: Path) -> Recorder:
    """The project is deleted while people label the test items."""
    world, recorder = begun(directory, n=200)
    world.advance()
    world.label(20)
    world.advance()
    world.label_studio.delete_project(world.project)
    world.advance()
    return recorder


@scenario
def gone_afterwards(directory: Path) -> Recorder:
    """People label everything, and the project is deleted after the end."""
    world, recorder = begun(directory, n=200)
    world.advance()
    world.act("label-all", by="ann")
    world.run()
    world.label_studio.delete_project(world.project)
    look_after_the_end(world.services)
    return recorder


@scenario
def images_changed(directory: Path) -> Recorder:
    """Some tasks get another image in Label Studio while people label the test items, one of them twice; then it is rolled back."""
    world, recorder = begun(directory, n=200)
    world.advance()
    for tasks, image in ((world.tasks[3:6], "/data/another.png"), (world.tasks[5:6], "/data/a third.png")):
        world.label(3)
        for task in tasks:
            world.label_studio.set_image(task, image)
        world.wait(minutes=6)
        world.advance()
    rollback(world.services, world.campaign.id, by="ann")
    return recorder
