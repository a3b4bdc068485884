"""Images: fetched once, kept across restarts; bad ones named, Label Studio's absence not held against them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.label_studio.port import LabelStudioError
from backend.shared_cache import SharedCache
from backend.simtest.label_studio import FakeLabelStudio
from backend.steps.images import CampaignImages
from mcal_engine.classifiers.images.decoding import LOOKED_AT, GrayRange, ImageForm
from mcal_engine.classifiers.images.image_cache import ImageCache


def png(side: int, shade: int) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (side, side), (shade % 256, shade // 256, 0)).save(made, "PNG")
    return made.getvalue()


def shelf(fake: FakeLabelStudio, directory: Path, shared: SharedCache | None = None) -> CampaignImages:
    return CampaignImages(fake, directory, max_bytes=100_000, max_pixels=10_000, threads=4, name_of="campaign-{}".format, shared=shared)


def beat() -> None:
    """A heartbeat that never asks to stop."""


def put(kept: CampaignImages, campaign: int, references: dict[int, str], heartbeat: Callable[[], None] = beat) -> dict[int, str]:
    """What a campaign does that has no form yet."""
    form, reasons = kept.look(campaign, references, heartbeat)
    return reasons if form is None else kept.fetch(campaign, references, form, heartbeat)


def filled(n: int = 40) -> tuple[FakeLabelStudio, dict[int, str]]:
    fake = FakeLabelStudio()
    fake.media = {f"/data/{task}.png": png(28, task) for task in range(1, n + 1)}
    return fake, {task: f"/data/{task}.png" for task in range(1, n + 1)}


def test_images_are_fetched_once_and_outlive_a_restart(tmp_path: Path) -> None:
    fake, references = filled()
    first = shelf(fake, tmp_path)
    assert first.missing(1, list(references)) == list(references)
    assert put(first, 1, references) == {}
    assert first.size(1) == 32
    again = shelf(fake, tmp_path)
    assert again.missing(1, [*references, 99]) == [99]
    assert fake.calls.count("fetch_media") == len(references)


def test_each_campaign_has_its_own_folder_and_loses_only_that(tmp_path: Path) -> None:
    fake, references = filled(3)
    both = shelf(fake, tmp_path)
    put(both, 1, references)
    put(both, 2, references)
    both.discard(1)
    assert both.missing(1, [1]) == [1] and both.missing(2, [1]) == []


def test_texts_beside_images_are_kept_once_and_go_with_the_campaign(tmp_path: Path) -> None:
    fake, references = filled(3)
    kept = shelf(fake, tmp_path)
    assert kept.missing_beside(1, [1, 2, 3]) == [1, 2, 3] and kept.beside(1) is None
    put(kept, 1, references)
    alone = kept.digests(1, [1, 2, 3]).tolist()
    kept.keep_beside(1, {1: "one", 2: ""})
    kept.keep_beside(1, {2: "later", 3: "three"})
    again = shelf(fake, tmp_path)
    assert again.missing_beside(1, [1, 2, 3, 4]) == [4] and not again.holds_texts(1)
    texts = again.beside(1)
    assert texts is not None and texts.batch(texts.rows([3, 2, 1])) == ["three", "", "one"]
    assert again.digests(1, [1, 2, 3]).tolist() == alone + texts.keys(texts.rows([1, 2, 3])).tolist()  # what other machines have of both
    again.discard(1)
    assert again.missing_beside(1, [1]) == [1]


def test_bad_images_are_named_and_the_others_kept(tmp_path: Path) -> None:
    fake, references = filled()
    fake.media["/data/3.png"] = b"<html>no</html>"
    fake.media["/data/4.png"] = b""
    fake.media["/data/30.png"] = png(200, 0)
    del fake.media["/data/5.png"]
    found = shelf(fake, tmp_path)
    reasons = put(found, 1, references)
    assert reasons.keys() == {3, 4, 5, 30}
    assert "web page" in reasons[3] and "0 bytes" in reasons[4] and "404" in reasons[5] and "10,000" in reasons[30]
    assert found.missing(1, list(references)) == [3, 4, 5, 30]


def test_if_no_image_can_be_read_all_have_a_reason_and_nothing_is_kept(tmp_path: Path) -> None:
    fake, references = filled(5)
    fake.media = dict.fromkeys(fake.media, b"not an image")
    found = shelf(fake, tmp_path)
    assert put(found, 1, references).keys() == set(references)
    assert found.size(1) is None and found.missing(1, [1]) == [1]


def test_label_studio_going_away_is_an_error_and_what_came_before_is_kept(tmp_path: Path) -> None:
    fake, references = filled(LOOKED_AT + 60)
    n = 0

    def before(method: str) -> None:
        nonlocal n
        n += 1
        fake.down = n > LOOKED_AT + 30

    fake.before = before
    found = shelf(fake, tmp_path)
    with pytest.raises(LabelStudioError):
        put(found, 1, references)
    fake.down, fake.before = False, None
    left = shelf(fake, tmp_path).missing(1, list(references))
    assert 0 < len(left) < 60
    assert put(found, 1, {task: references[task] for task in left}) == {}


def test_a_stop_ends_the_fetching(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    fake, references = filled(60)
    with pytest.raises(Stop):
        put(shelf(fake, tmp_path), 1, references, stop)


def test_what_one_machine_has_fetched_another_takes_from_the_shared_cache(tmp_path: Path) -> None:
    fake, references = filled()
    shared = SharedCache(f"file://{tmp_path / 'shared'}")
    assert put(shelf(fake, tmp_path / "one", shared), 1, references) == {}
    other = shelf(fake, tmp_path / "two", SharedCache(f"file://{tmp_path / 'shared'}"))
    assert other.missing(1, [1]) == [1]
    fake.media["/data/41.png"] = png(28, 41)
    assert put(other, 1, {**references, 41: "/data/41.png"}) == {}
    assert fake.calls.count("fetch_media") == len(references) + 1  # only the new one was fetched again
    assert other.size(1) == 32 and other.missing(1, [*references, 41, 42]) == [42]
    both = [each.digests(1, sorted(references)).tolist() for each in (shelf(fake, tmp_path / "one"), other)]
    assert both[0] == both[1] and len(set(both[0])) == len(references)


def test_an_ended_campaign_leaves_nothing_in_the_shared_cache(tmp_path: Path) -> None:
    fake, references = filled(3)
    shared = SharedCache(f"file://{tmp_path / 'shared'}")
    here = shelf(fake, tmp_path / "one", shared)
    put(here, 1, references)
    put(here, 2, references)
    here.discard(1)
    assert shared.places("images") == ["campaign-2"]
    assert shelf(fake, tmp_path / "two", shared)._pulled(1, None, beat) is None


def test_images_of_campaigns_that_ended_on_other_machines_are_swept_away(tmp_path: Path) -> None:
    fake, references = filled(3)
    here = shelf(fake, tmp_path)
    for campaign in (1, 2, 3):
        put(here, campaign, references)
    (tmp_path / "something else").mkdir()
    shelf(fake, tmp_path).sweep(lambda: [2])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["campaign-2", "something else"]


def mixed(n_small: int, n_large: int) -> tuple[FakeLabelStudio, dict[int, str]]:
    """Thumbnails first, then photos."""
    fake = FakeLabelStudio()
    small, large = png(30, 1), png(90, 2)
    sides = [small] * n_small + [large] * n_large
    fake.media = {f"/data/{task}.png": content for task, content in enumerate(sides, start=1)}
    return fake, {task: f"/data/{task}.png" for task in range(1, len(sides) + 1)}


@pytest.mark.slow
@pytest.mark.parametrize(("n_small", "n_large", "side"), [(30, 270, 128), (200, 400, 128), (400, 200, 32), (270, 30, 32)])
def test_the_form_follows_the_whole_project_not_its_first_images(tmp_path: Path, n_small: int, n_large: int, side: int) -> None:
    fake, references = mixed(n_small, n_large)
    kept = shelf(fake, tmp_path)
    assert put(kept, 1, references) == {}
    assert kept.size(1) == side
    assert fake.calls.count("fetch_media") == len(references)  # what was looked at is not fetched again


def test_a_form_that_was_recorded_holds_whatever_comes_and_wherever_it_is_fetched(tmp_path: Path) -> None:
    fake, references = filled()
    elsewhere = shelf(fake, tmp_path / "another machine")
    assert elsewhere.fetch(1, references, ImageForm(128), beat) == {}
    assert elsewhere.size(1) == 128


def deep_png(top: int) -> bytes:
    made = io.BytesIO()
    Image.fromarray(np.full((32, 32), top, dtype=np.uint16)).save(made, "PNG")
    return made.getvalue()


def test_deep_gray_has_one_range_for_the_whole_campaign_also_after_a_restart(tmp_path: Path) -> None:
    fake = FakeLabelStudio()
    fake.media = {f"/data/{task}.png": deep_png(2000 if task % 2 else 4000) for task in range(1, 41)}
    references = {task: f"/data/{task}.png" for task in range(1, 41)}
    kept = shelf(fake, tmp_path)
    form, _ = kept.look(1, references, beat)
    assert form == ImageForm(32, GrayRange(0, 4095))
    kept.fetch(1, {task: references[task] for task in range(1, 21)}, form, beat)
    later = shelf(fake, tmp_path)  # a fresh process, which knows the form from the history alone
    assert later.missing(1, list(references)) == list(range(21, 41))
    later.fetch(1, {task: references[task] for task in range(21, 41)}, form, beat)
    cache = ImageCache(tmp_path / "campaign-1", 32)
    shades = [int(cache.batch(cache.rows([task]))[0, 0, 0, 0]) for task in range(1, 41)]
    assert shades == [125 if task % 2 else 249 for task in range(1, 41)]
