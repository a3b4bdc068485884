"""Nobody can know a certificate or audit sample before what it judges is fixed: it is drawn by bits made afterwards, and they are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.campaign import events, history
from backend.campaign.state import Phase
from backend.steps.ports import random_bits
from mcal_engine.errors import InvalidValue
from mcal_engine.round import draw_secret
from tests.backend.steps.audited import audit
from tests.backend.world import World

pytestmark = pytest.mark.slow


def certifying(folder: Path, bits: int) -> World:
    folder.mkdir()
    world = World(folder, n=300)
    world.fresh_services(entropy=lambda: bits)
    world.run(until=[Phase.CERTIFYING])
    return world


def test_two_campaigns_of_one_seed_have_samples_of_their_own_and_the_kept_bits_give_each_of_them_again(tmp_path: Path) -> None:
    worlds = [certifying(tmp_path / str(bits % 97), bits) for bits in (2**127 + 3, 11)]
    samples = [world.state().sample for world in worlds]
    assert worlds[0].state().settings.seed == worlds[1].state().settings.seed
    assert set(samples[0]) != set(samples[1])
    for world, sample in zip(worlds, samples, strict=True):
        frozen = history.read(world.store, world.campaign.id, events.PoolFrozen)[-1].event
        assert len(frozen.entropy) == 32
        pool = np.array([row.task_id for row in world.store.frozen(world.campaign.id, 1)], dtype=np.int64)
        assert tuple(draw_secret(int(frozen.entropy, 16), pool, len(sample)).tolist()) == tuple(sample)


def test_an_audit_s_sample_is_drawn_by_bits_that_are_kept_with_what_it_judges(tmp_path: Path) -> None:
    world = World(tmp_path, n=300)
    world.run(until=[Phase.RESIDUAL])
    audit(world, size=20)
    opened = history.read(world.store, world.campaign.id, events.AuditOpened)[-1].event
    written = np.array([row.task_id for row in world.store.frozen(world.campaign.id, world.state().audits[-1].look)], dtype=np.int64)
    assert draw_secret(int(opened.entropy, 16), written, 20).tolist() == list(opened.ids)


def test_the_bits_come_from_the_operating_system_and_differ_each_time() -> None:
    made = {random_bits() for _ in range(50)}
    assert len(made) == 50
    assert all(0 <= bits < 2**128 for bits in made)
    assert max(made) > 2**120


def test_a_secret_draw_depends_on_the_set_of_items_and_takes_no_more_than_there_are() -> None:
    ids = np.array([9, 4, 7, 1])
    assert draw_secret(5, ids, 3).tolist() == draw_secret(5, ids[::-1], 3).tolist()
    with pytest.raises(InvalidValue, match="5 of 4"):
        draw_secret(5, ids, 5)
