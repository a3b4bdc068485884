"""The random streams. Each purpose of a random draw has a number of its own, so that no two purposes ever share a draw.

A stream is made from the campaign's seed, the number of its purpose and, where a purpose draws more than once, a number that tells the
draws apart. A purpose keeps its number for good: recorded campaigns go on with the draws that they began with.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from mcal_engine.errors import InvalidValue

Purpose = Literal[
    "test",
    "train",
    "certificate",
    "mix",
    "join",
    "overlap",
    "bootstrap",
    "audit",
    "extra",
    "training",
    "images",
    "paper_order",
    "validity_order",
    "shuffled_labels",
    "bench_certificate",
    "bench_pac",
    "law_world",
    "skips",
    "image_form",
]

STREAMS: dict[Purpose, int] = {
    "test": 1,  # T; numbered by round
    "train": 2,  # B0, and each batch of acquisition = random; by round
    "certificate": 3,  # V; by look
    "mix": 4,  # the order in which the first queue shows T and B0
    "join": 5,  # whether a task that was added later joins T; by task id
    "overlap": 6,  # which items two people label; by draw
    "bootstrap": 7,  # the forecast's band; by the number of rounds that it rests on
    "audit": 8,  # the sample of an audit; by audit
    "extra": 9,  # a random batch that no decision of the engine asked for; by queue
    "training": 11,  # a classifier's own seed in the simulator; by round
    "images": 101,  # the items of a simulated campaign
    "paper_order": 102,  # the order of a data set in the paper's benchmark
    "validity_order": 103,  # the items of a campaign of the validity benchmark
    "shuffled_labels": 104,  # the hopeless case of the simulator
    "bench_certificate": 105,  # a certificate sample of the certificate benchmark; by draw
    "bench_pac": 106,  # the order and the samples of its comparison with PAC labels
    "law_world": 107,  # a world of known error law
    "skips": 108,  # what people skip in the validity benchmark
    "image_form": 109,  # the images that the form of a data set is chosen from; by the number of its images
}


def sequence(seed: int, purpose: Purpose, number: int | None = None) -> np.random.SeedSequence:
    """The seeds of one stream.

    Args:
        seed: the campaign's, 0 or more.
        purpose: what is drawn.
        number: tells the draws of one purpose apart, 0 or more; ``None`` for a purpose that draws once.

    Raises:
        InvalidValue: a negative seed or number.
    """
    if seed < 0 or (number is not None and number < 0):
        raise InvalidValue(f"seed and number of a random stream must be 0 or more, got {seed} and {number}")
    place = STREAMS[purpose]
    return np.random.SeedSequence(seed, spawn_key=(place,) if number is None else (place, number))


def generator(seed: int, purpose: Purpose, number: int | None = None) -> np.random.Generator:
    """NumPy's default generator on :func:`sequence`."""
    return np.random.default_rng(sequence(seed, purpose, number))


def entropy(seed: int, purpose: Purpose, number: int | None = None) -> int:
    """128 bits of a stream, where a simulation that can be repeated stands in for the operating system."""
    low, high = sequence(seed, purpose, number).generate_state(2, np.uint64).tolist()
    return int(low) | int(high) << 64


def from_entropy(entropy: int) -> np.random.Generator:
    """The generator for bits from the operating system, drawn after all that it must not foresee was fixed."""
    return np.random.default_rng(np.random.SeedSequence(entropy))
