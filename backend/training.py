"""One candidate's training in a process of its own: memory is freed at its end, and it can be killed without harm.

``run_training`` starts ``python -m backend.training FOLDER``: a fresh interpreter, as torch must not be forked, and one that does not run
the parent's main module again. The two share a temporary folder (request in, logits out); progress comes up through the child's standard
output, one JSON object a line. The child holds the other end of a pipe that only its parent keeps open: when that closes, the parent is
gone, however it died, and the child ends itself. Where there are several GPUs and the candidate can use them, the child becomes torchrun,
which starts one process for each; the first of them speaks for all.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from mcal_engine.classifiers import make, parse
from mcal_engine.classifiers.base import Progress, ProgressCallback, TooFewClasses, check_labels, fit
from mcal_engine.classifiers.candidates import Reads
from mcal_engine.classifiers.images.image_cache import ImageCache
from mcal_engine.classifiers.images.row_store import DamagedRows
from mcal_engine.classifiers.texts.text_cache import InRowsOf, TextCache
from mcal_engine.errors import InvalidValue, MCALError
from mcal_engine.parts import Parts
from mcal_engine.training import Scored, TrainingRequest
from mcal_engine.types import FloatArray

HEARTBEAT_SECONDS = 5.0
PARENT_LOOK_SECONDS = 1.0
GOODBYE_SECONDS = 10.0  # for a child that has closed its output to unload its libraries
PARALLEL_FROM = 20_000  # images trained on or scored; fewer are done before several processes have met
PROGRESS_SECONDS = 0.5  # at most one line up per phase in this time
LAST_LINES = 12  # of a failed child's error output, told to the person at the screen
_PRIVATE = ("TOKEN", "PASSWORD", "SECRET", "_URL", "API_KEY", "CREDENTIAL")  # in names of variables that a training has no use for
_REFUSALS: Mapping[str, type[MCALError]] = {kind.__name__: kind for kind in (InvalidValue, TooFewClasses, DamagedRows)}


class TrainingFailed(MCALError):
    """A training that came to no result. ``reason`` is for the person at the screen."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


FEATURES = "features.npy"
ARRAYS = ("train_ids", "train_labels", "test_ids", "pool_ids")  # of a request; the rest of it is plain


@dataclass(frozen=True, slots=True)
class Place:
    """Where a training runs, and what it may take.

    Attributes:
        image_directory, image_size: the campaign's :class:`ImageCache`, or its :class:`TextCache` where the size is ``None``; all items
            of the request must be in it.
        cache_directory: where embeddings are kept between trainings.
        beside_directory: the :class:`TextCache` of the texts beside the images, where the candidate sees them; of all items of the request.
        time_limit_seconds: of the whole training, start of the interpreter included.
        threads: of the CPU; None: all cores, or what OMP_NUM_THREADS says.
        processes: that train together; None: one for each GPU, where the work is large enough for more than one.
    """

    image_directory: Path
    image_size: int | None
    cache_directory: Path
    device: str = "auto"
    time_limit_seconds: float = 6 * 3600.0
    threads: int | None = None
    processes: int | None = None
    beside_directory: Path | None = None


def run_training(
    request: TrainingRequest,
    place: Place,
    *,
    progress: ProgressCallback | None = None,
    heartbeat: Callable[[], None] | None = None,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
) -> Scored:
    """Train and score in a child process and wait for it. Its seconds are start (interpreter and libraries), embed, fit and score.

    Args:
        request: what to train and score.
        place: where, and what it may take.
        progress: told where the child stands, in the caller's thread.
        heartbeat: called every ``heartbeat_seconds`` while waiting; what it or ``progress`` raises ends the child and is passed on.

    Raises:
        TrainingFailed: the time limit passed, the child was killed, or it failed; with its last lines.
        InvalidValue, TooFewClasses: the request itself breaks a rule.
        DamagedRows: images or features on the disk were damaged, and are forgotten now.
    """
    check_labels(request.train_ids, request.train_labels, request.n_classes)  # here already, as a child takes seconds to start
    parse(request.classifier)
    with tempfile.TemporaryDirectory(prefix="mcal-training-") as name:
        folder = Path(name)
        _write_job(request, place, folder)
        began = time.monotonic()
        with (folder / "errors").open("wb") as errors:
            child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "backend.training", str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(place.threads),
                process_group=0,  # Ctrl-C in the terminal is for the parent, which ends the child
            )
        try:
            _wait(child, began, request.classifier, place.time_limit_seconds, progress, heartbeat, heartbeat_seconds)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=GOODBYE_SECONDS)
        finally:
            _end(child)
        took = time.monotonic() - began
        if (folder / "refused.json").exists():
            refusal = json.loads((folder / "refused.json").read_text())
            raise _REFUSALS[refusal["kind"]](refusal["text"])
        if not (folder / "result.json").exists():  # written last and whole, so it says more than the exit code
            raise TrainingFailed(_why(request.classifier, child.returncode, folder / "errors"))
        return _read_result(request, folder, took)


