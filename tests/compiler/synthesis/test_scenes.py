from __future__ import annotations

import numpy as np
import pytest

from intlower.compiler.synthesis.scenes import dead_leaves, pink_noise, scenes


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 7, 50), (3, 1, 1)])
def test_scenes_are_pixels_and_follow_from_the_seed(shape: tuple[int, int, int]) -> None:
    made, again, other = (scenes(4, *shape, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert made.shape == (4, *shape)
    assert made.dtype == np.float32
    assert made.min() >= 0
    assert made.max() <= 1
    np.testing.assert_array_equal(made, again)
    assert not np.array_equal(made, other)


def test_neighbours_are_more_alike_than_strangers() -> None:
    for make in (dead_leaves, pink_noise):
        image = make(3, 64, 64, np.random.default_rng(2))
        near = np.abs(image[:, :, 1:] - image[:, :, :-1]).mean()
        far = np.abs(image[:, :, 32:] - image[:, :, :-32]).mean()
        assert near < 0.6 * far


def test_noise_that_is_no_image_is_centred() -> None:
    noise = pink_noise(1, 49, 10, np.random.default_rng(3), clipped=False)
    assert noise.std() == pytest.approx(1.0)
    assert noise.min() < -1
