"""Training in a child process: what comes back, what it costs, and that no child outlives its parent."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from backend import training
from backend.training import Place, TrainingFailed, run_training
from mcal_engine.classifiers import make
from mcal_engine.classifiers.base import UNSEEN_CLASS_GAP, Progress, TooFewClasses
from mcal_engine.classifiers.images.image_cache import ImageCache
from mcal_engine.classifiers.images.shapes import shapes
from mcal_engine.classifiers.texts.text_cache import TextCache
from mcal_engine.errors import InvalidValue
from mcal_engine.parts import Parts
from mcal_engine.training import Scored, TrainingRequest

pytestmark = pytest.mark.slow

NOTHING = np.zeros(0, dtype=np.int64)
ROOT = Path(__file__).resolve().parents[2]


class Job(NamedTuple):
    request: TrainingRequest
    place: Place

    def but(self, **changes: Any) -> Job:
        of_place = {name: value for name, value in changes.items() if name in {each.name for each in fields(Place)}}
        asked = {name: value for name, value in changes.items() if name not in of_place}
        return Job(replace(self.request, **asked), replace(self.place, **of_place))


def run(job: Job, **options: Any) -> Scored:
    return run_training(*job, **options)


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Job:
    """36 labelled and 24 other images under item ids that are not their rows."""
    folder = tmp_path_factory.mktemp("campaign")
    images, labels = shapes(60)
    cache = ImageCache(folder / "images", 32)
    for item, image in enumerate(images):
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "PNG")
        cache.add(1000 - 7 * item, stream.getvalue())
    ids = 1000 - 7 * np.arange(60)
    request = TrainingRequest(0, "frozen", 4, ids[:36], labels[:36], ids[36:40], ids[40:], seed=3)
    return Job(request, Place(folder / "images", 32, folder / "embeddings", device="cpu"))


def said(scored: Scored) -> np.ndarray:
    return np.concatenate([scored.test_logits, scored.pool_logits])


def truth(job: Job) -> np.ndarray:
    return ((1000 - job.request.score_ids) // 7) % 3


def test_the_child_sees_the_texts_beside_the_images(job, tmp_path):
    """Of four classes the picture tells two, so that only with the text all are told apart."""
    ids = np.concatenate([job.request.train_ids, job.request.score_ids])
    rows = (1000 - ids) // 7
    topics, texts = rows // 3 % 2, TextCache(tmp_path / "beside")
    texts.add({int(item): ("rain and wind", "a goal of the team")[topic] for item, topic in zip(ids[::-1], topics[::-1], strict=True)})
    labels = (rows % 3 == 0) * 2 + topics
    sees = job.but(train_labels=labels[:36], beside_directory=tmp_path / "beside")
    alone, both = (said(run(sees.but(classifier=name))).argmax(axis=1) for name in ("frozen", "both"))
    assert (both == labels[36:]).mean() > 0.9 > (alone == labels[36:]).mean() + 0.2
    with pytest.raises(InvalidValue, match="needs a text beside each image"):
        run(job.but(classifier="both"))


def test_the_child_is_told_what_whole_answers_are_made_of(job):
    """Classes 0 to 3 are the answers to two questions; nobody gave the last of them, whose parts each have an example."""
    members = np.array([[1, 0, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1], [0, 1, 0, 1]], dtype=np.bool_)
    whole = job.but(parts=Parts(members, (2, 2), (False, False), complete=True))
    found, plain = said(run(whole)), said(run(job))
    assert np.allclose(training.train(*whole)[0], found, rtol=0, atol=1e-3)  # other numbers of BLAS threads round differently
    assert np.allclose(plain[:, 3], plain[:, :3].min(axis=1) - UNSEEN_CLASS_GAP)
    assert (found[:, 3] > found[:, :3].min(axis=1)).any()


def test_the_child_learns_scores_and_says_what_it_took_and_this_process_does_the_same(job):
    told: list[Progress] = []
    beats: list[float] = []
    result = run(job, progress=told.append, heartbeat=lambda: beats.append(time.monotonic()), heartbeat_seconds=0.2)
    assert said(result).shape == (24, 4)
    assert (said(result).argmax(axis=1) == truth(job)).mean() > 0.9
    assert set(result.seconds) == {"start", "embed", "fit", "score"}
    assert all(seconds >= 0 for seconds in result.seconds.values())
    assert result.one_off_seconds == result.seconds["embed"]
    assert result.device.startswith("cpu")
    assert {progress.phase for progress in told} >= {"fit", "score"}
    assert len(beats) > 3
    here, seconds, _ = training.train(
        *job.but(test_ids=job.request.score_ids[::-1].copy(), pool_ids=NOTHING)
    )  # rows follow the scored items
    assert seconds["embed"] == 0  # kept on disk by the child
    assert np.allclose(here[::-1], said(result), rtol=0, atol=1e-3)  # other numbers of BLAS threads round differently


@pytest.mark.parametrize("classifier", ["frozen", "cnn"])
def test_two_children_give_the_same_logits_bit_for_bit_and_embed_nothing_twice(job, classifier):
    first, second = (run(job.but(classifier=classifier)) for _ in range(2))
    assert np.array_equal(said(first), said(second))
    assert second.one_off_seconds == 0


def test_the_child_brings_the_features_where_they_are_asked_for_and_only_there(job):
    result = run(job.but(with_features=True))
    plain = run(job)
    assert plain.features is None
    assert np.array_equal(said(result), said(plain))
    images = ImageCache(job.place.image_directory, job.place.image_size)
    classifier = make("frozen", images, cache_dir=job.place.cache_directory, device="cpu")
    rows = np.concatenate([images.rows(job.request.score_ids), images.rows(job.request.train_ids)])
    assert result.features is not None
    found = np.concatenate(result.features)
    assert found.dtype == np.float32
    assert np.allclose(found, classifier.features(rows), rtol=0, atol=1e-3)


def test_what_breaks_a_rule_is_refused_as_in_this_process(job):
    with pytest.raises(TooFewClasses, match="at least 2 classes"):
        run(job.but(train_labels=np.zeros_like(job.request.train_labels)))
    with pytest.raises(InvalidValue, match="unknown classifier 'vgg'"):
        run(job.but(classifier="vgg"))
    with pytest.raises(InvalidValue, match="epochs must be a whole number"):
        run(job.but(classifier="cnn:epochs=few"))
    with pytest.raises(InvalidValue, match="1 of 1 item has no image"):
        run(job.but(pool_ids=np.array([5]), test_ids=NOTHING))


def test_progress_carries_the_time_that_is_left_and_notes_are_never_held_back(monkeypatch):
    now = iter([10.0, 12.0, 12.1, 12.2, 12.3, 20.0])
    monkeypatch.setattr(training.time, "monotonic", lambda: next(now))
    up = io.StringIO()
    speak = training._Speaker(up)
    for done in (1, 2, 3):
        speak(Progress("fit", done, 5, loss=0.5))
    speak(Progress("fit", 0, 5, note="memory ran out"))
    speak(Progress("fit", 5, 5))
    speak(Progress("score", 100, 200))
    told = [Progress(**json.loads(line)) for line in up.getvalue().splitlines()]
    assert [(progress.phase, progress.done, progress.note) for progress in told] == [
        ("fit", 1, None),
        ("fit", 2, None),  # the third comes too soon after it
        ("fit", 0, "memory ran out"),
        ("fit", 5, None),
        ("score", 100, None),
    ]
    assert [progress.seconds_left for progress in told] == [None, pytest.approx(6.0), None, 0.0, None]
    assert told[1].loss == 0.5


def test_two_processes_train_together_and_one_speaks(job):
    """As one for each GPU would; here over gloo on the CPU."""
    told: list[Progress] = []
    together = job.but(classifier="cnn:epochs=8:flip=no", processes=2, threads=1)
    result = run(together, progress=told.append)
    assert said(result).shape == (24, 4)
    epochs = [progress.done for progress in told if progress.phase == "fit"]
    assert epochs == sorted(set(epochs))  # each is told once
    assert epochs[-1] == 8


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="NOT RUN: needs /proc to see whether a process is there")
def test_processes_that_train_together_all_end_with_the_job(job):
    class Stop(Exception):
        pass

    started: list[int] = []

    def stop(progress: Progress) -> None:
        started.extend(int(path.name) for path in Path("/proc").glob("[0-9]*") if is_training(path))
        raise Stop

    with pytest.raises(Stop):
        run(job.but(classifier="cnn:epochs=1000", processes=2, threads=1), progress=stop)
    assert len(started) >= 2
    deadline = time.monotonic() + 30
    while any(is_running(pid) for pid in started) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_running(pid) for pid in started)


def is_training(path: Path) -> bool:
    """Whether it is a process of this test's own trainings."""
    try:
        command, environment = (path / "cmdline").read_bytes(), (path / "environ").read_bytes()
    except OSError:
        return False
    return b"backend.training" in command and f"PYTEST_CURRENT_TEST={os.environ['PYTEST_CURRENT_TEST']}".encode() in environment


