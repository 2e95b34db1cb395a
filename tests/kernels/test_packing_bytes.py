from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from intlower.kernels.isa import ISAS
from intlower.kernels.packing_bytes import HEADER_BYTES, PackedBytes, pack_bytes

AVX2 = ISAS["avx2"]


@st.composite
def weights(draw: st.DrawFn) -> NDArray[np.int64]:
    """Return int8 weights [O, K]: of any size, of the ends, or few large ones among small ones."""
    shape = (draw(st.integers(1, 40)), draw(st.integers(1, 70)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["any", "low", "high", "ends", "outliers"]))
    small = generator.integers(-9, 10, shape)
    values = {
        "any": generator.integers(-128, 128, shape),
        "low": np.full(shape, -128),
        "high": np.full(shape, 127),
        "ends": generator.choice([-128, 127], shape),
        "outliers": np.where(generator.random(shape) < 0.03, 127, small),
    }
    return values[kind].astype(np.int64)


def panels(
    packed: PackedBytes, columns: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int8], int]]:
    """Return of every panel its words' sources, its weights [words, columns, 4], and how many words are paired."""
    found = []
    for number, place in enumerate(packed.places.reshape(-1)):
        data = packed.data[place:]
        pairs, singles, start = data[:HEADER_BYTES].view(np.int64)
        words = int(2 * pairs + singles)
        offsets = data[HEADER_BYTES : HEADER_BYTES + 4 * words].view(np.int32)
        width = min(AVX2.columns, columns - number % packed.places.shape[1] * AVX2.columns)
        body = data[start : start + words * width * 4].view(np.int8)
        found.append((offsets // 4, body.reshape(words, width, 4), int(2 * pairs)))
    return found


@settings(deadline=None)
@given(weights(), st.integers(0, 255), st.integers(0, 255))
def test_no_16_bit_sum_of_a_panel_can_saturate(
    matrix: NDArray[np.int64], one: int, other: int
) -> None:
    """Each sum is formed with the operands that drive it furthest, at both ends."""
    low, high = min(one, other), max(one, other)
    packed = pack_bytes(matrix, groups=1, isa=AVX2, low=low, high=high, zero_point=low)
    for _, words, paired in panels(packed, packed.columns):
        sums = words.astype(np.int64).reshape(len(words), -1, 2)
        ends = np.stack([sums.clip(min=0).sum(axis=2), sums.clip(max=0).sum(axis=2)]) * (
            high - low
        )
        together = ends[:, 0:paired:2] + ends[:, 1:paired:2]
        for formed in (ends, together):
            assert formed.max(initial=0) < 1 << 15
            assert formed.min(initial=0) >= -(1 << 15)


@settings(deadline=None)
@given(weights(), st.integers(1, 255), st.integers(0, 2**32 - 1))
def test_the_words_of_a_panel_add_up_to_the_product(
    matrix: NDArray[np.int64], high: int, seed: int
) -> None:
    packed = pack_bytes(matrix, groups=1, isa=AVX2, low=0, high=high, zero_point=0)
    row = np.zeros(packed.words * 4, np.int64)
    row[: matrix.shape[1]] = np.random.default_rng(seed).integers(
        0, high, matrix.shape[1], endpoint=True
    )
    sums = np.concatenate(
        [
            np.einsum("wcf,wf->c", words.astype(np.int64), row.reshape(-1, 4)[sources])
            for sources, words, _ in panels(packed, packed.columns)
        ]
    )
    assert np.array_equal(sums[: len(matrix)], matrix @ row[: matrix.shape[1]])
    assert not sums[len(matrix) :].any()


def test_operands_of_7_bits_need_no_split_and_pair_where_weights_are_small() -> None:
    """127 * 2 * 128 = 32512: every word stands alone; weights of up to 64 stand in pairs."""
    largest = np.full((16, 64), -128)
    small = np.full((16, 64), 64)
    for matrix, cost in ((largest, 2 * 16), (small, 3 * 8)):
        packed = pack_bytes(matrix, groups=1, isa=AVX2, low=128, high=255, zero_point=128)
        assert packed.cost == cost


def test_operands_of_8_bits_split_the_words_that_need_it() -> None:
    matrix = np.full((16, 8), 64)
    assert pack_bytes(matrix, groups=1, isa=AVX2, low=0, high=255, zero_point=0).cost == 4
    matrix[3, 1] = 65
    assert pack_bytes(matrix, groups=1, isa=AVX2, low=0, high=255, zero_point=0).cost == 5 + 1
