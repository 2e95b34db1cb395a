"""The lowering to minifloats: operators, exponent biases, biases, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from graph_building import graph_of
from hypothesis import given
from hypothesis import strategies as st
from program_builder import ORIGIN

from intlower.backends.lowering_minifloat import lower_minifloats
from intlower.backends.lowering_minifloat.builder import bias_fractions
from intlower.backends.lowering_minifloat.lower import published_exponent_bits
from intlower.backends.minifloat import MinifloatTarget, minifloat_target
from intlower.compiler.calibration import Range, Ranges
from intlower.compiler.discovery import load_target
from intlower.compiler.errors import CalibrationError, ScaleOutOfRange, TargetError
from intlower.compiler.graph import Graph
from intlower.compiler.grids import MinifloatGrid
from intlower.compiler.operators import (
    Add,
    AveragePool,
    Concat,
    Conv,
    Gemm,
    MaxPool,
    Pad,
    Relu,
    Reshape,
    Slice,
    Softmax,
)
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import run_reference

GENERATOR = np.random.default_rng(4)


def target(
    bits: int = 8, own_biases: bool = True, trimmed_biases: bool = False
) -> MinifloatTarget:
    return minifloat_target(
        "minifloat",
        bits=bits,
        even=False,
        own_biases=own_biases,
        trimmed_biases=trimmed_biases,
    )


def lower(graph: Graph, bound: float = 2.0, **options: bool | int) -> IntegerProgram:
    chosen = target(**options)  # type: ignore[arg-type]  # each option has its own type
    return lower_minifloats(
        graph, all_within(graph, bound), chosen.spec, chosen.recipe("none"), ORIGIN
    )


def all_within(graph: Graph, bound: float) -> Ranges:
    return {
        name: Range(minimum=-bound, maximum=bound * (1 + place), source="test")
        for place, name in enumerate(graph.values)
    }


def product(weight: float, bias: float) -> Graph:
    constants = {"w": [[weight]], "b": [bias]}
    return graph_of({"x": (None, 1)}, [(Gemm(), "x w b", "y")], "y", constants)


def test_every_operator_has_its_form() -> None:
    graph = graph_of(
        {"x": (None, 2, 6, 6)},
        [
            (Conv(pads=(1, 0, 0, 1)), "x w b", "c"),
            (Relu(), "c", "r"),
            (MaxPool(kernel_shape=(2, 2)), "r", "m"),
            (AveragePool(kernel_shape=(2, 2)), "r", "a"),
            (Add(), "m a", "s"),
            (Concat(axis=1), "s m", "j"),
            (Pad(pads=(0, 0, 1, 0, 0, 0, 0, 1), value=-1.5), "j", "p"),
            (Slice(starts=(1,), ends=(5,), axes=(2,), steps=(1,)), "p", "l"),
            (Reshape(shape=(0, -1)), "l", "f"),
            (Gemm(), "f v", "y"),
            (Softmax(axis=1), "y", "z"),
        ],
        "z",
        {
            "w": GENERATOR.standard_normal((3, 2, 2, 2)),
            "b": GENERATOR.standard_normal(3),
            "v": GENERATOR.standard_normal((4, 6 * 4 * 6)),
        },
    )
    program = lower(graph)
    assert [instruction.kernel.operator for instruction in program.instructions] == [
        "minifloat_conv2d",
        "minifloat_clip",
        "max_pool",
        "minifloat_average_pool",
        "minifloat_add",
        "minifloat_clip",
        "concat",
        "pad",
        "slice",
        "reshape",
        "minifloat_gemm",
    ]
    assert program.outputs == ("y",)
    assert program.tensors["m"].grid == program.tensors["r"].grid
    # Inputs of the concatenation that lie on its grid already are joined as they are.
    joined = next(i for i in program.instructions if i.kernel.operator == "concat")
    assert {program.tensors[name].grid for name in joined.inputs} == {program.tensors["j"].grid}
    published = lower(graph, own_biases=False)
    assert {tensor.grid for tensor in published.tensors.values()} == {
        MinifloatGrid.published(published.instructions[0].kernel.minifloat)  # type: ignore[arg-type]
    }


def test_each_tensor_has_the_exponents_of_its_range_or_all_have_the_published_ones() -> None:
    graph = product(0.01, 0.0)
    own, published = lower(graph, bound=3.0), lower(graph, bound=3.0, own_biases=False)
    assert own.tensors["x"].grid.real_limits[1] == 15.0
    assert own.instructions[0].attributes["weight_exponent_bias"] == 22
    assert published.instructions[0].attributes["weight_exponent_bias"] == 7
    # 0.01 is past 2**-7, whose code is that of 0; but half of 2**-7 would be lost.
    assert published.instructions[0].constants["weights"].array.item() == 2
    assert (
        lower(product(0.003, 0.0), own_biases=False)
        .instructions[0]
        .constants["weights"]
        .array.item()
        == 0
    )


@pytest.mark.parametrize(
    ("bound", "bits"), [(1.0, 4), (512.0, 4), (513.0, 5), (2.0**17, 5), (2.0**17 + 1, 6)]
)
def test_published_exponent_bits_hold_what_layers_read_and_give(
    bound: float, bits: int
) -> None:
    graph = product(1.0, 0.0)
    ranges = {
        "x": Range(minimum=-bound, maximum=0.0, source="test"),
        "y": Range(minimum=0.0, maximum=1.0, source="test"),
    }
    assert published_exponent_bits(graph, ranges, target().spec) == bits


def test_more_exponent_bits_than_there_are_is_an_error_that_names_the_value() -> None:
    with pytest.raises(ScaleOutOfRange, match=r"reaches .* 7 bits of exponent"):
        lower(product(1.0, 0.0), bound=1e12, own_biases=False)


def test_a_value_without_a_range_is_an_error_that_names_it() -> None:
    chosen = target()
    with pytest.raises(CalibrationError, match="'x' has no range"):
        lower_minifloats(product(1.0, 0.0), {}, chosen.spec, chosen.recipe("none"), ORIGIN)


@given(st.lists(st.floats(-1e7, 1e7, width=32), min_size=1, max_size=8))
def test_biases_are_kept_as_the_float32_numbers_they_are(numbers: list[float]) -> None:
    bias = np.array(numbers)
    integers, shifts = bias_fractions(bias, "it")
    found = np.ldexp(integers.astype(np.float64), -shifts.astype(np.int64))
    ordinary = (np.abs(bias) >= 2.0**-38) | (bias == 0)
    assert np.array_equal(found[ordinary], bias[ordinary])
    with pytest.raises(ScaleOutOfRange, match="it: a bias reaches"):
        bias_fractions(np.array([2.0**25]), "it")


def test_trimmed_biases_are_minifloats_of_the_weights() -> None:
    graph = product(1.0, 0.3)
    codes = np.zeros((1, 1), np.int8)
    kept = lower(graph).instructions[0].constants
    assert kept["bias"].array.item() / 2 ** kept["shift"].array.item() == np.float32(0.3)
    trimmed = lower(graph, trimmed_biases=True)
    constants = trimmed.instructions[0].constants
    assert constants["bias"].array.item() / 2 ** constants["shift"].array.item() == 0.3125
    found = run_reference(trimmed, {"x": codes})["y"]
    assert trimmed.tensors["y"].grid.dequantize(found).item() == 0.3125


def test_minifloats_and_powers_of_two_exclude_each_other() -> None:
    with pytest.raises(TargetError, match="fixed point") as caught:
        load_target("ristretto:precision=minifloat,weights=power_of_two")
    assert "bits=8|16" in str(caught.value.hint)
