"""Asks models from outside, keeps what they answer, and makes a candidate's scores of it."""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from backend.campaign.state import State, state_of
from backend.label_studio.config import config_fingerprint
from backend.label_studio.port import LabelStudioPort
from backend.outside.allowed import Allowed
from backend.outside.answers import ModelError, OutsideModel, Question, Reply, Subject
from backend.steps.ports import Heartbeat, Trainer
from backend.store import Answer, Store
from mcal_engine.classifiers import parse
from mcal_engine.classifiers.base import Progress, ProgressCallback
from mcal_engine.classifiers.candidates import Candidate, source_of
from mcal_engine.classifiers.outside import NO_ANSWER, OutsideClassifier
from mcal_engine.training import Scored, TrainingRequest
from mcal_engine.types import FloatArray, IntArray

logger = logging.getLogger(__name__)

BEAT_SECONDS = 1.0  # how soon a stop or a lost lease ends the asking
TRIES = 3  # of one batch
PAUSE_SECONDS = 2.0  # before the second try; doubled before each further one


class Trainers:
    """A :class:`backend.steps.ports.Trainer` that hands each candidate to who can train or ask it."""

    def __init__(self, allowed: Allowed, trained: Trainer, asked: Trainer) -> None:
        self._allowed, self._trained, self._asked = allowed, trained, asked

    def __call__(self, campaign_id: int, request: TrainingRequest, heartbeat: Heartbeat) -> Scored:
        self._allowed.check([request.classifier])
        trainer = self._asked if parse(request.classifier).asked else self._trained
        return trainer(campaign_id, request, heartbeat)


@dataclass(frozen=True, slots=True)
class OutsideTrainer:
    """A :class:`backend.steps.ports.Trainer` for candidates that are asked.

    Attributes:
        store: keeps the answers.
        label_studio: has the tasks' data.
        open_model: how a candidate is asked, with the campaign's own prompt if it has one; the model is closed after each round.
        pause_seconds: before a batch is asked for the second time.
    """

    store: Store
    label_studio: LabelStudioPort
    open_model: Callable[[Candidate, str | None], OutsideModel]
    now: Callable[[], datetime]
    pause_seconds: float = PAUSE_SECONDS

    def __call__(self, campaign_id: int, request: TrainingRequest, heartbeat: Heartbeat) -> Scored:
        state = state_of(self.store, campaign_id, self.now())
        asking = _Asking(self, state, request.classifier, heartbeat)
        try:
            classifier = OutsideClassifier(request.classifier, asking, time.monotonic)
            teller = _Teller(campaign_id, request)
            seconds = {"ask": classifier.prepare(request.test_ids, progress=teller)}
            price, unbought = asking.price(request.test_ids), 0
            if price and not request.buys:
                unbought = asking.n_unknown(request.pool_ids)
            if unbought:
                request = replace(request, pool_ids=request.pool_ids[:0])
            # What people have labelled is asked for only where distances to it are measured.
            ids = np.concatenate([request.score_ids, request.train_ids[: None if request.with_features else 0]])
            seconds["ask"] += classifier.prepare(ids, progress=teller)
            seconds["fit"] = classifier.fit(request.train_ids, request.train_labels, request.n_classes, seed=request.seed).seconds
            logits = classifier.logits(request.score_ids)
            features = classifier.features(ids) if request.with_features else None
        finally:
            asking.close()
        found = Scored.of(request, logits, seconds, one_off_seconds=seconds["ask"], device="asked", features=features)
        bought = self._bought(state, request.classifier)
        return replace(found, bought=bought, price=price, n_unbought=unbought, learns=False)

    def _bought(self, state: State, name: str) -> float:
        """What this campaign has paid for the candidate's answers and no earlier round has told: a round that was killed among it."""
        told = sum(one.bought for row in state.observations for one in row.measurements if source_of(one.classifier) == name)
        return max(self.store.answers_paid(state.campaign_id).get(name, (0, 0.0))[1] - told, 0.0)

    def subject(self, state: State) -> Subject:
        """What the questions of a campaign are about."""
        project = self.label_studio.project(state.project_id)
        url = self.store.campaign(state.campaign_id).label_studio_url
        return Subject(state.project_id, project.label_config, state.control, url, project.instruction)


@dataclass(frozen=True, slots=True)
class _Answers:
    """See :class:`mcal_engine.classifiers.outside.Answered`."""

    labels: IntArray
    confidences: FloatArray


