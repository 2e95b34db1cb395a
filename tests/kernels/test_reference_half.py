"""The oracle of half precision against loops that say nothing but the order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from half_programs import RULES, halves
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.kernels.half_rule import HalfRule
from intlower.kernels.numerics_half import quantize_half
from intlower.kernels.reference_half import half_conv2d, half_quantize
from intlower.kernels.signature import ElementType, KernelKey

F16 = ElementType.FLOAT16


def key_of(rule: HalfRule) -> KernelKey:
    return KernelKey(operator="half_conv2d", activation=F16, weight=F16, output=F16, half=rule)


def one_output(x: Any, w: Any, bias: Any, rule: HalfRule) -> Any:
    """One sum, number by number: x and w are [C, kh, kw]."""

    def once(value: np.float32) -> np.float32:
        return np.float32(quantize_half(value, rule)) if rule.half_sums else value

    total = np.float32(0)
    with np.errstate(all="ignore"):
        for c in range(x.shape[0]):
            for u in range(x.shape[1]):
                for v in range(x.shape[2]):
                    product = once(np.float32(x[c, u, v]) * np.float32(w[c, u, v]))
                    total = once(total + product)
        return quantize_half(total + np.float32(bias), rule)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(RULES), st.integers(0, 4), st.integers(0, 1000))
def test_a_convolution_sums_by_channel_row_and_column(
    rule: HalfRule, mode: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    x = halves(generator, mode, (1, 5, 3, 4), rule)
    w = halves(generator, mode, (2, 5, 3, 4), rule)
    bias = halves(generator, mode, (2,), rule)
    infinite = np.full(2, np.inf, np.float16)
    found = half_conv2d(
        key_of(rule),
        x,
        weights=w,
        bias=bias,
        minimum=-infinite,
        maximum=infinite,
        strides=(1, 1),
        pads=(0, 0, 0, 0),
        dilations=(1, 1),
        groups=1,
    )
    expected = np.array([one_output(x[0], w[o], bias[o], rule) for o in range(2)])
    assert np.array_equal(found.reshape(2).view(np.uint16), expected.view(np.uint16))


def test_the_order_of_a_sum_decides_its_bits() -> None:
    numbers = np.array([2048, 1, 1, 1], np.float16).reshape(1, 4, 1, 1)
    infinite = np.full(1, np.inf, np.float16)
    ascending, descending = (
        half_conv2d(
            key_of(HalfRule(half_sums=True)),
            codes,
            weights=np.ones((1, 4, 1, 1), np.float16),
            bias=np.zeros(1, np.float16),
            minimum=-infinite,
            maximum=infinite,
            strides=(1, 1),
            pads=(0, 0, 0, 0),
            dilations=(1, 1),
            groups=1,
        ).item()
        for codes in (numbers, numbers[:, ::-1])
    )
    assert (ascending, descending) == (2048, 2052)


@pytest.mark.parametrize(
    ("number", "code"),
    [(0.5, 10), (1.5, 12), (-0.5, 10), (np.nan, 10), (np.inf, 127), (-np.inf, -128)],
)
def test_quantizing_rounds_to_even_and_saturates(number: float, code: int) -> None:
    key = KernelKey.parse("half_quantize_f16_s8__f32acc")
    found = half_quantize(
        key,
        np.array([number], np.float16),
        multiplier=2,
        shift=1,
        output_zero_point=10,
        minimum=-128,
        maximum=127,
    )
    assert (found.dtype, found.tolist()) == (np.int8, [code])
