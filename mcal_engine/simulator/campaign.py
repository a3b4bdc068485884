"""A whole campaign played by a data set: the same engine and the same round as the Label Studio service, with people who answer at once.

Nothing here sees a label that nobody was asked for; what only the truth can tell is in :mod:`mcal_engine.simulator.truth`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mcal_engine import peeling, streams
from mcal_engine import round as rounds
from mcal_engine.acquisition import NEEDS_FEATURES
from mcal_engine.bill import Labels
from mcal_engine.certificates import peel
from mcal_engine.certificates.per_class import cuts_planned
from mcal_engine.classifiers.candidates import beside, source_of
from mcal_engine.classifiers.learned_order import in_learned_order
from mcal_engine.cost import money
from mcal_engine.engine import Engine, Row
from mcal_engine.errors import InvalidValue
from mcal_engine.parts import Parts
from mcal_engine.simulator.machines import Machine, seed_of
from mcal_engine.simulator.people import Annotators
from mcal_engine.spec import CampaignSpec
from mcal_engine.training import Scored, TrainingRequest
from mcal_engine.types import (
    Acquire,
    CertificateOutcome,
    Certify,
    Decision,
    FloatArray,
    HumanLabelAll,
    IntArray,
    LabelByMachine,
    Observation,
    PeelBatch,
    PeelOrder,
)


@dataclass(frozen=True)
class RoundView:
    """One round as an observer sees it, after its decision."""

    observation: Observation
    decision: Decision
    train_ids: IntArray
    pool_ids: IntArray
    scored: tuple[Scored, ...]
    n_labels_paid: int


Observer = Callable[[RoundView], None]
Frozen = tuple[IntArray, IntArray, FloatArray]  # ids, classes, sureties; surest first


@dataclass(frozen=True)
class SimulatedCampaign:
    """A finished campaign: who labelled what, and the history that led there.

    Attributes:
        ids: shape (n,). X; every id is in exactly one of the next five.
        test_ids, train_ids, certificate_ids, residual_ids: labelled by people; what was peeled is part of the residual.
        machine_ids, machine_classes, machine_surety: labelled by machine, surest first.
        history: the engine's rows, decisions included.
        decision: the last decision.
        n_labels_paid: answers people gave.
        decision_seconds: time the engine itself took.
    """

    spec: CampaignSpec
    ids: IntArray
    n_classes: int
    test_ids: IntArray
    train_ids: IntArray
    certificate_ids: IntArray
    residual_ids: IntArray
    machine_ids: IntArray
    machine_classes: IntArray
    machine_surety: FloatArray
    history: tuple[Row, ...]
    decision: LabelByMachine | HumanLabelAll
    n_labels_paid: int
    wall_seconds: float
    decision_seconds: float

    @property
    def observations(self) -> list[Observation]:
        return [row for row in self.history if isinstance(row, Observation)]

    @property
    def training_seconds(self) -> float:
        return sum(row.training_seconds for row in self.history if isinstance(row, Observation | PeelOrder))

    @property
    def human_cost(self) -> float:
        return self.spec.price_per_label * self.n_labels_paid

    @property
    def training_cost(self) -> float:
        return float(money(self.training_seconds, self.spec.machine_price_per_hour)) + sum(row.bought for row in self.observations)

    @property
    def total_cost(self) -> float:
        """Eq. 1, as paid."""
        return self.human_cost + self.training_cost

    @property
    def labels(self) -> Labels:
        """What the labels came to: nothing is left, and no item had a label before."""
        n_machine = len(self.machine_ids)
        return Labels(self.n_labels_paid, self.n_labels_paid - (len(self.ids) - n_machine), 0, n_machine)

    @property
    def human_only_cost(self) -> float:
        return self.spec.price_per_label * self.labels.n_alone

    @property
    def savings(self) -> float:
        return 1 - self.total_cost / self.human_only_cost


def simulate(
    ids: IntArray,
    n_classes: int,
    people: Annotators,
    spec: CampaignSpec,
    machines: Sequence[Machine],
    observers: Sequence[Observer] = (),
    *,
    parts: Parts | None = None,
) -> SimulatedCampaign:
    """Play one campaign to its end.

    Args:
        ids: shape (n,). The items X; rows of the data set.
        n_classes: number of choices.
        people: answer what they are asked.
        machines: one per name in ``spec.classifiers``.
        observers: called after every decision on training labels.
        parts: what the classes are made of, where they are whole answers.
    """
    return _Play(np.sort(np.asarray(ids, dtype=np.int64)), n_classes, people, spec, machines, parts).run(observers)


def _none() -> IntArray:
    return np.zeros(0, dtype=np.int64)


@dataclass
class _Play:
    ids: IntArray
    n_classes: int
    people: Annotators
    spec: CampaignSpec
    machines: Sequence[Machine]
    parts: Parts | None = None
    test: IntArray = field(default_factory=_none)
    test_labels: IntArray = field(default_factory=_none)
    train: IntArray = field(default_factory=_none)
    train_labels: IntArray = field(default_factory=_none)
    pool: IntArray = field(default_factory=_none)
    scored: tuple[Scored, ...] = ()
    sample: IntArray = field(default_factory=_none)
    sample_labels: IntArray = field(default_factory=_none)
    frozen: dict[int, Frozen] = field(default_factory=dict)
    peeled: IntArray = field(default_factory=_none)
    peeled_labels: IntArray = field(default_factory=_none)
    skims: list[rounds.Skim] = field(default_factory=list)
    begun: set[str] = field(default_factory=set)  # candidates that were trained before
    buying: set[str] = field(default_factory=set)  # candidates whose answers for the pool are paid
    decision_seconds: float = 0.0

    def run(self, observers: Sequence[Observer]) -> SimulatedCampaign:
        began = time.perf_counter()
        missing = {source_of(name) for name in self.spec.classifiers} - {machine.name for machine in self.machines}
        if missing:
            raise InvalidValue(f"no machine was given for the classifiers {', '.join(sorted(missing))}")
        engine = Engine(self.spec, len(self.ids), self._n_choices, untrained=not all(machine.learns for machine in self.machines))
        decision = engine.ask()
        number = 0
        while isinstance(decision, Acquire | Certify | PeelBatch):
            if not isinstance(decision, Acquire):
                decision = self._certify(engine, decision) if isinstance(decision, Certify) else self._peel(engine, decision)
                continue
            self._acquire(decision, number)
            self.buying |= {source_of(name) for name in decision.buys}
            self._train(decision.candidates, number)
            observation = self._observe(number)
            decision = self._decide(engine, observation)
            for observer in observers:
                observer(RoundView(observation, decision, self.train, self.pool, self.scored, self.people.n_labels_paid))
            number += 1
        return self._finish(engine, decision, began)

    def _acquire(self, decision: Acquire, number: int) -> None:
        """Ask people for the labels the engine wants, T's at the start before B's, later after them.

        What tops T up is drawn from the pool that this acquisition leaves, so it needs no score of it to stand for the pool.
        """
        self._sample_joins_test()
        self.pool = self._unlabelled()
        if decision.classifier is None:
            self._ask_test(decision.n_test, number)
            chosen = rounds.draw_random(self.spec, "train", number, self.pool, decision.n_train)
        else:
            leader = next(one for one in self.scored if one.classifier == decision.classifier)
            distances = next(machine.distances for machine in self.machines if machine.name == source_of(decision.classifier))
            ranking = rounds.rank_for_people(self.spec, leader, self.pool, self.test, decision.n_train, round=number, distances=distances)
            self.skims.append(rounds.Skim(ranking.ids, ranking.scores, len(ranking.ids), ranking.test_ids, ranking.test_scores))
            chosen = ranking.ids
        self._ask_train(chosen)
        if decision.classifier is not None:
            self._ask_test(decision.n_test, number)
            return
        # A first draw may hold one class only, and nothing can be trained on that: people are asked for more at random.
        extra = 1
        while decision.n_train and self._too_few and len(self.pool) > 0:
            self._ask_train(rounds.draw_random(self.spec, "extra", extra, self.pool, min(decision.n_train, len(self.pool))))
            extra += 1

    @property
    def _n_choices(self) -> int:
        """Choices that people see: whole answers are not counted, since it shows only with time which there are."""
        return self.n_classes if self.parts is None else self.parts.n_parts

    @property
    def _too_few(self) -> bool:
        """Whether B holds fewer than two classes: nothing can be trained on it."""
        return len(np.unique(self.train_labels)) < 2

    def _sample_joins_test(self) -> None:
        """The sample of a look that was gone on from."""
        self.test, self.test_labels = np.concatenate([self.test, self.sample]), np.concatenate([self.test_labels, self.sample_labels])
        self.sample, self.sample_labels = _none(), _none()

    def _machine_set(self, decision: LabelByMachine) -> Frozen:
        """What a decision gives to the machine, as it was frozen."""
        ids, classes, sureties = self.frozen[decision.look] if decision.certified else self._freeze(decision.classifier)
        by_people = np.isin(ids, np.concatenate([self.test, self.train, self.sample]))
        left = rounds.in_machine_set(decision, classes) & ~by_people
        return ids[left], classes[left], sureties[left]

    def _ask_train(self, chosen: IntArray) -> None:
        self.train_labels = np.concatenate([self.train_labels, self.people.ask(chosen)])
        self.train = np.concatenate([self.train, chosen])
        self.pool = self._unlabelled()

    def _ask_test(self, n: int, number: int) -> None:
        wanted = rounds.draw_random(self.spec, "test", number, self.pool, n)
        self.test_labels = np.concatenate([self.test_labels, self._ask_blindly(wanted)])
        self.test = np.concatenate([self.test, wanted])
        self.pool = self._unlabelled()

    def _ask_blindly(self, wanted: IntArray) -> IntArray:
        """T's or V's labels; where two people are asked, the second one's answer is paid and not used."""
        labels = self.people.ask(wanted)
        self.people.ask(rounds.draw_twice(self.spec, self.people.n_labels_paid, wanted))
        return labels

    def _unlabelled(self) -> IntArray:
        return np.setdiff1d(self.ids, np.concatenate([self.test, self.train]), assume_unique=True)

    def _train(self, candidates: Sequence[str], number: int) -> None:
        """Train every candidate still in the race on B, score T and the pool; its first round pays for embedding all of X."""
        seed = seed_of(self.spec.seed, number)
        request = TrainingRequest(
            number,
            "",
            self.n_classes,
            self.train,
            self.train_labels,
            self.test,
            self.pool,
            seed,
            with_features=self.spec.acquisition in NEEDS_FEATURES,
            parts=self.parts,
        )
        racing = {machine.name: machine for machine in self.machines if machine.name in candidates}
        found: dict[str, Scored] = {}
        for name in [*racing, *(name for name in candidates if name not in racing)]:
            if self._too_few and (name not in racing or racing[name].learns):
                continue
            found[name] = self._scored(replace(request, classifier=name), found)
        self.scored = tuple(found.values())

    def _scored(self, request: TrainingRequest, known: Mapping[str, Scored]) -> Scored:
        """What a candidate says; ``known``: what others have said to the same request."""
        source = source_of(request.classifier)
        if source != request.classifier:
            return in_learned_order(request, lambda asked: self._scored(asked, {}), source, beside(self.spec.classifiers), known)
        machine = next(one for one in self.machines if one.name == request.classifier)
        once = machine.prepare(self.ids) if machine.learns and machine.name not in self.begun else 0.0
        self.begun.add(machine.name)
        return machine.fit_and_score(replace(request, buys=source in self.buying), once=once)

    def _observe(self, number: int) -> Observation:
        paid = self.people.n_labels_paid
        standing = rounds.Standing(number, len(self.ids), self._n_choices, len(self.train), len(self.pool), paid)
        test = rounds.LabelledTest(self.test, self.test_labels, rounds.surviving(self.test, self.skims, ()))
        return rounds.measure(self.spec, standing, test, self.scored, self.pool)

    def _decide(self, engine: Engine, row: Observation | CertificateOutcome | PeelOrder) -> Decision:
        began = time.perf_counter()
        decision = engine.tell(row).ask()
        self.decision_seconds += time.perf_counter() - began
        return decision

    def _certify(self, engine: Engine, decision: Certify) -> Decision:
        """Freeze the pool's predictions and order, then ask people for V."""
        order = self._freeze(decision.classifier)
        self.frozen[decision.look] = order
        bands = rounds.bands_of(self.spec, decision, len(order[0]))
        if bands is None:
            self.sample = rounds.draw_random(self.spec, "certificate", decision.look, order[0], decision.n_certificate)
        else:
            self.sample = order[0][peel.draw(bands, streams.entropy(self.spec.seed, "certificate", decision.look))]
        self.sample_labels = self._ask_blindly(self.sample)
        answers = {int(item): int(label) for item, label in zip(self.sample, self.sample_labels, strict=True)}
        cuts = cuts_planned(self.spec, decision, len(self.ids), len(order[0]))
        paid = self.people.n_labels_paid
        return self._decide(engine, rounds.outcome(decision.look, order[0], order[1], answers, paid, cuts=cuts, bands=bands))

    def _peel(self, engine: Engine, decision: PeelBatch) -> Decision:
        """Ask people for what leaves, then rank what is left by the same candidate, trained on that as well.

        T has done its work once the pool is frozen, so the ranker learns from it too.
        """
        ids, classes, _ = self.frozen[decision.look]
        leaving = ids[np.array(decision.leaving, dtype=np.int64)]
        asked = leaving[~np.isin(leaving, self.sample)]
        self.peeled, self.peeled_labels = (
            np.concatenate([self.peeled, asked]),
            np.concatenate([self.peeled_labels, self.people.ask(asked)]),
        )
        state = peeling.standing(engine.history).state
        left = np.isin(self.sample, ids[state.peelable], invert=True) & np.isin(self.sample, ids[state.reading.n_sure :])
        number = len(engine.history)
        request = TrainingRequest(
            number,
            decision.classifier,
            self.n_classes,
            np.concatenate([self.train, self.test, self.peeled, self.sample[left]]),
            np.concatenate([self.train_labels, self.test_labels, self.peeled_labels, self.sample_labels[left]]),
            _none(),
            ids[state.peelable],
            seed_of(self.spec.seed, number),
            parts=self.parts,
        )
        scored = self._scored(request, {})
        order = peel.least_trusted_first(state.peelable, scored.pool_logits, classes[state.peelable])[: peeling.batch_size(len(self.ids))]
        row = PeelOrder(decision.look, order, self.people.n_labels_paid, scored.training_seconds)
        return self._decide(engine, row)

    def _freeze(self, classifier: str) -> Frozen:
        logits = next(one for one in self.scored if one.classifier == classifier).pool_logits
        return rounds.freeze(self.pool, logits, self.spec.surety)

    def _finish(self, engine: Engine, decision: Decision, began: float) -> SimulatedCampaign:
        """Give the machine its share, and let people label the rest."""
        assert isinstance(decision, LabelByMachine | HumanLabelAll)
        machine, classes, sureties = (
            self._machine_set(decision) if isinstance(decision, LabelByMachine) else (_none(), _none(), np.zeros(0))
        )
        by_people = np.concatenate([self.test, self.train, self.sample])
        residual = np.setdiff1d(self.ids, np.concatenate([machine, by_people]), assume_unique=True)
        self.people.ask(np.setdiff1d(residual, self.peeled, assume_unique=True))
        return SimulatedCampaign(
            spec=self.spec,
            ids=self.ids,
            n_classes=self.n_classes,
            test_ids=self.test,
            train_ids=self.train,
            certificate_ids=self.sample,
            residual_ids=residual,
            machine_ids=machine,
            machine_classes=classes,
            machine_surety=sureties,
            history=tuple(engine.history),
            decision=decision,
            n_labels_paid=self.people.n_labels_paid,
            wall_seconds=time.perf_counter() - began,
            decision_seconds=self.decision_seconds,
        )
