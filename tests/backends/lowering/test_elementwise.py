from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from graph_building import Step, graph_of
from hypothesis import given, settings
from hypothesis import strategies as st
from lowered_graphs import SPECS, instruction, lower, run, steps_from_float

from intlower.backends.lowering.elementwise import SOFTMAX_FRACTION_BITS, exponential_table
from intlower.backends.snpe import TARGET as SNPE_FAMILY
from intlower.backends.tensorrt import TARGET as TENSORRT
from intlower.compiler.errors import ScaleOutOfRange, UnsupportedByTarget
from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph
from intlower.compiler.grids import UniformSpec
from intlower.compiler.operators import Add, Clip, Concat, Relu, Softmax
from intlower.compiler.program import HostStep
from intlower.compiler.simulator import simulate
from intlower.compiler.spec import SoftmaxRule, TargetSpec
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import Requantize

SNPE = SNPE_FAMILY.member("")

# In steps of the output: what is rescaled is rounded once.
ROUNDED = 0.501

both = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
IMAGE = (None, 2, 3, 4)


def two(step: Step, activation: Relu | Clip | None = None) -> Graph:
    graph = graph_of({"a": IMAGE, "b": IMAGE}, [step], "y")
    return graph.edit(nodes=[replace(graph.nodes[0], activation=activation)])


def uniform(
    seed: int, **limits: tuple[float, float]
) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    generator = np.random.default_rng(seed)
    return {
        name: generator.uniform(*limit, (4, *IMAGE[1:])).astype(np.float32)
        for name, limit in limits.items()
    }


@both
@given(
    seed=st.integers(0, 999),
    reach=st.tuples(st.floats(0.01, 100), st.floats(0.01, 100)),
    activation=st.sampled_from([None, Relu(), Clip(minimum=0.0, maximum=0.5)]),
)
@settings(deadline=None, max_examples=25)
def test_a_sum_is_the_float_sum_rounded_once(
    spec: TargetSpec, seed: int, reach: tuple[float, float], activation: Relu | Clip | None
) -> None:
    graph = two((Add(), "a b", "y"), activation)
    limits = {"a": (-reach[0], reach[0]), "b": (0.0, reach[1])}
    low, high = -reach[0], sum(reach)
    if activation is not None:
        low, high = 0.0, min(high, activation.maximum)
    program = lower(graph, spec, {**limits, "y": (low, high)})
    error = steps_from_float(program, graph, uniform(seed, **limits), "y").max()
    assert error <= 0.51 + (0.5 if activation is not None else 0.0)


def test_wide_codes_keep_fewer_fraction_bits_in_a_sum() -> None:
    wide = UniformSpec(bits=16, signed=False, symmetric=False, rounding=Rounding.HALF_AWAY)
    spec = replace(SNPE.spec, activations=wide)
    graph = two((Add(), "a b", "y"))
    limits = {"a": (-1.0, 1.0), "b": (0.0, 3.0)}
    program = lower(graph, spec, {**limits, "y": (-1.0, 4.0)})
    assert instruction(program, "node_y").attributes["left_shift"] == 13
    assert steps_from_float(program, graph, uniform(0, **limits), "y").max() <= 0.6


def test_a_sum_far_past_its_output_is_refused() -> None:
    graph = two((Add(), "a b", "y"))
    with pytest.raises(ScaleOutOfRange, match="node_y"):
        lower(graph, SNPE.spec, {"a": (0.0, 1e7), "b": (0.0, 1.0), "y": (0.0, 0.01)})


@both
def test_a_sum_of_two_ranks_is_refused_by_name(spec: TargetSpec) -> None:
    graph = graph_of({"a": (None, 1, 2), "row": (2,)}, [(Add(), "a row", "y")], "y")
    with pytest.raises(UnsupportedByTarget, match=r"node_y.*differ in rank or batch"):
        lower(graph, spec, {"a": (0.0, 1.0), "row": (0.0, 1.0), "y": (0.0, 2.0)})


@both
def test_a_concatenation_rescales_only_what_is_on_another_grid(spec: TargetSpec) -> None:
    graph = graph_of({"a": IMAGE, "b": IMAGE}, [(Concat(axis=1), "a b a", "y")], "y")
    limits = {"a": (-1.0, 3.0), "b": (-0.5, 0.5)}
    program = lower(graph, spec, {**limits, "y": (-1.0, 3.0)})
    assert [i.kernel.operator for i in program.instructions] == ["requantize", "concat"]
    assert instruction(program, "node_y").inputs == ("a", "y.input1", "a")
    samples = uniform(0, **limits)
    assert steps_from_float(program, graph, samples, "y").max() <= ROUNDED
    codes = run(program, samples)
    assert np.array_equal(codes["y"][:, :2], codes["a"])


