"""After a sample is answered: take what it certifies or look again, and never lose what an earlier look has certified."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from mcal_engine import codec
from mcal_engine import round as rounds
from mcal_engine.certificates import uniform
from mcal_engine.cost import TrainingCost
from mcal_engine.engine import Engine, decide
from mcal_engine.errors import HistoryError
from mcal_engine.situation import Situation
from mcal_engine.spec import CampaignSpec
from mcal_engine.training import Scored
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
    Row,
)
from tests.engine.worlds import World, run

SPEC = CampaignSpec(target_error=0.05, price_per_label=0.04, max_looks=3)
N = 1200


@cache
def asked() -> tuple[Row, ...]:
    """A history up to the first Certify."""
    campaign, _, _ = run(World(n=N), SPEC)
    end = next(place for place, row in enumerate(campaign.history) if isinstance(row, Certify))
    return tuple(campaign.history[: end + 1])


def answered(ranks_of_errors: list[int], history: tuple[Row, ...] | None = None) -> CertificateOutcome:
    """V of the size that was asked for, with errors at these ranks of the frozen order."""
    history = history or asked()
    certify = history[-1]
    assert isinstance(certify, Certify)
    last = next(row for row in reversed(history) if isinstance(row, Observation))
    ranks = np.unique(np.concatenate([ranks_of_errors, np.linspace(0, last.n_pool - 1, certify.n_certificate)]).astype(np.int64))
    return CertificateOutcome(certify.look, last.n_pool, ranks, np.isin(ranks, ranks_of_errors), last.n_labels_paid + len(ranks))


def unlucky(history: tuple[Row, ...] | None = None) -> CertificateOutcome:
    """One error more than is tolerated, all among the surest."""
    history = history or asked()
    certify = history[-1]
    assert isinstance(certify, Certify)
    last = next(row for row in reversed(history) if isinstance(row, Observation))
    tolerated = uniform.tolerated_errors(
        n_pool=last.n_pool, n_sample=certify.n_certificate, allowed=uniform.allowance(0.05, N), level=certify.level
    )
    assert tolerated is not None
    return answered(list(range(1, tolerated + 2)), history)


@pytest.mark.slow
def test_a_sample_as_forecast_is_taken_at_its_word() -> None:
    decision = decide(SPEC, [*asked(), answered([])])
    assert isinstance(decision, LabelByMachine)
    assert decision.look == 1


@pytest.mark.slow
def test_bad_luck_at_the_sure_end_is_answered_by_another_look_with_the_sample_in_the_test_set() -> None:
    decision = decide(SPEC, [*asked(), unlucky()])
    assert isinstance(decision, Acquire)
    assert (decision.n_test, decision.n_train, decision.classifier) == (0, 0, None)
    assert decision.plan is not None
    assert decision.plan.n_machine > 0
    assert "Look 1 certifies" in decision.sentence


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"max_looks": 1}, {"stop": True}])
def test_no_other_look_where_it_is_not_allowed_or_not_wanted(changes: dict[str, object]) -> None:
    spec = SPEC.model_copy(update={"max_looks": changes.get("max_looks", 3)})
    decision = decide(spec, [*asked(), unlucky()], stop_requested=bool(changes.get("stop")))
    assert isinstance(decision, LabelByMachine | HumanLabelAll)


def second_look() -> tuple[Row, ...]:
    """The history up to the Certify of look 2: V has joined T, all of it right; nothing else has changed."""
    outcome = unlucky()
    history: list[Row] = [*asked(), outcome]
    history.append(decide(SPEC, history))
    while not isinstance(history[-1], Certify):
        last = next(row for row in reversed(history) if isinstance(row, Observation))
        after_look = isinstance(history[-2], CertificateOutcome)
        more = getattr(history[-1], "n_train", 0)
        n_sample = len(outcome.ranks) if after_look else 0
        one = last.measurements[0]
        joined = replace(
            one,
            level=np.concatenate([one.level, np.resize(one.level, n_sample)]),
            correct=np.concatenate([one.correct, np.ones(n_sample, dtype=bool)]),
        )
        history.append(
            replace(
                last,
                round=last.round + 1,
                n_train=last.n_train + more,
                n_pool=last.n_pool - more - n_sample,
                n_labels_paid=last.n_labels_paid + more + n_sample,
                test_ids=np.concatenate([last.test_ids, N + np.arange(n_sample)]),
                survivors=np.concatenate([last.survivors, np.ones(n_sample, dtype=bool)]),
                measurements=(joined,),
            )
        )
        history.append(decide(SPEC, history))
        assert isinstance(history[-1], Certify | Acquire)
    return tuple(history)


@pytest.mark.slow
def test_the_second_look_is_judged_at_its_share_of_the_level() -> None:
    certify = second_look()[-1]
    assert isinstance(certify, Certify)
    assert certify.look == 2
    assert certify.level == pytest.approx(0.008)


@pytest.mark.slow
def test_what_the_first_look_certified_is_taken_when_the_second_certifies_less() -> None:
    """Look 1 certified half of what was planned; look 2, all of it wrong, certifies nothing."""
    first = asked()
    certify = first[-1]
    assert isinstance(certify, Certify)
    n_pool = next(row for row in reversed(first) if isinstance(row, Observation)).n_pool
    half = answered([n_pool // 2 + place for place in range(40)])
    history: list[Row] = [*first, half]
    last = next(row for row in reversed(first) if isinstance(row, Observation))
    history.append(Acquire(0, 0, "margin", None, ("frozen",), certify.plan, "going on"))
    history.append(replace(last, round=last.round + 1, n_pool=n_pool - len(half.ranks)))
    history.append(replace(certify, look=2, level=0.008))
    ranks = np.arange(0, n_pool - len(half.ranks), 9)
    history.append(CertificateOutcome(2, n_pool - len(half.ranks), ranks, np.ones(len(ranks), dtype=bool), half.n_labels_paid + len(ranks)))
    decision = decide(SPEC, history)
    assert isinstance(decision, LabelByMachine)
    assert decision.look == 1
    assert decision.n_ranked >= n_pool // 2
    assert 0 < decision.n_machine < decision.n_ranked


def test_an_answer_to_another_look_is_refused() -> None:
    with pytest.raises(HistoryError, match="answers the Certify just before it"):
        decide(SPEC, [*asked(), replace(answered([]), look=2)])


@pytest.mark.slow
def test_whole_campaigns_keep_epsilon_over_all_their_looks() -> None:
    """Worlds that V is often unlucky in: whatever look decides, the machine set is within ε, and every row survives JSON."""
    for seed in range(6):
        campaign, decision, sets = run(World(n=700, seed=seed), SPEC)
        assert len(sets["wrong"]) <= 0.05 * 700
        assert all(codec.to_json(codec.from_json(codec.to_json(row))) == codec.to_json(row) for row in campaign.history)
        everything = np.concatenate([sets[name] for name in ("test", "train", "sample", "machine")])
        assert len(np.unique(everything)) == len(everything)
        assert isinstance(decision, LabelByMachine | HumanLabelAll)


@pytest.mark.slow
def test_a_users_own_cost_law_takes_the_place_of_the_measured_one() -> None:
    def dear(observations: list[Observation], classifier: str) -> TrainingCost:
        return TrainingCost(fixed=3600.0 * 40, per_item=0.0)

    history = [row for row in asked() if not isinstance(row, Certify)]
    measured = decide(SPEC, history)
    charged = decide(SPEC.model_copy(update={"machine_price_per_hour": 1.0}), history, cost_law=dear)
    assert isinstance(charged, Decision)
    assert charged.plan is not None
    assert measured.plan is not None
    assert charged.plan.n_train <= measured.plan.n_train

    class Steps:
        """A law that is no dataclass of ours: the protocol is all that is asked for."""

        def path(self, n_train: int, targets: FloatArray, batch: FloatArray | float) -> FloatArray:
            return np.zeros_like(np.asarray(targets, dtype=np.float64))

    campaign = Engine(SPEC, N, 5, cost_law=lambda observations, classifier: Steps())
    for row in history:
        if isinstance(row, Observation):
            campaign.tell(row)
            campaign.ask()
            break
    assert isinstance(campaign.ask(), Acquire)


def test_the_sample_counts_like_test_items_at_its_ranks() -> None:
    """V read by its ranks is what :func:`measure` would have made of its items, had they been test items."""
    generator = np.random.default_rng(5)
    n_items, n_pool, n_sample = 1000, 873, 120
    logits, labels = generator.normal(size=(n_items, 4)), generator.integers(0, 4, n_items)
    test, pool = np.arange(n_pool, n_items - 27), np.arange(n_pool)

    def measured(test_ids: IntArray) -> Observation:
        labelled = rounds.LabelledTest(test_ids, labels[test_ids], np.ones(len(test_ids), dtype=bool))
        scored = Scored("frozen", logits[test_ids], logits[pool], {"fit": 1.0})
        return rounds.measure(SPEC, rounds.Standing(0, n_items, 4, 27, len(pool), 127), labelled, [scored])

    frozen, classes, _ = rounds.freeze(pool, logits[pool])
    sample = np.sort(generator.permutation(pool)[:n_sample])
    outcome = rounds.outcome(1, frozen, classes, {int(item): int(labels[item]) for item in sample}, 127 + n_sample)
    certify = next(row for row in asked() if isinstance(row, Certify))
    after = Situation.after(SPEC, [measured(test), certify, outcome])
    in_order_of_rank = frozen[outcome.ranks]
    by_id = measured(sample).measurements[0]
    place = np.searchsorted(sample, in_order_of_rank)
    joined = after.observation.measurements[0]
    assert np.array_equal(joined.level[len(test) :], by_id.level[place])
    assert np.array_equal(joined.correct[len(test) :], by_id.correct[place])
    assert np.array_equal(joined.level[: len(test)], measured(test).measurements[0].level)
    shares, errors = after.measured(joined, allow_unseen=False)
    assert shares[-1] == pytest.approx((n_pool - n_sample) / n_items)  # what V took out of the pool is nobody's S* any more
    wrong = int((~joined.correct).sum())
    assert errors[-1] == pytest.approx(wrong / len(joined.correct) * (n_pool - n_sample) / n_items)


@pytest.mark.slow
def test_another_look_pays_for_the_sample_that_it_leaves_behind() -> None:
    """Where V certifies a little less than was planned, a fresh V can win back less than the labels of the first one have cost."""
    certify = asked()[-1]
    assert isinstance(certify, Certify)
    n_pool = next(row for row in reversed(asked()) if isinstance(row, Observation)).n_pool
    taken = [decide(SPEC, [*asked(), answered([round(share * n_pool) + 2 * place for place in range(6)])]) for share in (0.3, 0.7)]
    assert isinstance(taken[0], Acquire)  # far below the plan: looking again is worth its price
    assert isinstance(taken[1], LabelByMachine)
