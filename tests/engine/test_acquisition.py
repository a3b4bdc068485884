"""Acquisitions: one contract for all of them, three-line references, and what survives them."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from mcal_engine import round as rounds
from mcal_engine.acquisition import BAND, NEEDS_FEATURES, acquisition_scores, diverse_margin, k_center
from mcal_engine.errors import InvalidValue
from mcal_engine.spec import Acquisition, CampaignSpec
from mcal_engine.training import Scored
from mcal_engine.types import FloatArray, IntArray

ALL = get_args(Acquisition)


def spec(acquisition: str, seed: int = 0) -> CampaignSpec:
    return CampaignSpec.parse({"target_error": 0.05, "price_per_label": 0.04, "acquisition": acquisition, "seed": seed})


def world(n: int, seed: int, n_classes: int = 4) -> tuple[FloatArray, FloatArray]:
    """Features in the plane and logits that follow from them, as a classifier's do."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(n, 2)) * [2.0, 1.0]
    corners = generator.normal(size=(n_classes, 2)) * 2
    return features, -((features[:, None] - corners[None]) ** 2).sum(axis=2)


def scored(features: FloatArray, logits: FloatArray, test: IntArray, pool: IntArray, train: IntArray) -> Scored:
    return Scored("frozen", logits[test], logits[pool], {"fit": 1.0}, features=(features[test], features[pool], features[train]))


@pytest.mark.parametrize("acquisition", ALL)
class TestEveryAcquisition:
    """What all of them promise; ``ids`` are laid out as test, train, pool."""

    def ranking(self, acquisition: str, n: int, *, pool: IntArray | None = None, seed: int = 3) -> rounds.Ranking:
        features, logits = world(260, seed)
        test, train, rest = np.arange(40), np.arange(40, 60), np.arange(60, 260)
        pool = rest if pool is None else pool
        return rounds.rank_for_people(spec(acquisition), scored(features, logits, test, pool, train), pool, test, n, round=1)

    def test_it_asks_for_n_different_items_of_the_pool(self, acquisition: str) -> None:
        found = self.ranking(acquisition, 30)
        assert len(found.ids) == len(np.unique(found.ids)) == len(found.scores) == 30
        assert np.all(found.ids >= 60)
        assert np.all(np.diff(found.scores) >= 0)
        assert len(found.test_scores) == len(found.test_ids) == 40

    def test_more_than_the_pool_gives_the_whole_pool(self, acquisition: str) -> None:
        assert np.array_equal(np.sort(self.ranking(acquisition, 500).ids), np.arange(60, 260))

    def test_the_order_of_the_pool_changes_nothing(self, acquisition: str) -> None:
        turned = np.random.default_rng(0).permutation(np.arange(60, 260))
        assert np.array_equal(self.ranking(acquisition, 50).ids, self.ranking(acquisition, 50, pool=turned).ids)

    def test_ties_are_broken_by_id(self, acquisition: str) -> None:
        features, logits = np.ones((60, 3)), np.ones((60, 4))
        test, train, pool = np.arange(10), np.arange(10, 20), np.arange(59, 19, -1)
        found = rounds.rank_for_people(spec(acquisition), scored(features, logits, test, pool, train), pool, test, 12, round=1)
        if acquisition != "random":
            assert found.ids.tolist() == list(range(20, 32))

    def test_a_test_item_is_skimmed_just_when_the_rule_would_have_taken_it(self, acquisition: str) -> None:
        """The definition of surviving, played: put one test item into the pool and look whether it is asked for."""
        features, logits = world(260, 8)
        test, train, pool = np.arange(0, 160, 4), np.arange(160, 180), np.setdiff1d(np.arange(260), np.arange(0, 180))
        n = 25
        found = rounds.rank_for_people(spec(acquisition), scored(features, logits, test, pool, train), pool, test, n, round=1)
        survivors = rounds.surviving(test, [rounds.Skim(found.ids, found.scores, n, found.test_ids, found.test_scores)], ())
        if acquisition == "random":
            assert survivors.all()
            return
        for item, survives in zip(test, survivors, strict=True):
            larger = np.append(pool, item)
            again = rounds.rank_for_people(
                spec(acquisition), scored(features, logits, test[:0], larger, train), larger, test[:0], n, round=1
            )
            assert (item not in again.ids) == survives
        assert 0 < survivors.sum() < len(test)

    @pytest.mark.slow
    def test_survivors_of_several_rounds_are_as_hard_as_the_pool(self, acquisition: str) -> None:
        """The mean margin of T_A and of U agree over many draws; all of T would be off by far more."""
        gap, gap_of_all = [], []
        for seed in range(30):
            features, logits = world(900, seed + 100)
            order = np.random.default_rng(seed).permutation(900)
            test, train, pool = np.sort(order[:250]), order[250:270], np.sort(order[270:])
            skims = []
            for number in (1, 2, 3):
                found = rounds.rank_for_people(
                    spec(acquisition, seed), scored(features, logits, test, pool, train), pool, test, 90, round=number
                )
                skims.append(rounds.Skim(found.ids, found.scores, len(found.ids), found.test_ids, found.test_scores))
                pool, train = np.setdiff1d(pool, found.ids), np.concatenate([train, found.ids])
            sureties = rounds.surety(logits)
            survivors = rounds.surviving(test, skims, ())
            gap.append(sureties[test][survivors].mean() - sureties[pool].mean())
            gap_of_all.append(sureties[test].mean() - sureties[pool].mean())
        standard_error = np.std(gap) / np.sqrt(len(gap))
        assert abs(np.mean(gap)) < 4 * standard_error + 1e-12
        if acquisition in {"margin", "entropy", "least_confidence", "diverse_margin"}:
            assert abs(np.mean(gap_of_all)) > 3 * abs(np.mean(gap))

    def test_only_some_need_features_and_say_so(self, acquisition: str) -> None:
        _, logits = world(50, 0)
        bare = Scored("frozen", logits[:10], logits[10:], {"fit": 1.0})
        if acquisition in NEEDS_FEATURES:
            with pytest.raises(InvalidValue, match=f"acquisition '{acquisition}' needs the classifier's features"):
                rounds.rank_for_people(spec(acquisition), bare, np.arange(10, 50), np.arange(10), 5)
        else:
            assert len(rounds.rank_for_people(spec(acquisition), bare, np.arange(10, 50), np.arange(10), 5).ids) == 5


