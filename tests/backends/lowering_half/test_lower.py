from __future__ import annotations

import math

import numpy as np
import pytest
from graph_building import graph_of
from lowered_graphs import ORIGIN

from intlower.backends.half import HALF_OPERATORS
from intlower.backends.lowering_half import lower_half
from intlower.backends.recipes_half import half_recipe
from intlower.compiler.errors import ScaleOutOfRange, UnsupportedByTarget
from intlower.compiler.graph import Graph
from intlower.compiler.operators import (
    Add,
    AveragePool,
    Concat,
    Conv,
    Gemm,
    Identity,
    MaxPool,
    Pad,
    Relu,
    Reshape,
    Slice,
    Softmax,
)
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import run_reference
from intlower.compiler.spec import our_definition
from intlower.compiler.spec_half import HalfSpec, half_provenance
from intlower.kernels.half_rule import Subnormals

GENERATOR = np.random.default_rng(2)


def spec(saturate: bool = False) -> HalfSpec:
    reason = our_definition("for tests")
    return HalfSpec(
        name="half",
        title="Half",
        half_sums=False,
        subnormals=Subnormals.FLUSHED,
        saturate=saturate,
        operators=HALF_OPERATORS,
        provenance=half_provenance(half_sums=reason, subnormals=reason, saturate=reason),
    )


def lower(graph: Graph, saturate: bool = False) -> IntegerProgram:
    return lower_half(graph, {}, spec(saturate), half_recipe("half", "none"), ORIGIN)


def operators(program: IntegerProgram) -> list[str]:
    return [instruction.kernel.operator for instruction in program.instructions]


def test_every_operator_has_its_instruction() -> None:
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
    assert operators(program) == [
        "half_conv2d",
        "half_clip",
        "half_max_pool",
        "half_average_pool",
        "half_add",
        "concat",
        "half_pad",
        "slice",
        "reshape",
        "half_gemm",
    ]
    assert [step.operator for step in program.host] == ["Softmax"]
    assert program.outputs == ("y",)


def test_windows_at_a_border_are_divided_by_what_they_count() -> None:
    pool = AveragePool(kernel_shape=(3, 3), pads=(1, 1, 1, 1), count_include_pad=False)
    program = lower(graph_of({"x": (None, 1, 4, 4)}, [(pool, "x", "y")], "y"))
    ones = np.ones((1, 1, 4, 4), np.float16)
    assert (run_reference(program, {"x": ones})["y"] == 1).all()


def test_an_input_that_is_an_output_is_copied() -> None:
    program = lower(graph_of({"x": (None, 3)}, [(Identity(), "x", "y")], "y"))
    codes = np.array([[-math.inf, -0.0, 65504]], np.float16)
    found = run_reference(program, {"x": codes})["y"]
    assert np.array_equal(found.view(np.uint16), codes.view(np.uint16))


def test_a_weight_past_the_greatest_half_is_an_error_that_names_the_layer() -> None:
    graph = graph_of({"x": (None, 1)}, [(Gemm(), "x w", "y")], "y", {"w": [[70000.0]]})
    with pytest.raises(ScaleOutOfRange, match="node_y: a weight reaches 70000"):
        lower(graph)
    program = lower(graph, saturate=True)
    assert program.instructions[0].constants["weights"].array.item() == 65504


def test_subnormal_weights_are_flushed() -> None:
    graph = graph_of({"x": (None, 1)}, [(Gemm(), "x w", "y")], "y", {"w": [[-(2.0**-20)]]})
    weight = lower(graph).instructions[0].constants["weights"].array
    assert weight.view(np.uint16).item() == 0x8000


def test_a_softmax_inside_is_refused() -> None:
    graph = graph_of({"x": (None, 3)}, [(Softmax(axis=1), "x", "s"), (Relu(), "s", "y")], "y")
    with pytest.raises(UnsupportedByTarget, match="only at the end"):
        lower(graph)


@pytest.mark.parametrize(
    ("operator", "shape"),
    [
        (Reshape(shape=(-1, 4)), (3, 8)),
        (Pad(pads=(1, 0, 0, 0)), (3, 8)),
        (Slice(starts=(0,), ends=(1,), axes=(0,), steps=(1,)), (3, 8)),
        (Softmax(axis=0), (None, 8)),
    ],
)
def test_nothing_crosses_the_batch(operator: Reshape, shape: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedByTarget, match="batch"):
        lower(graph_of({"x": shape}, [(operator, "x", "y")], "y"))


def test_a_sum_with_a_constant_is_refused() -> None:
    graph = graph_of({"x": (None, 3)}, [(Add(), "x c", "y")], "y", {"c": [1.0, 2, 3]})
    with pytest.raises(UnsupportedByTarget, match="constant"):
        lower(graph)
