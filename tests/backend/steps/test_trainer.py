"""Trainings on one machine take turns; embeddings that another machine has computed are not computed again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.shared_cache import SharedCache
from backend.steps import kept_answers, trainer
from backend.steps.images import CampaignImages
from backend.steps.trainer import ChildTrainer
from backend.training import Place
from mcal_engine.classifiers.images.decoding import ImageForm
from mcal_engine.classifiers.images.image_cache import ImageCache
from mcal_engine.classifiers.images.row_store import DamagedRows, RowStore
from mcal_engine.training import Scored, TrainingRequest
from tests.backend.steps.test_image_shelf import beat, filled, shelf

REQUEST = TrainingRequest(0, "frozen", 2, np.array([1, 2]), np.array([0, 1]), np.array([3]), np.array([4]), 0)
Run = Callable[..., Scored]


def ids(*items: int) -> np.ndarray:
    return np.array(items, dtype=np.int64)


def said(scored: Scored) -> np.ndarray:
    return np.concatenate([scored.test_logits, scored.pool_logits])


def images(directory: Path, shared: SharedCache | None = None) -> CampaignImages:
    fake, references = filled(4)
    kept = shelf(fake, directory / "images", shared)
    kept.fetch(1, references, ImageForm(32), beat)
    return kept


def child_trainer(kept: CampaignImages, directory: Path, shared: SharedCache | None = None) -> ChildTrainer:
    return ChildTrainer(kept, cache_dir=directory / "encoders", device="cpu", time_limit_hours=1, shared=shared)


def result(request: TrainingRequest) -> Scored:
    return Scored.of(request, np.zeros((len(request.score_ids), 2)), {"fit": 1.0}, device="cpu")


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Exchange what happens in the child."""
    return lambda run: monkeypatch.setattr(trainer, "run_training", run)


def test_two_trainings_on_one_machine_take_turns(tmp_path: Path, running: Callable[[Run], None]) -> None:
    kept = images(tmp_path)
    busy, entered, leave, waited = threading.Lock(), threading.Event(), threading.Event(), threading.Event()

    def run(request: TrainingRequest, place: Place, **_: Any) -> Scored:
        assert busy.acquire(blocking=False), "two trainings at once"
        entered.set()
        assert leave.wait(10)
        busy.release()
        return result(request)

    running(run)
    done: list[Scored] = []
    # Two trainers, as of two processes: what they share is the folder.
    first = threading.Thread(target=lambda: done.append(child_trainer(kept, tmp_path)(1, REQUEST, beat)))
    second = threading.Thread(target=lambda: done.append(child_trainer(kept, tmp_path)(1, REQUEST, waited.set)))
    first.start()
    assert entered.wait(10)
    second.start()
    assert waited.wait(10)  # the heart beats while it waits
    assert not done
    leave.set()
    first.join(10)
    second.join(10)
    assert len(done) == 2


def test_a_stop_ends_the_wait_for_the_device(tmp_path: Path, running: Callable[[Run], None]) -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    kept = images(tmp_path)

    def run(request: TrainingRequest, place: Place, **_: Any) -> Scored:
        with pytest.raises(Stop):
            child_trainer(kept, tmp_path)(1, REQUEST, stop)  # while this one is on
        return result(request)

    running(run)
    child_trainer(kept, tmp_path)(1, REQUEST, beat)


def test_an_image_that_a_training_finds_damaged_is_fetched_again(tmp_path: Path, running: Callable[[Run], None]) -> None:
    def run(request: TrainingRequest, place: Place, **_: Any) -> Scored:
        """A child that reads all images."""
        read = ImageCache(place.image_directory, place.image_size)
        read.batch(read.rows([*request.train_ids, *request.score_ids]))
        return result(request)

    running(run)
    kept = images(tmp_path)
    path = tmp_path / "images" / "campaign-1" / "32px" / "rows.bin"
    rows = bytearray(path.read_bytes())
    rows[100] ^= 4
    path.write_bytes(rows)
    with pytest.raises(DamagedRows, match="1 of 4 rows"):
        child_trainer(kept, tmp_path)(1, REQUEST, beat)
    (missing,) = kept.missing(1, [1, 2, 3, 4])
    kept.fetch(1, {missing: f"/data/{missing}.png"}, ImageForm(32), beat)
    assert child_trainer(kept, tmp_path)(1, REQUEST, beat).device == "cpu"


