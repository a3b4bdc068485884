"""Decisions as people read them, over the recorded campaigns; and the drawing of the rounds."""

from __future__ import annotations

import pytest

from backend.views.decisions import decided
from backend.web import formats
from backend.web.rounds_chart import HEAD, rounds_chart
from tests.backend.campaign.golden.replay import Recording, names


@pytest.mark.parametrize("name", names())
def test_every_fact_of_a_decision_is_a_recorded_number_in_words(name: str) -> None:
    for row in decided(Recording(name).entries):
        recorded = [*row["evidence"].values(), *(row["plan"] or {}).values()]
        assert all(fact["value"] in recorded and fact["value"] >= 0 for fact in row["facts"])
        assert len({fact["name"] for fact in row["facts"]}) == len(row["facts"])
        assert all(fact["kind"] in formats.KINDS and "_" not in fact["name"] for fact in row["facts"])
        assert bool(row["facts"]) == bool(row["evidence"] or row["plan"])


def test_what_was_forecast_before_a_sample_is_no_evidence_of_what_the_sample_says() -> None:
    newest, *_ = decided(Recording("certified").entries)
    names = [fact["name"] for fact in newest["facts"]]
    assert "certificate items" in names and "wrong ones that may be left there" in names
    assert "whole bill, forecast" not in names
    assert newest["plan"] is not None  # it stays among the raw numbers


def test_the_newest_decision_comes_first_and_those_that_only_ask_for_more_can_be_folded() -> None:
    rows = decided(Recording("real_demo").entries)
    assert [row["seq"] for row in rows] == sorted((row["seq"] for row in rows), reverse=True)
    again = [row for row in rows if row["again"]]
    assert len(again) == 3 and all(row["title"].startswith("ask for") and row["plan"] for row in again)
    assert rows[-1]["title"].startswith("ask for") and not rows[-1]["again"]  # to begin with


def round_of(n_train: int, total: float, now: float, low: float | None = None, high: float | None = None) -> dict[str, object]:
    return {"n_train": n_train, "plan": {"total_cost": total, "total_cost_now": now, "low": low, "high": high}}


def test_the_drawing_of_rounds_puts_each_amount_in_proportion_between_nothing_and_the_most() -> None:
    drawn = rounds_chart([round_of(20, 10.0, 12.0), round_of(60, 8.0, 9.0, 6.0, 9.5), round_of(100, 7.0, 7.0, 6.5, 8.0)], 20.0)
    assert drawn is not None

    def height(amount: float) -> float:
        return round(100 * (1 - amount / (HEAD * 20.0)), 2)

    assert drawn["forecast"] == f"0,{height(10):g} 50,{height(8):g} 100,{height(7):g}"
    assert drawn["now"] == f"0,{height(12):g} 50,{height(9):g} 100,{height(7):g}"
    assert drawn["band"] == f"50,{height(9.5):g} 100,{height(8):g} 100,{height(6.5):g} 50,{height(6):g}"
    assert (drawn["alone"], drawn["first"], drawn["last"]) == (height(20), 20, 100)


def test_one_round_alone_is_not_drawn() -> None:
    assert rounds_chart([round_of(20, 10.0, 12.0), {"n_train": 40, "plan": None}], 20.0) is None
    assert rounds_chart([round_of(20, 10.0, 12.0), round_of(40, 10.0, 12.0)], None) is None
