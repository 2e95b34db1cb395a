from __future__ import annotations

from dataclasses import replace

import networks
import numpy as np
import onnx
import pytest
from graph_building import Step, graph_of
from lowered_graphs import (
    NEAREST,
    ORIGIN,
    SPECS,
    lower,
    lower_with_samples,
    run,
    steps_from_float,
)

from intlower.backends.snpe import TARGET as SNPE_FAMILY
from intlower.compiler.errors import UnsupportedByTarget
from intlower.compiler.evaluate import evaluate
from intlower.compiler.importer import import_model
from intlower.compiler.operators import (
    LRN,
    AnyOperator,
    Conv,
    ConvTranspose,
    Flatten,
    Identity,
    MatMul,
    MaxPool,
    Pad,
    Reshape,
    Slice,
    Softmax,
)
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.standard import STANDARD_PASSES
from intlower.compiler.spec import TargetSpec

SNPE = SNPE_FAMILY.member("")

both = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
X = (None, 2, 4, 6)
LIMITS = (-1.0, 3.0)


@both
@pytest.mark.parametrize(
    "make",
    [
        networks.conv_bn_relu,
        networks.depthwise_separable,
        networks.residual_block,
        networks.concat_network,
        networks.slice_pad_shortcut,
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_integer_programs_stay_within_a_few_steps_of_the_float_graph(
    spec: TargetSpec, make: object, seed: int
) -> None:
    assert callable(make)
    model: onnx.ModelProto = make(seed=seed)
    graph = run_passes(import_model(model), STANDARD_PASSES)
    samples = networks.random_inputs(model, batch=4, seed=seed)
    program = lower_with_samples(graph, spec, samples)
    (output,) = program.outputs
    error = steps_from_float(program, graph, samples, output)
    assert error.mean() < 1.0
    assert error.max() < 6.0


@both
def test_a_program_has_the_names_and_the_origin_of_its_graph(spec: TargetSpec) -> None:
    graph = graph_of(
        {"x": X, "z": X},
        [(MaxPool(kernel_shape=(2, 2)), "x", "a"), (MaxPool(kernel_shape=(2, 2)), "z", "b")],
        "b a",
    )
    program = lower(graph, spec, dict.fromkeys("xzab", LIMITS))
    assert (program.inputs, program.outputs) == (("x", "z"), ("b", "a"))
    assert (program.target, program.origin) == (spec.name, ORIGIN)
    assert [i.name for i in program.instructions] == ["node_a", "node_b"]


def test_a_softmax_and_its_logits_are_one_output() -> None:
    graph = graph_of(
        {"x": (None, 4)}, [(Softmax(axis=1), "x", "p"), (Identity(), "x", "y")], "p y"
    )
    tensorrt = next(spec for spec in SPECS if spec.name == "tensorrt")
    program = lower(graph, tensorrt, {"x": LIMITS, "y": LIMITS})
    assert program.outputs == ("x", "y")
    assert [step.output for step in program.host] == ["p"]


MOVES: list[tuple[AnyOperator, str]] = [
    (Flatten(), "reshape"),
    (Reshape(shape=(0, 6, -1)), "reshape"),
    (Pad(pads=(0, 1, 0, 2, 0, 0, 3, 1)), "pad"),
    (Pad(pads=(0, 1, 0, 2, 0, 0, 3, 1), value=2.0), "pad"),
    (Slice(starts=(0, -1), ends=(2, -100), axes=(-2, 3), steps=(1, -2)), "slice"),
    (Identity(), "requantize"),
]


@both
@pytest.mark.parametrize(("operator", "kernel"), MOVES)
def test_movements_move_codes_as_the_float_graph_moves_values(
    spec: TargetSpec, operator: AnyOperator, kernel: str
) -> None:
    graph = graph_of({"x": X}, [(operator, "x", "y")], "y")
    program = lower(graph, spec, {"x": LIMITS, "y": LIMITS})
    assert [i.kernel.operator for i in program.instructions] == [kernel]
    samples = {"x": np.random.default_rng(0).uniform(*LIMITS, (3, 2, 4, 6)).astype(np.float32)}
    codes = run(program, samples)
    grid = program.tensors["x"].grid
    moved = evaluate(graph, {"x": grid.dequantize(codes["x"])})["y"]
    assert np.array_equal(codes["y"], grid.quantize(moved))


@both
@pytest.mark.parametrize("value", [50.0, -7.5])
def test_a_pad_beyond_the_input_widens_the_range_to_its_number(
    spec: TargetSpec, value: float
) -> None:
    pad = Pad(pads=(0, 0, 1, 1, 0, 0, 1, 1), value=value)
    graph = graph_of({"x": X}, [(pad, "x", "y")], "y")
    program = lower(graph, spec, {"x": LIMITS, "y": LIMITS})
    assert [i.kernel.operator for i in program.instructions] == ["requantize", "pad"]
    samples = {"x": np.random.default_rng(0).uniform(*LIMITS, (3, 2, 4, 6)).astype(np.float32)}
    codes = run(program, samples)
    grid = program.tensors["y"].grid
    border = codes["y"][:, :, 0, 0]
    assert np.array_equal(border, np.full_like(border, grid.quantize(value)))
    assert abs(float(grid.dequantize(border.reshape(-1)[0])) - value) <= grid.step / 2
    inside = program.tensors["x"].grid.dequantize(codes["x"])
    found = grid.dequantize(codes["y"])[:, :, 1:-1, 1:-1]
    assert np.abs(found - inside).max() <= 0.501 * grid.step


REFUSED: list[tuple[Step, str]] = [
    ((Pad(pads=(0, 0, 0, 0, 1, 0, 0, 0)), "x", "y"), "the batch cannot be padded"),
    (
        (Slice(starts=(0,), ends=(1,), axes=(0,), steps=(1,)), "x", "y"),
        "the batch cannot be sliced",
    ),
    ((Reshape(shape=(4, -1)), "x", "y"), "across the batch"),
    ((Flatten(axis=2), "x", "y"), "across the batch"),
]


@both
@pytest.mark.parametrize(("step", "message"), REFUSED)
def test_what_no_integer_program_can_do_is_refused_with_the_node(
    spec: TargetSpec, step: Step, message: str
) -> None:
    graph = graph_of({"x": (2, 2, 4, 6)}, [step], "y")
    with pytest.raises(UnsupportedByTarget, match=f"node_y: .*{message}"):
        lower(graph, spec, {"x": LIMITS, "y": LIMITS})


def test_all_operators_that_a_target_lacks_are_listed() -> None:
    graph = graph_of(
        {"x": X},
        [
            (Conv(), "x w", "a"),
            (LRN(size=3), "a", "b"),
            (MaxPool(kernel_shape=(2, 2)), "b", "c"),
            (MatMul(), "c m", "y"),
        ],
        "y",
        {"w": np.ones((2, 2, 1, 1)), "m": np.ones((5, 3))},
    )
    small = replace(SNPE.spec, operators=SNPE.spec.operators - {"Conv", "LRN", "MatMul"})
    with pytest.raises(UnsupportedByTarget) as caught:
        lower(graph, small, dict.fromkeys("xabcy", LIMITS))
    assert str(caught.value) == (
        "'snpe' does not run Conv at 'node_a'; LRN at 'node_b'; MatMul at 'node_y'"
    )
    assert "MaxPool" in caught.value.hint


def test_an_operator_without_an_integer_form_is_refused_even_if_a_target_lists_it() -> None:
    graph = graph_of(
        {"x": (None, 4, 3, 3)},
        [(ConvTranspose(), "x w", "y")],
        "y",
        {"w": np.ones((4, 3, 2, 2))},
    )
    spec = replace(SNPE.spec, operators=SNPE.spec.operators | {"ConvTranspose"})
    with pytest.raises(UnsupportedByTarget, match="node_y: ConvTranspose has no integer form"):
        lower(graph, spec, {"x": LIMITS, "y": LIMITS}, NEAREST)
