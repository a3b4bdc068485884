"""Every random draw has a stream of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mcal_engine import streams
from mcal_engine.errors import InvalidValue
from mcal_engine.streams import STREAMS, Purpose

ROOT = Path(__file__).parents[2]
OF_VERSION_0_1 = {"test": 1, "train": 2, "certificate": 3, "mix": 4, "join": 5, "overlap": 6, "bootstrap": 7, "training": 11}
ARGUMENTS = st.tuples(st.sampled_from(sorted(STREAMS)), st.none() | st.integers(0, 2**40))


def test_no_two_purposes_have_one_number() -> None:
    assert set(STREAMS) == set(get_args(Purpose))
    assert len(set(STREAMS.values())) == len(STREAMS)


@given(seed=st.integers(0, 2**31 - 1), one=ARGUMENTS, other=ARGUMENTS)
def test_two_draws_of_a_campaign_share_a_stream_only_if_they_are_the_same_draw(
    seed: int, one: tuple[Purpose, int | None], other: tuple[Purpose, int | None]
) -> None:
    assume(one != other)
    first, second = (streams.sequence(seed, *each) for each in (one, other))
    assert first.generate_state(4).tolist() != second.generate_state(4).tolist()


@pytest.mark.parametrize("purpose", sorted(OF_VERSION_0_1))
def test_recorded_campaigns_go_on_with_the_draws_that_they_began_with(purpose: Purpose) -> None:
    before = np.random.default_rng(np.random.SeedSequence(5, spawn_key=(OF_VERSION_0_1[purpose], 3)))
    assert streams.generator(5, purpose, 3).permutation(50).tolist() == before.permutation(50).tolist()


def test_the_sample_of_an_audit_shares_no_stream_with_the_bootstrap() -> None:
    audits = {tuple(streams.sequence(0, "audit", number).generate_state(4)) for number in range(100)}
    bands = {tuple(streams.sequence(0, "bootstrap", number).generate_state(4)) for number in range(100)}
    assert not audits & bands


def test_no_other_module_makes_a_stream_of_its_own() -> None:
    sources = [path for room in ("backend", "mcal_engine") for path in (ROOT / room).rglob("*.py")]
    makers = {path.relative_to(ROOT).as_posix() for path in sources if re.search(r"SeedSequence|spawn_key", path.read_text())}
    assert makers == {"mcal_engine/streams.py"}


@pytest.mark.parametrize(("seed", "number"), [(-1, 0), (0, -1)])
def test_a_negative_seed_or_number_is_refused(seed: int, number: int) -> None:
    with pytest.raises(InvalidValue, match=f"must be 0 or more, got {seed} and {number}"):
        streams.sequence(seed, "test", number)