def test_embeddings_of_one_machine_are_there_on_another(tmp_path: Path, running: Callable[[Run], None]) -> None:
    computed: list[int] = []

    def run(request: TrainingRequest, place: Place, **_: Any) -> Scored:
        """A child that embeds what is missing, as the frozen encoder does."""
        store = RowStore(place.cache_directory / "encoder-v1", (4,), np.float16)
        keys = kept.digests(1, [*request.train_ids.tolist(), *request.score_ids.tolist()])
        missing = keys[store.find(keys) < 0]
        computed.append(len(missing))
        store.append(missing, np.ones((len(missing), 4), dtype=np.float16))
        return result(request)

    running(run)
    for machine in ("one", "two"):
        shared = SharedCache(f"file://{tmp_path / 'shared'}")
        kept = images(tmp_path / machine, shared)
        child_trainer(kept, tmp_path / machine, shared)(1, REQUEST, beat)
    assert computed == [4, 0]


def said_of(request: TrainingRequest) -> Scored:
    """Logits that tell which item they are of."""
    logits = np.stack([request.score_ids, -request.score_ids], axis=1) / 7.0
    return Scored.of(request, logits, {"start": 1.0, "fit": 5.0}, one_off_seconds=0.5, device="cpu")


def test_the_same_b_is_not_trained_on_twice_and_is_paid_for_once(tmp_path: Path, running: Callable[[Run], None]) -> None:
    kept, trained = images(tmp_path), []

    def run(request: TrainingRequest, place: Place, **_: Any) -> Scored:
        trained.append(request.train_ids.tolist())
        return said_of(request)

    running(run)
    train = child_trainer(kept, tmp_path)
    first = train(1, REQUEST, beat)
    lost = child_trainer(kept, tmp_path)(1, REQUEST, beat)  # the worker died before it could decide; another one goes on
    assert (dict(lost.seconds), lost.one_off_seconds, lost.device) == (dict(first.seconds), 0.5, "cpu")
    assert np.array_equal(said(lost), said(first))
    topped_up = train(1, replace(REQUEST, round=1, test_ids=ids(4, 3), pool_ids=ids(), train_ids=ids(2, 1), train_labels=ids(1, 0)), beat)
    assert sum(topped_up.seconds.values()) == topped_up.one_off_seconds == 0.0
    assert np.array_equal(said(topped_up), said(first)[::-1])
    assert trained == [[1, 2]]


@pytest.mark.parametrize(
    "change",
    [
        {"train_labels": ids(1, 0)},  # a label was corrected
        {"train_ids": ids(1, 4), "pool_ids": ids(2)},
        {"pool_ids": ids(4, 2)},  # an item that was not scored
        {"seed": 1},
        {"classifier": "cnn"},
        {"n_classes": 3},
        {"campaign_id": 2},
        {"with_features": True},
    ],
    ids=", ".join,
)
def test_anything_else_is_trained_on_anew(change: dict[str, Any], tmp_path: Path, running: Callable[[Run], None]) -> None:
    kept, trained = images(tmp_path), []
    kept.fetch(2, filled(4)[1], ImageForm(32), beat)

    def run(request: TrainingRequest, place: Place, **_: Any) -> Scored:
        trained.append(request)
        return said_of(request)

    running(run)
    other = replace(REQUEST, **{name: value for name, value in change.items() if name != "campaign_id"})
    for campaign_id, request in ((1, REQUEST), (change.get("campaign_id", 1), other)):
        child_trainer(kept, tmp_path)(campaign_id, request, beat)
    assert len(trained) == 2


def test_answers_that_were_cut_short_or_damaged_are_not_used_and_few_are_kept(
    tmp_path: Path, running: Callable[[Run], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, trained = images(tmp_path), []

    def run(request: TrainingRequest, place: Place, **_: Any) -> Scored:
        trained.append(request)
        return said_of(request)

    running(run)
    train = child_trainer(kept, tmp_path)
    train(1, REQUEST, beat)
    (file,) = (tmp_path / "encoders" / trainer.ANSWERS).iterdir()
    file.write_bytes(file.read_bytes()[:200])
    train(1, REQUEST, beat)
    assert len(trained) == 2
    flipped = bytearray(file.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    file.write_bytes(flipped)
    train(1, REQUEST, beat)
    assert len(trained) == 3
    monkeypatch.setattr(kept_answers, "FILES", 2)
    for seed in range(4):
        train(1, replace(REQUEST, seed=seed), beat)
    assert len(list((tmp_path / "encoders" / trainer.ANSWERS).iterdir())) == 2
    monkeypatch.setattr(kept_answers, "LARGEST", 0)
    train(1, replace(REQUEST, seed=9), beat)
    train(1, replace(REQUEST, seed=9), beat)
    assert len(trained) == 3 + 3 + 2  # seed 0 was known


def test_without_images_there_is_no_training(tmp_path: Path) -> None:
    fake, _ = filled(1)
    with pytest.raises(Exception, match="campaign 1 has no images to train on"):
        child_trainer(shelf(fake, tmp_path), tmp_path)(1, REQUEST, beat)