def test_a_child_that_fails_is_reported_with_its_last_lines(job, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingFailed, match=r"exit code 1.*\n(.*\n)*.*(NotADirectoryError|FileExistsError)") as raised:
        run(job.but(image_directory=tmp_path / "file"))
    assert raised.value.reason == str(raised.value)


def test_a_training_that_takes_too_long_is_ended(job):
    began = time.monotonic()
    with pytest.raises(TrainingFailed, match=r"longer than its limit of 0\.5 s"):
        run(job.but(time_limit_seconds=0.5))
    assert time.monotonic() - began < 5


class LeaseLost(Exception):
    pass


def test_what_the_heartbeat_raises_ends_the_child(job, monkeypatch):
    started: list[subprocess.Popen] = []
    real = subprocess.Popen

    def noting(*args, **kwargs):
        started.append(real(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", noting)

    def lost() -> None:
        raise LeaseLost

    with pytest.raises(LeaseLost):
        run(job, heartbeat=lost, heartbeat_seconds=0.3)
    assert started[0].returncode == -signal.SIGKILL


def test_a_killed_child_is_reported_as_such(job, monkeypatch):
    started: list[subprocess.Popen] = []
    real = subprocess.Popen

    def noting(*args, **kwargs):
        started.append(real(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", noting)
    with pytest.raises(TrainingFailed, match="was killed, most likely because memory ran out"):
        run(job, heartbeat=lambda: os.kill(started[0].pid, signal.SIGKILL), heartbeat_seconds=0.3)


def test_the_child_is_told_no_secrets(job, monkeypatch):
    for name in ("MCAL_LABEL_STUDIO_TOKEN", "MCAL_BASIC_AUTH_PASSWORD", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hush")
    monkeypatch.setenv("MCAL_LOG_LEVEL", "info")
    env = training._environment(1)
    assert "hush" not in env.values()
    assert env["MCAL_LOG_LEVEL"] == "info"
    assert env["OMP_NUM_THREADS"] == "1"


PARENT = textwrap.dedent(
    """
    import subprocess, sys
    from pathlib import Path
    import numpy as np
    from backend import training
    from mcal_engine.training import TrainingRequest

    real = subprocess.Popen
    def noting(*args, **kwargs):
        child = real(*args, **kwargs)
        print(child.pid, flush=True)
        return child
    subprocess.Popen = noting

    folder, classifier = Path(sys.argv[1]), sys.argv[2]
    ids = 1000 - 7 * np.arange(60)
    labels = np.arange(36) % 3
    request = TrainingRequest(0, classifier, 3, ids[:36], labels, ids[:0], ids, seed=0)
    place = training.Place(folder / "images", 32, folder / "other", device="cpu")
    def busy(progress):
        print(progress.phase, flush=True)
    while True:  # so that the child is surely at work when the parent dies
        training.run_training(request, place, progress=busy)
    """
)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="NOT RUN: needs /proc to see whether a process is there")
@pytest.mark.parametrize("busy", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["starting", "fitting"])
def test_a_child_dies_with_its_parent_even_if_that_is_killed(job, busy):
    folder = job.place.image_directory.parent
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(folder), "cnn"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        if busy:
            assert parent.stdout.readline() == "fit\n"
        assert is_running(child)
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 15
        while is_running(child) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_running(child)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_ctrl_c_ends_parent_and_child_and_the_child_says_nothing(job):
    """As a terminal does it: the signal goes to the whole foreground group."""
    folder = job.place.image_directory.parent
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder), "cnn"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert parent.stdout.readline() == "fit\n"
        os.killpg(parent.pid, signal.SIGINT)
        _, said = parent.communicate(timeout=120)
        assert not is_running(child)
        assert said.count("Traceback") == 1  # the parent's own: this script does not catch it
        assert said.rstrip().endswith("KeyboardInterrupt")
    finally:
        parent.kill()
        parent.wait()