def test_k_center_equals_the_greedy_loop_over_all_distances() -> None:
    for seed in range(5):
        features, _ = world(150, seed)
        train, pool = np.arange(20), np.arange(20, 150)
        picks = k_center(features[pool], features[:0], features[train], pool, pool[:0], 40)
        centres = train.tolist()
        for position in picks.positions:
            distance = np.sqrt(((features[pool][:, None] - features[centres][None]) ** 2).sum(axis=2)).min(axis=1)
            assert distance[position] >= distance.max() - 1e-2
            centres.append(int(pool[position]))


def test_k_center_covers_better_than_a_random_draw() -> None:
    features, _ = world(400, 1)
    picked = k_center(features, features[:0], features[:5], np.arange(400), np.arange(0), 40).positions
    drawn = np.random.default_rng(0).permutation(400)[:40]

    def radius(centres: IntArray) -> float:
        return float(np.sqrt(((features[:, None] - features[centres][None]) ** 2).sum(axis=2)).min(axis=1).max())

    assert radius(picked) < 0.6 * radius(drawn)


def test_diverse_margin_stays_in_its_band_and_leaves_duplicates_out() -> None:
    generator = np.random.default_rng(0)
    clusters = np.repeat(generator.normal(size=(20, 5)) * 10, 10, axis=0)  # each scene was photographed ten times
    features = clusters + 0.001 * generator.normal(size=clusters.shape)
    scores = np.repeat(np.linspace(0, 0.5, 20), 10) + 0.0001 * generator.random(200)
    ids = np.arange(200)
    diverse = diverse_margin(features, features[:0], scores, scores[:0], ids, ids[:0], 8).positions
    plain = np.argsort(scores)[:8]
    assert np.all(np.argsort(np.argsort(scores))[diverse] < BAND * 8)
    assert len(np.unique(plain // 10)) == 1
    assert len(np.unique(diverse[:2] // 10)) == 2  # both scenes of the band before a second picture of either
    assert diverse[0] == plain[0]


def test_a_prefix_of_a_diverse_batch_is_the_smaller_batch_of_the_same_band() -> None:
    """People may stop early in a queue: what they got to must be what the survivors are judged by."""
    features, logits = world(300, 5)
    test, train, pool = np.arange(60), np.arange(60, 80), np.arange(80, 300)
    found = rounds.rank_for_people(spec("k_center"), scored(features, logits, test, pool, train), pool, test, 60, round=1)
    short = rounds.rank_for_people(spec("k_center"), scored(features, logits, test, pool, train), pool, test, 20, round=1)
    assert np.array_equal(found.ids[:20], short.ids)
    cut = rounds.surviving(test, [rounds.Skim(found.ids, found.scores, 20, found.test_ids, found.test_scores)], ())
    direct = rounds.surviving(test, [rounds.Skim(short.ids, short.scores, 20, short.test_ids, short.test_scores)], ())
    assert np.array_equal(cut, direct)


def test_scores_of_single_items_are_those_of_the_textbook() -> None:
    logits = np.log(np.array([[0.5, 0.3, 0.2], [0.8, 0.1, 0.1]]))
    assert acquisition_scores(logits, "margin") == pytest.approx([0.2, 0.7])
    assert acquisition_scores(logits, "least_confidence") == pytest.approx([0.5, 0.8])
    entropy = [-(0.5 * np.log(0.5) + 0.3 * np.log(0.3) + 0.2 * np.log(0.2)), -(0.8 * np.log(0.8) + 0.2 * np.log(0.1))]
    assert acquisition_scores(logits, "entropy") == pytest.approx([-value for value in entropy])


class TestAgainstScikitActiveml:
    """An independent implementation asks for the same items (a development dependency; skipped loudly where it is absent)."""

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("ours", "theirs"), [("margin", "margin_sampling"), ("entropy", "entropy"), ("least_confidence", "least_confident")]
    )
    @pytest.mark.filterwarnings("ignore")
    def test_uncertainty_ranks_alike(self, ours: str, theirs: str) -> None:
        pool = pytest.importorskip("skactiveml.pool")
        for seed in range(3):
            _, logits = world(400, seed, n_classes=6)
            p = np.exp(logits - logits.max(axis=1, keepdims=True))
            utilities = pool.uncertainty_scores(p / p.sum(axis=1, keepdims=True), method=theirs)
            assert np.allclose(np.sort(utilities)[::-1], utilities[np.argsort(acquisition_scores(logits, ours), kind="stable")], atol=1e-9)

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore")
    def test_k_center_picks_alike(self) -> None:
        core_set = pytest.importorskip("skactiveml.pool._core_set")
        for seed in range(4):
            features, _ = world(300, seed)
            labels = np.full(300, np.nan)
            labels[:15] = 0
            theirs, _ = core_set.k_greedy_center(features, labels, batch_size=30, random_state=0)
            pool = np.arange(15, 300)
            ours = k_center(features[pool], features[:0], features[:15], pool, pool[:0], 30)
            assert np.array_equal(pool[ours.positions], theirs)