def _wait(
    child: subprocess.Popen[bytes],
    began: float,
    classifier: str,
    limit: float,
    progress: ProgressCallback | None,
    heartbeat: Callable[[], None] | None,
    heartbeat_seconds: float,
) -> None:
    """Until the child closes its output."""
    assert child.stdout is not None
    deadline = began + limit
    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    threading.Thread(target=_pump, args=(child.stdout, lines), daemon=True, name="training-progress").start()
    next_beat = time.monotonic() + heartbeat_seconds
    while True:
        now = time.monotonic()
        if now >= deadline:
            raise TrainingFailed(f"training of {classifier!r} took longer than its limit of {limit:g} s and was ended")
        if heartbeat is not None and now >= next_beat:
            heartbeat()
            next_beat = time.monotonic() + heartbeat_seconds
        try:
            line = lines.get(timeout=max(min(deadline, next_beat if heartbeat is not None else deadline) - time.monotonic(), 0.01))
        except queue.Empty:
            continue
        if line is None:
            return
        if progress is not None:
            progress(Progress(**json.loads(line)))


def _pump(stream: IO[bytes], lines: queue.SimpleQueue[bytes | None]) -> None:
    with stream:
        for line in stream:
            lines.put(line)
    lines.put(None)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Leave no process behind, whatever it is doing."""
    child.kill()  # does nothing to one that has gone
    child.wait()
    assert child.stdin is not None
    child.stdin.close()


def _why(classifier: str, code: int | None, errors: Path) -> str:
    last = [line for line in errors.read_text(errors="replace").splitlines() if line.strip()][-LAST_LINES:]
    said = "; it last said:\n" + "\n".join(last) if last else ""
    if code == -signal.SIGKILL:
        return f"training of {classifier!r} was killed, most likely because memory ran out{said}"
    return f"training of {classifier!r} failed (exit code {code}){said}"


def _environment(threads: int | None) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not any(word in name.upper() for word in _PRIVATE)}
    home = str(Path(__file__).resolve().parent.parent)
    env["PYTHONPATH"] = os.pathsep.join([home, *filter(None, [env.get("PYTHONPATH")])])
    # Threads that spin while they wait slow everything down severalfold where cores are shared, as with Label Studio's own processes.
    env.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    env["OPENBLAS_NUM_THREADS"] = "1"
    env["PYTHONSAFEPATH"] = "1"  # what lies in the working folder is not ours
    if threads is not None:
        env["OMP_NUM_THREADS"] = str(threads)
    return env


def _write_job(request: TrainingRequest, place: Place, folder: Path) -> None:
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", np.asarray(getattr(request, name), dtype=np.int64))
    asked = {each.name: getattr(request, each.name) for each in fields(request) if each.name not in {*ARRAYS, "parts"}}
    parts = request.parts
    if parts is not None:
        np.save(folder / "members.npy", parts.members)
        asked["parts"] = {"widths": parts.widths, "several": parts.several, "complete": parts.complete}
    where = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(place).items()}
    (folder / "job.json").write_text(json.dumps({"request": asked, "place": where}))


def _read_job(folder: Path) -> tuple[TrainingRequest, Place]:
    plain = json.loads((folder / "job.json").read_text())
    for name in ("image_directory", "cache_directory", "beside_directory"):
        plain["place"][name] = None if plain["place"][name] is None else Path(plain["place"][name])
    arrays = {name: np.load(folder / f"{name}.npy") for name in ARRAYS}
    made = plain["request"].pop("parts", None)
    parts = None
    if made is not None:
        parts = Parts(np.load(folder / "members.npy"), tuple(made["widths"]), tuple(made["several"]), made["complete"])
    return TrainingRequest(**plain["request"], **arrays, parts=parts), Place(**plain["place"])


def _read_result(request: TrainingRequest, folder: Path, took: float) -> Scored:
    plain = json.loads((folder / "result.json").read_text())
    logits: FloatArray = np.load(folder / "logits.npy")
    seconds = plain["seconds"]
    seconds["start"] = max(took - sum(seconds.values()), 0.0)
    features = np.load(folder / FEATURES) if (folder / FEATURES).exists() else None
    return Scored.of(request, logits, seconds, one_off_seconds=seconds["embed"], device=plain["device"], features=features)


# --- in the child -----------------------------------------------------------------------------------------------------------------------


def train(
    request: TrainingRequest, place: Place, progress: ProgressCallback | None = None, folder: Path | None = None
) -> tuple[FloatArray, dict[str, float], str]:
    """The training itself, in this process: logits, seconds by part, device. Features, if any, go to a file in ``folder``."""
    reads: Reads = "text" if place.image_size is None else "image"
    items = TextCache(place.image_directory) if place.image_size is None else ImageCache(place.image_directory, place.image_size)
    train_rows, score_rows = items.rows(request.train_ids), items.rows(request.score_ids)
    beside = None
    if place.beside_directory is not None:
        ids, rows = np.concatenate([request.train_ids, request.score_ids]), np.concatenate([train_rows, score_rows])
        beside = InRowsOf(TextCache(place.beside_directory), ids, rows)
    classifier = make(request.classifier, items, cache_dir=place.cache_directory, device=place.device, reads=reads, beside=beside)
    seconds = {"embed": classifier.prepare(np.union1d(train_rows, score_rows), progress=progress)}
    labels, seed = request.train_labels, request.seed
    report = fit(classifier, train_rows, labels, request.n_classes, request.parts, seed=seed, progress=progress)
    seconds["fit"] = report.seconds
    began = time.perf_counter()
    logits = classifier.logits(score_rows, progress=progress)
    if request.with_features and folder is not None:
        rows = np.concatenate([score_rows, train_rows])
        pieces = [classifier.features(rows[start : start + 2048]).astype(np.float32) for start in range(0, len(rows), 2048)]
        np.save(folder / FEATURES, np.concatenate(pieces))
    seconds["score"] = time.perf_counter() - began
    return logits, seconds, report.device


def main(folder: Path) -> None:
    """The child's life, from the job's folder to its result; what goes wrong ends it with a traceback, which the parent reads."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    up = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not be taken for progress
    threading.Thread(target=_die_with_parent, args=(os.getppid(), folder), daemon=True, name="parent-watch").start()
    request, place = _read_job(folder)
    from mcal_engine.classifiers import devices  # brings torch
    from mcal_engine.classifiers.nets import parallel

    devices.keep_memory()
    processes = 1 if parallel.launched() else _processes(request, place)
    if processes > 1:
        os.dup2(up.fileno(), 1)
        together = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m", "backend.training", str(folder)]
        os.execv(sys.executable, [sys.executable, "-m", *together])  # noqa: S606 - our own interpreter and module
    with parallel.joined(place.device) as device:
        first = parallel.rank_and_size()[0] == 0
        try:
            logits, seconds, trained_on = train(
                request, replace(place, device=device), _Speaker(up) if first else None, folder if first else None
            )
        except tuple(_REFUSALS.values()) as error:
            if first:
                _write(folder / "refused.json", {"kind": type(error).__name__, "text": str(error)})
            elif isinstance(error, DamagedRows):  # the others cannot know: they would wait for this one
                raise
            return
    if first:
        np.save(folder / "logits.npy", logits)
        _write(folder / "result.json", {"seconds": seconds, "device": trained_on})


