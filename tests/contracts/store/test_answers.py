"""The store's contract: what models from outside answered."""

from __future__ import annotations

from dataclasses import replace

from backend.store import Answer, Campaign, Store
from tests.contracts.store.rows import LS, NOON, note


def answer(number: int, **changes: object) -> Answer:
    plain = Answer(f"{number:064x}", "backend:http://model:9090", number, 1, 0.75, 0.002, NOON)
    return replace(plain, **changes)


def test_answers_come_back_by_their_question(store: Store, campaign: Campaign) -> None:
    rows = [answer(number, label=None if number == 3 else number) for number in range(1300)]
    store.keep_answers(campaign.id, rows)
    asked = [row.asked for row in rows]
    assert store.answers([*asked, "f" * 64]) == dict(zip(asked, rows, strict=True))
    assert store.answers([]) == {}


def test_the_first_answer_to_a_question_stays_and_is_paid_by_the_campaign_that_asked(store: Store, campaign: Campaign) -> None:
    other = store.create_campaign(8, LS, [note()])
    store.keep_answers(campaign.id, [answer(1), answer(2)])
    store.keep_answers(other.id, [answer(1, label=0), answer(3, model="another")])
    assert store.answers([answer(1).asked])[answer(1).asked].label == 1
    assert store.answers_paid(campaign.id) == {"backend:http://model:9090": (2, 0.004)}
    assert store.answers_paid(other.id) == {"another": (1, 0.002)}