class _Asking:
    """The questions of one round: what is known is read, what is not is asked, and each batch is kept as soon as it is answered."""

    def __init__(self, trainer: OutsideTrainer, state: State, name: str, heartbeat: Heartbeat) -> None:
        self._trainer, self._state, self._name, self._heartbeat = trainer, state, name, heartbeat
        self._url = trainer.store.campaign(state.campaign_id).label_studio_url
        self._fingerprint = config_fingerprint(state.control)
        self._known: dict[int, Answer] = {}
        self._given_up: set[int] = set()  # tasks that people take over, in this round
        self._subject = trainer.subject(state)
        self._model = trainer.open_model(parse(name), state.settings.model_prompt)
        self._identity = self._model.identity(self._subject)

    def __call__(self, rows: IntArray, progress: ProgressCallback | None) -> _Answers:
        tasks = rows.tolist()
        self._learn([task for task in tasks if task not in self._known and task not in self._given_up], progress)
        found = [self._known.get(task) for task in tasks]
        labels = [NO_ANSWER if each is None or each.label is None else each.label for each in found]
        confidences = [0.0 if each is None else each.confidence for each in found]
        return _Answers(np.array(labels, dtype=np.int64), np.array(confidences, dtype=np.float64))

    def price(self, rows: IntArray) -> float:
        """What an answer costs, as those for ``rows`` did on average, whoever paid for them."""
        known = [self._known[task].price for task in rows.tolist() if task in self._known]
        return sum(known) / len(known) if known else 0.0

    def n_unknown(self, rows: IntArray) -> int:
        """How many of ``rows`` nobody has an answer for yet."""
        keys = [self._key(task) for task in rows.tolist()]
        return len(keys) - len(self._trainer.store.answers(keys))

    def close(self) -> None:
        self._model.close()

    def _learn(self, tasks: Sequence[int], progress: ProgressCallback | None) -> None:
        keys = {self._key(task): task for task in tasks}
        self._known.update({keys[key]: answer for key, answer in self._trainer.store.answers(list(keys)).items()})
        missing = [task for task in tasks if task not in self._known]
        if not missing:
            return
        try:
            self._ask(missing, len(tasks), progress)
        except ModelError as error:
            if self._state.settings.when_model_fails == "wait":
                raise
            self._given_up = {task for task in missing if task not in self._known}
            text = "campaign %d: %s: %d tasks that it has not answered are people's in this round: %s"
            logger.warning(text, self._state.campaign_id, self._name, len(self._given_up), error)

    def _ask(self, tasks: Sequence[int], n_wanted: int, progress: ProgressCallback | None) -> None:
        trainer, model, subject = self._trainer, self._model, self._subject
        model.ready(subject)
        done = n_wanted - len(tasks)
        batches = (tasks[start : start + model.at_once] for start in range(0, len(tasks), model.at_once))
        for batch, replies in _answered(lambda batch: self._batch(model, subject, batch), batches, model.together, self._heartbeat):
            rows = [self._row(task, reply) for task, reply in zip(batch, replies, strict=True)]
            trainer.store.keep_answers(self._state.campaign_id, rows)
            self._known.update({row.task_id: row for row in rows})
            done += len(batch)
            if progress is not None:
                progress(Progress("ask", done, n_wanted))

    def _batch(self, model: OutsideModel, subject: Subject, batch: Sequence[int]) -> list[Reply]:
        """One batch, tried again where waiting may help. Tasks that are gone have no answer."""
        data = self._trainer.label_studio.task_data(subject.project_id, batch)
        here = [Question(task, data[task]) for task in batch if task in data]
        for attempt in range(TRIES):
            try:
                replies = dict(zip((each.task_id for each in here), model.ask(subject, here) if here else [], strict=True))
            except ModelError as error:
                if not error.retryable or attempt == TRIES - 1:
                    raise
                time.sleep(self._trainer.pause_seconds * 2**attempt)
            else:
                return [replies.get(task, Reply(None)) for task in batch]
        raise AssertionError("unreachable")

    def _row(self, task: int, reply: Reply) -> Answer:
        return Answer(self._key(task), self._name, task, reply.label, reply.confidence, reply.price, self._trainer.now())

    def _key(self, task: int) -> str:
        question = [self._identity, self._url, task, self._state.items[task].image, self._fingerprint]
        return hashlib.sha256(json.dumps(question, ensure_ascii=False).encode()).hexdigest()


def _answered(
    ask: Callable[[Sequence[int]], list[Reply]], batches: Iterator[Sequence[int]], together: int, heartbeat: Heartbeat
) -> Iterator[tuple[Sequence[int], list[Reply]]]:
    """Batches with their replies as they come, ``together`` of them under way; ``heartbeat`` is called while they are.

    The threads are left alone where a heartbeat raises: they wait for a server, and the process may end before it answers.
    """
    found: queue.SimpleQueue[tuple[Sequence[int], list[Reply] | BaseException]] = queue.SimpleQueue()

    def work(batch: Sequence[int]) -> None:
        try:
            found.put((batch, ask(batch)))
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            found.put((batch, error))

    under_way = 0
    while True:
        while under_way < together and (batch := next(batches, None)) is not None:
            threading.Thread(target=work, args=(batch,), daemon=True, name="asking").start()
            under_way += 1
        if not under_way:
            return
        heartbeat()
        try:
            batch, replies = found.get(timeout=BEAT_SECONDS)
        except queue.Empty:
            continue
        under_way -= 1
        if isinstance(replies, BaseException):
            raise replies
        yield batch, replies


class _Teller:
    """Logs how many answers there are, now and then."""

    def __init__(self, campaign_id: int, request: TrainingRequest) -> None:
        self._campaign_id, self._request = campaign_id, request
        self._told_at = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() - self._told_at >= 10.0:
            self._told_at = time.monotonic()
            text = "campaign %d: round %d: %s: %d of %d answers"
            logger.info(text, self._campaign_id, self._request.round, self._request.classifier, progress.done, progress.total)
