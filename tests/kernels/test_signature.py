from __future__ import annotations

import pytest
from half_programs import RULES
from hypothesis import given, settings
from hypothesis import strategies as st
from minifloat_programs import RULES as MINIFLOAT_RULES

from intlower.kernels.signature import OPERATORS, ElementType, KernelKey, Requantize


@st.composite
def keys(draw: st.DrawFn) -> KernelKey:
    operator = draw(st.sampled_from(sorted(OPERATORS)))
    schema = OPERATORS[operator]
    admitted = [
        element
        for element in ElementType
        if element is not ElementType.FLOAT16 or schema.half or schema.moves_floats
    ]
    elements = st.sampled_from(admitted)
    minifloat = draw(st.sampled_from(MINIFLOAT_RULES)) if schema.minifloat else None
    activation = ElementType(f"s{minifloat.bits}") if minifloat else draw(elements)
    return KernelKey(
        operator=operator,
        activation=activation,
        weight=draw(elements) if schema.weighted else None,
        per_channel=schema.weighted and draw(st.booleans()),
        output=draw(elements) if schema.requantized or schema.converts else activation,
        requantize=draw(st.sampled_from(list(Requantize))) if schema.requantized else None,
        half=draw(st.sampled_from(RULES)) if schema.half else None,
        minifloat=minifloat,
        variant=draw(st.sampled_from(["", "portable", "avx2", "avx512vnni"])),
    )


@settings(deadline=None)
@given(keys())
def test_parse_is_the_inverse_of_str(key: KernelKey) -> None:
    assert KernelKey.parse(str(key)) == key


@pytest.mark.parametrize(
    "name",
    [
        "",
        "conv2d",
        "conv2d_s8_s8",
        "conv2d_s8_s8c_s8",
        "dance_s8",
        "concat_s8_s8",
        "conv2d_s8_s8c_s8__f64even",
        "concat_s9",
    ],
)
def test_parse_refuses_what_names_no_kernel(name: str) -> None:
    with pytest.raises(ValueError, match=r"kernel name|requantization"):
        KernelKey.parse(name)
