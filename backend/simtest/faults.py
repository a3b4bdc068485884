"""What can go wrong at a call, once. Each kind says where it can strike and what the caller then sees."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from backend.label_studio.fence import READS
from backend.label_studio.port import LabelStudioError
from backend.simtest.machines import Killed
from backend.simtest.ports import PortCall
from backend.simtest.world import World
from backend.store import StoreUnavailable
from backend.training import TrainingFailed

LISTS = frozenset({"tasks", "task_ids", "task_times", "tasks_by_id", "predicted_task_ids"})
STORE_READS = frozenset(
    {"campaign", "campaigns", "live_campaign", "live_campaigns", "events", "items", "duplicates", "assignments", "frozen"}
    | {"machine_labels", "watermark", "has_duplicates", "ping", "fenced", "holds_lease", "answers", "answers_paid", "worker_seen"}
)
BULK: dict[str, int] = {  # which argument holds what the call is about
    "import_predictions": 2,
    "predictions_to_annotations": 2,
    "delete_predictions_on": 2,
    "delete_unchanged": 0,
    "set_overlap": 1,
}
HOUR = 3600.0

Strike = Callable[["World", "PortCall", random.Random], Any]


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        words: what happens, for the documents.
        where: whether it can strike at this port and method.
        strike: makes the call as the fault has it.
    """

    name: str
    words: str
    where: Callable[[str, str], bool]
    strike: Strike


def _label_studio(port: str, _method: str) -> bool:
    return port == "label_studio"


def _changes(port: str, method: str) -> bool:
    if port == "label_studio":
        return method not in READS
    return port != "store" or method not in STORE_READS


def _changes_label_studio(port: str, method: str) -> bool:
    return port == "label_studio" and method not in READS


def _writes(port: str, method: str) -> bool:
    return port == "store" and method not in STORE_READS and not method.endswith("_lease")


def _store(port: str, method: str) -> bool:
    return port == "store" and method != "fenced"


def _anywhere(_port: str, method: str) -> bool:
    return method != "fenced"


def _list(port: str, method: str) -> bool:
    return port == "label_studio" and method in LISTS


def _whole_list(port: str, method: str) -> bool:
    return port == "label_studio" and method in ("tasks", "task_ids", "task_times")


def _half(port: str, method: str) -> bool:
    return port == "label_studio" and (method in BULK or method in ("delete_predictions", "release_task"))


def _training(port: str, _method: str) -> bool:
    return port == "trainer"


def _disk(port: str, method: str) -> bool:
    return _writes(port, method) or port == "trainer" or (port == "images" and method in ("look", "fetch"))


def _error(text: str, status: int | None, *, retryable: bool = True) -> LabelStudioError:
    return LabelStudioError(f"Label Studio {text} (injected)", retryable=retryable, status=status)


def _refuse(text: str, status: int | None, *, retryable: bool = True) -> Strike:
    def strike(_life: World, _call: PortCall, _random: random.Random) -> Any:
        raise _error(text, status, retryable=retryable)

    return strike


def _die_before(_life: World, call: PortCall, _random: random.Random) -> Any:
    raise call.process.die()


def _die_after(_life: World, call: PortCall, _random: random.Random) -> Any:
    call.do()
    raise call.process.die()


def _lose_reply(_life: World, call: PortCall, _random: random.Random) -> Any:
    call.do()
    raise _error("did not answer in time", None)


