"""Histories that earlier versions wrote are read to the states, decisions and reports that were recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backend.campaign import facts
from backend.store import Store
from tests.backend.campaign.golden.recording import HERE, WHOLE
from tests.backend.campaign.golden.replay import Recording, differences, expected, names, seen

MENDING = "if this is meant: python -m tests.backend.campaign.golden expect, then read what git diff shows"


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_a_recorded_campaign_is_read_as_it_was(name: str) -> None:
    found, promised = seen(Recording(name)), expected(name)
    assert [entry["seq"] for entry in found] == [entry["seq"] for entry in promised]
    different = [line for entry, other in zip(promised, found, strict=True) for line in differences(entry, other, f"seq {entry['seq']}")]
    assert not different, "\n".join([*different[:20], MENDING])


def test_a_difference_is_found_wherever_it_is() -> None:
    found = expected(WHOLE)
    assert list(differences(expected(WHOLE), found)) == []
    found[-1]["report"]["phase"] = "residual"
    found[2]["sentences"].append("more")
    assert [line.split(":")[0] for line in differences(expected(WHOLE), found)] == ["[2].sentences", "[16].report.phase"]


def test_a_backup_of_an_earlier_version_gives_the_recorded_rows(tmp_path: Path) -> None:
    *_, (recorded, _) = Recording(WHOLE).facts()
    store = Store(f"sqlite:///{tmp_path / 'restored.db'}")
    with (HERE / f"{WHOLE}.backup.gz").open("rb") as backup:
        store.restore(backup)
    known = facts.load(store, recorded.campaign.id)
    assert replace(known, events=()) == replace(recorded, events=())
    assert store.events(recorded.campaign.id) == Recording(WHOLE).events
    store.close()
