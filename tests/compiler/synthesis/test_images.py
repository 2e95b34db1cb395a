from __future__ import annotations

import torch

from intlower.compiler.synthesis.images import (
    InputModel,
    initial_noise,
    jittered,
    moved,
    quilted,
)


def model(low: float, high: float) -> InputModel:
    return InputModel(
        name="x",
        mean=torch.tensor([0.2, 0.0, -0.2]).reshape(3, 1, 1),
        std=0.5,
        minimum=low,
        maximum=high,
        is_image=True,
    )


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_noise_has_the_mean_and_std_of_the_input() -> None:
    noise = initial_noise(model(-9, 9), (64, 3, 32, 32), seeded())
    assert torch.allclose(noise.mean((0, 2, 3)), torch.tensor([0.2, 0.0, -0.2]), atol=0.15)
    assert torch.allclose(noise.std((0, 2, 3)), torch.tensor(0.5), atol=0.05)


def test_noise_is_smooth_and_in_its_box() -> None:
    noise = initial_noise(model(-0.5, 0.5), (8, 3, 32, 32), seeded())
    assert noise.abs().max() <= 0.5
    assert (noise[..., 1:] - noise[..., :-1]).std() < noise.std()  # white noise: 1.4 times


def test_vectors_begin_as_white_noise() -> None:
    vectors = InputModel(
        name="x", mean=torch.zeros(5), std=2.0, minimum=-9, maximum=9, is_image=False
    )
    noise = initial_noise(vectors, (400, 5), seeded())
    assert noise.shape == (400, 5)
    assert torch.allclose(noise.std(0), torch.tensor(2.0), atol=0.3)


def test_a_quilt_is_made_of_whole_pieces_on_their_grid() -> None:
    images = torch.arange(4.0).reshape(4, 1, 1, 1).expand(4, 1, 3, 5)
    quilt = quilted(images, 7, 8, seeded())
    assert quilt.shape == (4, 1, 7, 8)
    for rows in (slice(0, 3), slice(3, 6), slice(6, 7)):
        for columns in (slice(0, 5), slice(5, 8)):
            piece = quilt[:, 0, rows, columns].flatten(1)
            assert (piece == piece[:, :1]).all()
            assert sorted(piece[:, 0].tolist()) == [0, 1, 2, 3]


def test_a_quilt_mirrors_some_pieces() -> None:
    images = torch.arange(6.0).expand(16, 1, 2, 6)
    firsts = quilted(images, 2, 6, seeded())[:, 0, 0, 0].tolist()
    assert set(firsts) == {0.0, 5.0}


def test_jitter_keeps_the_numbers() -> None:
    images = torch.randn((2, 3, 6, 7), generator=seeded())
    shaken = jittered(images, seeded())
    assert torch.equal(shaken.flatten(1).sort().values, images.flatten(1).sort().values)


def test_moves_roll_then_mirror() -> None:
    row = torch.tensor([[1.0, 2.0, 3.0]])
    assert moved(row, (0, 1), False).tolist() == [[3, 1, 2]]
    assert moved(row, (0, 1), True).tolist() == [[2, 1, 3]]
