"""A step that others overtake is taken again, a few times."""

from __future__ import annotations

import pytest

from backend.store import Conflict, retried


def overtaken(times: int) -> list[int]:
    """Take a step that others overtake so many times; the numbers of its tries."""
    tries: list[int] = []

    def step() -> list[int]:
        tries.append(len(tries) + 1)
        if len(tries) <= times:
            raise Conflict("campaign 3 has 9 events by now")
        return tries

    return retried("campaign 3", step)


def test_a_step_is_taken_until_nobody_is_faster() -> None:
    assert overtaken(0) == [1] and overtaken(5) == [1, 2, 3, 4, 5, 6]


def test_who_is_overtaken_six_times_is_told_what_changes_too_fast() -> None:
    with pytest.raises(Conflict, match=r"campaign 3 is changing too fast: .* has 9 events by now; try again"):
        overtaken(6)


def test_other_errors_are_not_tried_again() -> None:
    tries: list[int] = []

    def step() -> None:
        tries.append(1)
        raise ValueError("no conflict")

    with pytest.raises(ValueError, match="no conflict"):
        retried("campaign 3", step)
    assert tries == [1]
