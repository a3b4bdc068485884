"""Images: fetched once, kept across restarts; bad ones named, Label Studio's absence not held against them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from backend.label_studio.port import LabelStudioError
from backend.shared_cache import SharedCache
from backend.steps.images import CampaignImages
from tests.fakes.label_studio import FakeLabelStudio


def png(side: int, shade: int) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (side, side), (shade, shade, shade)).save(made, "PNG")
    return made.getvalue()


def shelf(fake: FakeLabelStudio, directory: Path, shared: SharedCache | None = None) -> CampaignImages:
    return CampaignImages(fake, directory, max_bytes=100_000, max_pixels=10_000, threads=4, name_of="campaign-{}".format, shared=shared)


def beat() -> None:
    """A heartbeat that never asks to stop."""


def filled(n: int = 40) -> tuple[FakeLabelStudio, dict[int, str]]:
    fake = FakeLabelStudio()
    fake.media = {f"/data/{task}.png": png(28, task) for task in range(1, n + 1)}
    return fake, {task: f"/data/{task}.png" for task in range(1, n + 1)}


def test_images_are_fetched_once_and_outlive_a_restart(tmp_path: Path) -> None:
    fake, references = filled()
    first = shelf(fake, tmp_path)
    assert first.missing(1, list(references)) == list(references)
    assert first.fetch(1, references, beat) == {}
    assert first.size(1) == 32
    again = shelf(fake, tmp_path)
    assert again.missing(1, [*references, 99]) == [99]
    assert fake.calls.count("fetch_media") == len(references)


def test_each_campaign_has_its_own_folder_and_loses_only_that(tmp_path: Path) -> None:
    fake, references = filled(3)
    both = shelf(fake, tmp_path)
    both.fetch(1, references, beat)
    both.fetch(2, references, beat)
    both.discard(1)
    assert both.missing(1, [1]) == [1] and both.missing(2, [1]) == []


def test_bad_images_are_named_and_the_others_kept(tmp_path: Path) -> None:
    fake, references = filled()
    fake.media["/data/3.png"] = b"<html>no</html>"
    fake.media["/data/4.png"] = b""
    fake.media["/data/30.png"] = png(200, 0)
    del fake.media["/data/5.png"]
    found = shelf(fake, tmp_path)
    reasons = found.fetch(1, references, beat)
    assert reasons.keys() == {3, 4, 5, 30}
    assert "web page" in reasons[3] and "0 bytes" in reasons[4] and "404" in reasons[5] and "10,000" in reasons[30]
    assert found.missing(1, list(references)) == [3, 4, 5, 30]


def test_if_no_image_can_be_read_all_have_a_reason_and_nothing_is_kept(tmp_path: Path) -> None:
    fake, references = filled(5)
    fake.media = dict.fromkeys(fake.media, b"not an image")
    found = shelf(fake, tmp_path)
    assert found.fetch(1, references, beat).keys() == set(references)
    assert found.size(1) is None and found.missing(1, [1]) == [1]


def test_label_studio_going_away_is_an_error_and_what_came_before_is_kept(tmp_path: Path) -> None:
    fake, references = filled(60)
    n = 0

    def before(method: str) -> None:
        nonlocal n
        n += 1
        fake.down = n > 50

    fake.before = before
    found = shelf(fake, tmp_path)
    with pytest.raises(LabelStudioError):
        found.fetch(1, references, beat)
    fake.down, fake.before = False, None
    left = shelf(fake, tmp_path).missing(1, list(references))
    assert 0 < len(left) < 60
    assert found.fetch(1, {task: references[task] for task in left}, beat) == {}


def test_a_stop_ends_the_fetching(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    fake, references = filled(60)
    with pytest.raises(Stop):
        shelf(fake, tmp_path).fetch(1, references, stop)


def test_what_one_machine_has_fetched_another_takes_from_the_shared_cache(tmp_path: Path) -> None:
    fake, references = filled()
    shared = SharedCache(f"file://{tmp_path / 'shared'}")
    assert shelf(fake, tmp_path / "one", shared).fetch(1, references, beat) == {}
    other = shelf(fake, tmp_path / "two", SharedCache(f"file://{tmp_path / 'shared'}"))
    assert other.missing(1, [1]) == [1]
    fake.media["/data/41.png"] = png(28, 41)
    assert other.fetch(1, {**references, 41: "/data/41.png"}, beat) == {}
    assert fake.calls.count("fetch_media") == len(references) + 1  # only the new one was fetched again
    assert other.size(1) == 32 and other.missing(1, [*references, 41, 42]) == [42]
    both = [each.digests(1, sorted(references)).tolist() for each in (shelf(fake, tmp_path / "one"), other)]
    assert both[0] == both[1] and len(set(both[0])) == len(references)


def test_an_ended_campaign_leaves_nothing_in_the_shared_cache(tmp_path: Path) -> None:
    fake, references = filled(3)
    shared = SharedCache(f"file://{tmp_path / 'shared'}")
    here = shelf(fake, tmp_path / "one", shared)
    here.fetch(1, references, beat)
    here.fetch(2, references, beat)
    here.discard(1)
    assert shared.places("images") == ["campaign-2"]
    assert shelf(fake, tmp_path / "two", shared)._pulled(1, beat) is None


def test_images_of_campaigns_that_ended_on_other_machines_are_swept_away(tmp_path: Path) -> None:
    fake, references = filled(3)
    here = shelf(fake, tmp_path)
    for campaign in (1, 2, 3):
        here.fetch(campaign, references, beat)
    (tmp_path / "something else").mkdir()
    shelf(fake, tmp_path).sweep(lambda: [2])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["campaign-2", "something else"]
