"""One count of labels for everything that speaks of money."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mcal_engine.bill import Labels

counts = st.integers(0, 10_000)


@given(bought=counts, repeats=counts, left=counts, machine=counts, more=counts, price=st.floats(0.001, 10), training=st.floats(0, 1e4))
def test_what_is_saved_is_at_most_the_share_that_the_machine_labels(
    bought: int, repeats: int, left: int, machine: int, more: int, price: float, training: float
) -> None:
    labels = Labels(bought + repeats, repeats, left, machine)
    more = min(more, left)
    assert labels.n_alone == bought + left + machine
    if labels.n_alone:
        bill = price * labels.n_at_end(more) + training
        assert 1 - bill / (price * labels.n_alone) <= (machine + more) / labels.n_alone + 1e-9


@given(bought=counts, repeats=counts, left=counts, machine=counts, steps=st.lists(st.sampled_from(["labels", "machine", "repeat"])))
def test_whatever_happens_next_people_alone_would_have_paid_the_same(
    bought: int, repeats: int, left: int, machine: int, steps: list[str]
) -> None:
    now = Labels(bought + repeats, repeats, left, machine)
    alone = now.n_alone
    for step in steps:
        if step == "repeat":
            now = Labels(now.n_paid + 1, now.n_repeats + 1, now.n_left, now.n_machine)
        elif now.n_left:
            paid = step == "labels"
            now = Labels(now.n_paid + paid, now.n_repeats, now.n_left - 1, now.n_machine + (not paid))
        assert now.n_alone == alone