def _half_done(life: World, call: PortCall, chance: random.Random) -> Any:
    """The first half of what a call is about is done; then the caller dies, or hears an error."""
    if call.method == "release_task":
        life.label_studio.leave_a_skip(call.args[1])
    elif call.method == "delete_predictions":
        project, version = call.args
        life.label_studio.delete_predictions_on(project, version, life.label_studio.first_half(project, version))
    else:
        place = BULK[call.method]
        every = list(call.args[place])
        call.do_with(place, every[: len(every) // 2])
    raise call.process.die() if chance.random() < 0.5 else _error("broke off", 502)


def _empty(_life: World, call: PortCall, _random: random.Random) -> Any:
    return _as_answer(call, [])


def _short(_life: World, call: PortCall, chance: random.Random) -> Any:
    rows = _rows(call)
    return _as_answer(call, [rows[place] for place in sorted(chance.sample(range(len(rows)), len(rows) // 2))])


def _doubled(_life: World, call: PortCall, _random: random.Random) -> Any:
    return _as_answer(call, [row for row in _rows(call) for _ in range(2)])


def _stale(life: World, call: PortCall, _random: random.Random) -> Any:
    """The answer of a while ago."""
    if call.method == "task_ids":
        return sorted(life.earlier)
    if call.method == "task_times":
        return {task.id: task.updated_at for task in life.earlier.values()}
    since = call.kwargs.get("updated_since")
    return iter([task for task in life.earlier.values() if since is None or task.updated_at > since])


def _rows(call: PortCall) -> list[Any]:
    answer = call.do()
    return list(answer.items() if isinstance(answer, dict) else answer)


def _as_answer(call: PortCall, rows: list[Any]) -> Any:
    """Rows in the form that the caller expects."""
    if call.method == "task_times":
        return dict(rows)
    return iter(rows) if call.method == "tasks" else rows


def _torn(_life: World, call: PortCall, chance: random.Random) -> Any:
    """A list that breaks off half-way through: the caller has worked on its first rows."""
    rows: Sequence[Any] = list(call.do())
    ending: BaseException = call.process.die() if chance.random() < 0.5 else _error("broke off", None)
    if isinstance(ending, Killed):
        call.process.alive = True  # it lives until it comes to the break

    def some() -> Iterator[Any]:
        yield from rows[: len(rows) // 2]
        if isinstance(ending, Killed):
            raise call.process.die()
        raise ending

    return some()


def _store_away(text: str) -> Strike:
    def strike(_life: World, _call: PortCall, _random: random.Random) -> Any:
        raise StoreUnavailable(f"database: {text} (injected)")

    return strike


def _disk_full(_life: World, call: PortCall, _random: random.Random) -> Any:
    if call.port == "store":
        raise StoreUnavailable("database: database or disk is full (injected)")
    raise OSError(errno.ENOSPC, "No space left on device (injected)")


def _training_fails(_life: World, _call: PortCall, _random: random.Random) -> Any:
    raise TrainingFailed("training was killed, most likely because memory ran out (injected)")


def _sleep(life: World, call: PortCall, chance: random.Random) -> Any:
    """The process is suspended beyond its lease, in front of the call or behind it, while another worker goes on."""
    if chance.random() < 0.5:
        life.sleep(call.process, chance)
        return call.do()
    result = call.do()
    life.sleep(call.process, chance)
    return result


def _other_worker(life: World, call: PortCall, _random: random.Random) -> Any:
    life.other_visit(call.process)
    return call.do()


def _clock(ours: float, label_studios: float) -> Strike:
    def strike(life: World, call: PortCall, _random: random.Random) -> Any:
        life.clock.ours += ours
        life.clock.label_studios += label_studios
        return call.do()

    return strike


_TABLE = (
    Fault("death before", "the process dies before the call", _anywhere, _die_before),
    Fault("death after", "the process dies after the call has done its work", _changes, _die_after),
    Fault("lost reply", "Label Studio does its work, and the reply is lost", _changes_label_studio, _lose_reply),
    Fault("half done", "a bulk call does half of its work; then an error or a death", _half, _half_done),
    Fault("unreachable", "Label Studio cannot be reached", _label_studio, _refuse("cannot be reached", None)),
    Fault("500", "Label Studio answers 500", _label_studio, _refuse("answered 500", 500)),
    Fault("429", "Label Studio answers 429", _label_studio, _refuse("asks for fewer requests", 429)),
    Fault("403", "Label Studio answers 403", _label_studio, _refuse("does not let this user do that", 403, retryable=False)),
    Fault("404", "a proxy answers 404", _label_studio, _refuse("does not know what was asked for", 404, retryable=False)),
    Fault("HTML", "a proxy answers with a page", _label_studio, _refuse("sent no JSON", 200)),
    Fault("empty list", "a list is empty", _list, _empty),
    Fault("short list", "half of a list is missing", _list, _short),
    Fault("doubled list", "every row of a list comes twice", _list, _doubled),
    Fault("stale list", "a list is as it was at the last visit", _whole_list, _stale),
    Fault("torn list", "a list breaks off half-way", lambda port, method: port == "label_studio" and method == "tasks", _torn),
    Fault("database away", "the database is locked or away", _store, _store_away("is locked")),
    Fault("disk full", "the disk is full: database, images or training", _disk, _disk_full),
    Fault("training fails", "the child process of a training is killed", _training, _training_fails),
    Fault("lease lost", "the process sleeps beyond its lease, another worker goes on", _changes, _sleep),
    Fault("another worker", "another worker visits the campaign meanwhile", _anywhere, _other_worker),
    Fault("our clock ahead", "our clock is set 1 h ahead", _anywhere, _clock(HOUR, 0)),
    Fault("our clock back", "our clock is set 1 h back", _anywhere, _clock(-HOUR, 0)),
    Fault("their clock ahead", "Label Studio's clock is set 1 h ahead", _anywhere, _clock(0, HOUR)),
    Fault("their clock back", "Label Studio's clock is set 1 h back", _anywhere, _clock(0, -HOUR)),
)
FAULTS: dict[str, Fault] = {fault.name: fault for fault in _TABLE}
