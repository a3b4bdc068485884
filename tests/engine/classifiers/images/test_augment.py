"""What random changes do to a batch, and that a seed repeats them."""

from __future__ import annotations

import pytest
import torch

from mcal_engine.classifiers.images.augment import ERASED_SIDE, LARGEST_SHIFT, changed

pytestmark = pytest.mark.slow


def batch(n: int = 200, side: int = 28) -> torch.Tensor:
    """Images that are 1 + column number, so that where a pixel came from can be seen."""
    return (1 + torch.arange(side, dtype=torch.float32)).expand(n, 3, side, side).clone()


def test_a_seed_repeats_the_changes_and_another_gives_others():
    first, second, other = (changed(batch(), torch.Generator().manual_seed(seed), mirror=True) for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_without_mirroring_columns_stay_in_order_and_move_a_little():
    out = changed(batch(), torch.Generator().manual_seed(0), mirror=False)
    reach = round(28 * LARGEST_SHIFT)
    middle = out[:, :, :, 14]
    kept = middle[middle > 0]
    assert kept.min() >= 15 - reach
    assert kept.max() <= 15 + reach
    assert len(kept.unique()) == 2 * reach + 1


def test_with_mirroring_about_half_run_the_other_way():
    out = changed(batch(), torch.Generator().manual_seed(0), mirror=True)
    backwards = (out[:, 0, 0, 3] > out[:, 0, 0, 24]).float().mean()
    assert 0.3 < backwards < 0.7


def test_some_images_lose_a_square_of_the_mean_colour():
    out = changed(batch(), torch.Generator().manual_seed(0), mirror=False)
    holes = (out == 0).all(dim=1).sum(dim=(1, 2))
    assert set(holes.tolist()) == {0, round(28 * ERASED_SIDE) ** 2}
    assert 0.1 < (holes > 0).float().mean() < 0.4