@both
def test_a_concatenation_along_the_batch_is_refused(spec: TargetSpec) -> None:
    graph = graph_of({"a": (1, 2, 3, 4)}, [(Concat(axis=0), "a a", "y")], "y")
    with pytest.raises(UnsupportedByTarget, match="the batch cannot be concatenated"):
        lower(graph, spec, {"a": (0.0, 1.0), "y": (0.0, 1.0)})


@both
@pytest.mark.parametrize("activation", [Relu(), Clip(minimum=-0.5, maximum=0.75)])
def test_an_activation_on_its_own_is_a_requantization(
    spec: TargetSpec, activation: Relu | Clip
) -> None:
    graph = graph_of({"a": IMAGE}, [(activation, "a", "y")], "y")
    high = min(activation.maximum, 2.0)
    program = lower(graph, spec, {"a": (-1.0, 2.0), "y": (max(activation.minimum, -1.0), high)})
    assert [i.kernel.operator for i in program.instructions] == ["requantize"]
    error = steps_from_float(program, graph, uniform(0, a=(-1.0, 2.0)), "y").max()
    assert error <= ROUNDED + 0.5  # a bound of Clip lies between two codes


def test_a_requantization_whose_left_shift_would_overflow_is_refused() -> None:
    graph = graph_of({"a": IMAGE}, [(Relu(), "a", "y")], "y")
    double = replace(SNPE.spec, rescale=Requantize.MUL31DOUBLE)
    with pytest.raises(ScaleOutOfRange, match="node_y"):
        lower(graph, double, {"a": (0.0, 1e9), "y": (0.0, 0.01)})


def softmax(axis: int = 1) -> Graph:
    return graph_of({"a": IMAGE}, [(Softmax(axis=axis), "a", "p")], "p")


RANGES = {"a": (-6.0, 6.0), "p": (0.0, 1.0)}


def test_a_final_softmax_runs_on_the_host_in_float() -> None:
    program = lower(softmax(), TENSORRT.spec, RANGES)
    assert program.outputs == ("a",)
    assert program.host == (HostStep(operator="Softmax", input="a", output="p", axis=1),)
    samples = uniform(0, a=(-6.0, 6.0))
    rounded = program.tensors["a"].grid.dequantize(
        program.tensors["a"].grid.quantize(samples["a"])
    )
    expected = evaluate(softmax(), {"a": rounded})["p"]
    np.testing.assert_allclose(simulate(program, samples)["p"], expected, atol=1e-6)


@both
def test_a_softmax_along_the_batch_is_refused(spec: TargetSpec) -> None:
    with pytest.raises(UnsupportedByTarget, match="along the batch"):
        lower(softmax(axis=0), spec, RANGES)


@pytest.mark.parametrize(
    "spec", [SNPE.spec, replace(TENSORRT.spec, softmax=SoftmaxRule.INTEGER_TABLE)]
)
@given(seed=st.integers(0, 999), reach=st.floats(0.1, 50.0))
@settings(deadline=None, max_examples=25)
def test_a_softmax_in_integers_is_within_a_step_of_the_float_one(
    spec: TargetSpec, seed: int, reach: float
) -> None:
    program = lower(softmax(), spec, {**RANGES, "a": (-reach, reach)})
    samples = uniform(seed, a=(-reach, reach))
    assert steps_from_float(program, softmax(), samples, "p").max() <= 1.0


@given(reach=st.floats(1e-3, 1e3))
@settings(deadline=None, max_examples=25)
def test_the_table_of_exponentials_is_right_to_half_of_its_last_bit(reach: float) -> None:
    grid = SNPE.spec.activations.grid(0.0, reach)
    table = exponential_table(grid)
    assert table.shape == (256,)
    exact = [math.exp(-float(grid.scale.array) * d) for d in range(256)]
    error = np.abs(table / 2.0**SOFTMAX_FRACTION_BITS - exact)
    assert error.max() < 2.0**-SOFTMAX_FRACTION_BITS
    assert table[0] == 1 << SOFTMAX_FRACTION_BITS


def test_a_target_may_round_sums_once() -> None:
    graph = two((Add(), "a b", "y"))
    limits = {"a": (-1.0, 1.0), "b": (0.0, 3.0)}
    spec = replace(SNPE.spec, requantize=Requantize.MUL31SINGLE)
    program = lower(graph, spec, {**limits, "y": (-1.0, 4.0)})
    assert steps_from_float(program, graph, uniform(0, **limits), "y").max() <= 0.51
