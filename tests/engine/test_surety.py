"""L(.): the three kinds against their definitions in high precision, and their order where probabilities saturate."""

from __future__ import annotations

from decimal import Decimal, getcontext

import numpy as np
import pytest

from mcal_engine.errors import InvalidValue
from mcal_engine.round import freeze
from mcal_engine.surety import surety

getcontext().prec = 400
LOGITS = np.array([[3.0, 1.0, 0.5], [0.0, 0.0, 0.0], [50.0, 1.0, 0.0], [300.0, 0.0, -5.0], [2.0, 2.0, -40.0], [-1.0, 4.0, 3.5]])


def probabilities(row: np.ndarray) -> list[Decimal]:
    powers = [Decimal(float(logit)).exp() for logit in row]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("row", LOGITS)
def test_each_kind_is_its_definition_also_where_float64_probabilities_round_to_one(row: np.ndarray) -> None:
    p = sorted(probabilities(row), reverse=True)
    expected = {
        "margin": (p[0] / p[1]).ln(),
        "least_confidence": (p[0] / (1 - p[0])).ln(),
        "entropy": -(-sum(q * q.ln() for q in p)).ln(),
    }
    for kind, value in expected.items():
        assert surety(row[None], kind)[0] == pytest.approx(float(value), rel=1e-9, abs=1e-12), kind


@pytest.mark.parametrize("kind", ["margin", "least_confidence", "entropy"])
def test_thousands_of_sure_predictions_keep_an_order(kind: str) -> None:
    gaps = np.linspace(40, 600, 2000)
    logits = np.stack([gaps, np.zeros(2000), np.full(2000, -1.0)], axis=1)
    assert np.all(np.diff(surety(logits, kind)) > 0)
    ids, _, sureties = freeze(np.arange(2000), logits, kind)
    assert ids.tolist() == list(range(1999, -1, -1))
    assert np.all(np.diff(sureties) < 0)


def test_a_kind_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(InvalidValue, match="margin, entropy or least_confidence, got 'variance'"):
        surety(LOGITS, "variance")
