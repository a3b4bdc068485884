"""Run the validity benchmark's campaigns in several processes; each is one JSON line, and a line that is there is not made again."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from mcal_engine.bench.paper.runs import append_row, read_rows
from mcal_engine.bench.validity.mutations import mutated
from mcal_engine.bench.validity.price import true_price_campaign
from mcal_engine.bench.validity.reading import true_fixed_campaign
from mcal_engine.bench.validity.ridge import DIMENSIONS, RidgeClassifier, reduced_features
from mcal_engine.bench.validity.worlds import TARGETS, Row, Task, World, key
from mcal_engine.simulator.labelled_images import LabelledData
from mcal_engine.simulator.machines import Machine, Stopwatch
from mcal_engine.simulator.report import versions
from mcal_engine.simulator.session import open_machines

SIZES = (1_500, 10_000)
FULL_SIZE_CAMPAIGNS = 20
PRICED = 0.05


def open_world(data: LabelledData, cache_dir: Path, device: str) -> World:
    """Embed what is not embedded yet, reduce the features once, and leave the images behind."""
    file = cache_dir / f"{data.name}-{data.digest}" / f"frozen-reduced-{DIMENSIONS}.npy"
    if not file.exists():
        machine = open_machines(data, ["frozen"], cache_dir, device)[0]
        machine.prepare(np.arange(len(data), dtype=np.int64))
        reduced_features(machine.classifier, len(data), file)
    return World(data.name, data.digest, data.labels, data.n_classes, file)


def open_quick_machine(data: LabelledData, cache_dir: Path, device: str = "auto") -> Machine:
    """Least squares on the frozen encoder's features, reduced once: for benchmarks of hundreds of campaigns. Embedding is not charged."""
    features = np.load(open_world(data, cache_dir, device).features, mmap_mode="r")
    return Machine(
        RidgeClassifier.name, RidgeClassifier(features), Stopwatch(cache_dir / f"{data.name}-{data.digest}" / f"seconds-{device}.jsonl")
    )


def plan(
    n_data: int,
    *,
    campaigns: int,
    price_campaigns: int,
    items: int | None = None,
    targets: Sequence[float] = TARGETS,
    train_share: float = 0.08,
    mutation: str | None = None,
) -> list[Task]:
    """The campaigns to run: at 1,500 and 10,000 items and 20 at full size, or at ``items`` alone; some of each are also priced."""
    base = Task("fixed", 0, items, train_share, tuple(targets), mutation)
    sizes = [items] if items is not None else [size for size in SIZES if size < n_data] or [n_data]
    tasks = [replace(base, seed=seed, items=size) for size in sizes for seed in range(campaigns)]
    if items is None and n_data > SIZES[-1]:
        tasks += [replace(base, seed=seed, items=n_data) for seed in range(min(FULL_SIZE_CAMPAIGNS, campaigns))]
    # Whole campaigns take a hundred times as long as the fixed schedule, so the price is looked at for one target.
    priced = replace(base, kind="price", targets=(PRICED if PRICED in targets else targets[0],))
    return tasks + [replace(priced, seed=seed, items=size) for size in sizes for seed in range(price_campaigns)]


def go(world: World, tasks: Sequence[Task], out: Path, workers: int, say: Callable[[str], None]) -> list[Row]:
    """Do what is not in ``out`` yet; return the rows of all ``tasks``, in their order."""
    done = {row["key"]: row for row in read_rows(out)}
    keys = [key(world, task) for task in tasks]
    waiting = [task for task, name in zip(tasks, keys, strict=True) if name not in done]
    for number, row in enumerate(_play_all(world, waiting, workers), 1):
        append_row(out, row)
        done[row["key"]] = row
        if number % 25 == 0 or number == len(waiting):
            say(f"{number:,} of {len(waiting):,} campaigns")
    return [done[name] for name in keys]


def play(world: World, task: Task) -> Row:
    """One campaign as a line of the result file."""
    with mutated(task.mutation):
        result = true_fixed_campaign(world, task) if task.kind == "fixed" else true_price_campaign(world, task)
    return {
        "key": key(world, task),
        "task": asdict(task) | {"targets": list(task.targets)},
        "data": {"name": world.name, "digest": world.digest},
        "n_classes": world.n_classes,
        "versions": versions(),
        "result": result,
    }


def _play_all(world: World, tasks: Sequence[Task], workers: int) -> Iterator[Row]:
    if workers < 2 or len(tasks) < 2:
        for task in tasks:
            yield play(world, task)
        return
    # Not fork: torch's threads may be running in this process.
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(min(workers, len(tasks)), context, _receive, (world,)))
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        for future in as_completed([pool.submit(_play_here, task) for task in tasks]):
            yield future.result()


_worlds: list[World] = []


def _receive(world: World) -> None:
    _worlds[:] = [world]


def _play_here(task: Task) -> Row:
    return play(_worlds[0], task)
