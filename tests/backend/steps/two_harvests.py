"""A small campaign whose machine is poor until a first harvest is in and good afterwards, so that a second one pays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.backend.world import World

N, SHARE, ERROR = 260, 0.4, 0.15
SETTINGS: dict[str, Any] = {"target_error": ERROR, "test_size": 20, "batch_size": 10, "certificate_size": 50, "theta_step": 0.2}


def two_harvests(directory: Path, *, second_harvest: float = SHARE, start: bool = True, **more: Any) -> World:
    world = World(directory, n=N, second_harvest=second_harvest, start=False, **{**SETTINGS, **more})
    # All items but the machine's are trained on or scored: with fewer of them a harvest is in.
    world.trainer.skill = lambda request: 0.2 if len(request.train_ids) + len(request.score_ids) > N - 10 else 3.0
    if start:
        world.begin()
    return world