def _processes(request: TrainingRequest, place: Place) -> int:
    """How many shall train together."""
    if place.processes is not None or not parse(request.classifier).parallel or place.device not in ("auto", "cuda"):
        return place.processes or 1
    if len(request.train_ids) + len(request.score_ids) < PARALLEL_FROM:
        return 1
    from mcal_engine.classifiers import devices

    return devices.gpus()


class _Speaker:
    """Sends progress up, a line at a time, with the time that is left, but not more than the parent can use. Notes always go."""

    def __init__(self, up: IO[str]) -> None:
        self._up = up
        self._phase, self._began, self._done_before = "", 0.0, 0
        self._told = -PROGRESS_SECONDS

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.phase != self._phase:
            # The first piece is where the clock starts: its own time holds the loading of libraries and models.
            self._phase, self._began, self._done_before, self._told = progress.phase, now, progress.done, -PROGRESS_SECONDS
        if progress.note is None and progress.done < progress.total and now - self._told < PROGRESS_SECONDS:
            return
        self._told = now
        done = progress.done - self._done_before
        left = (progress.total - progress.done) * (now - self._began) / done if done > 0 else None
        self._up.write(json.dumps(asdict(replace(progress, seconds_left=left))) + "\n")


def _die_with_parent(parent: int, folder: Path) -> None:
    """End this process when its standard input closes or it has another parent: nobody waits for the result any more."""
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], PARENT_LOOK_SECONDS)
        if readable and not os.read(0, 1):
            break
    shutil.rmtree(folder, ignore_errors=True)  # the parent would have removed it
    os._exit(3)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(content))
    fresh.replace(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
