"""Asks each model from outside about a few tasks of a project, as a campaign would, and says what is wrong with its answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from backend.label_studio.port import LabelControl, LabelStudioError, LabelStudioPort, Project
from backend.outside.answers import ModelError, OutsideModel, Question, Reply, Subject
from backend.setup.findings import Finding
from mcal_engine.words import counted

ASKED = 3  # tasks

Models = Mapping[str, Callable[[], OutsideModel]]
"""Candidate's name → what opens it."""


def ask_models(models: Models, label_studio: LabelStudioPort, project: Project, control: LabelControl, url: str) -> Iterator[Finding]:
    """One finding for each model. A model whose answers cost money is paid for these few."""
    if not models:
        return
    try:
        ids = label_studio.task_ids(project.id)[:ASKED]
        data = label_studio.task_data(project.id, ids)
    except LabelStudioError as error:
        yield Finding("models from outside", "fail", f"the tasks cannot be read: {error}", "Label Studio's log says more.")
        return
    subject = Subject(project.id, project.label_config, control, url)
    for name, open_model in models.items():
        yield _asked(name, open_model(), subject, [Question(task, data[task]) for task in ids if task in data])


def _asked(name: str, model: OutsideModel, subject: Subject, questions: Sequence[Question]) -> Finding:
    began = time.monotonic()
    try:
        version = model.ready(subject)
        replies = model.ask(subject, questions) if questions else []
    except ModelError as error:
        return Finding(name, "fail", str(error), "A campaign with this candidate halts, or leaves the items to people (when_model_fails).")
    finally:
        model.close()
    took = f"{counted(len(replies), 'task')} in {time.monotonic() - began:.1f} s"
    version = f"version {version}, " if version else ""
    return _judged(name, f"{version}{took}", replies, subject.control)


def _judged(name: str, took: str, replies: Sequence[Reply], control: LabelControl) -> Finding:
    answers = [(each.label, each.confidence) for each in replies if each.label is not None]
    if not answers:
        strange = next((each.said for each in replies if each.said), "")
        said = f"such as {strange!r}, which is none of the choices" if strange else f"without a choice under {control.from_name!r}"
        some = ", ".join(control.choices[:5]) + (" …" if len(control.choices) > 5 else "")
        fix = f"Its answers must be choices of {control.from_name!r}: {some}."
        return Finding(name, "fail", f"{took}, all {said}", fix)
    label, confidence = answers[0]
    shown = f"{took}, such as {control.choices[label]!r} with a score of {confidence:.2f}"
    if not any(confidence for _, confidence in answers):
        fix = (
            "Its server should send a score in [0, 1] for each task: without one all of its answers are equally sure, and few can be used."
        )
        return Finding(name, "warn", shown, fix)
    missing = len(replies) - len(answers)
    return Finding(name, "ok", shown + (f"; {missing} of them have no answer and are people's" if missing else ""))
