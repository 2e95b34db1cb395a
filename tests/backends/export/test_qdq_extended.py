"""Operators of newer networks between quantizers: what onnxruntime makes of them is what the program makes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import networks
import networks_extended
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from program_builder import EIGHT_BITS
from strategies import draw_codes, instructions

import intlower
from intlower.backends.export.qdq import to_qdq
from intlower.backends.export.qdq_functions import Slope, recognized
from intlower.backends.lowering.tables import codes_of
from intlower.compiler.constant import Constant
from intlower.compiler.errors import ExportError
from intlower.compiler.grids import UniformGrid
from intlower.compiler.operators import Elementwise, Function
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import quantize_inputs, run_reference
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import ElementType

# Nothing is rounded in them, or by a table that the file holds: another runtime has the same integers.
EXACT = ("transpose", "gather", "lookup", "lookup_channels", "lookup_interpolated", "constant")
WIDE = (ElementType.INT16, ElementType.UINT16)
NETWORKS = (
    networks_extended.squeeze_excitation,
    networks_extended.activations,
    networks_extended.upsampling_head,
    networks_extended.token_mixer,
    networks_extended.attention,
)


def run(model: onnx.ModelProto, codes: Any) -> dict[str, NDArray[Any]]:
    """Run a model in onnxruntime as it is written."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, codes), strict=True))


@pytest.mark.parametrize("operator", EXACT)
def test_what_moves_and_looks_up_codes_is_exact(operator: str) -> None:
    elements = WIDE if operator == "lookup_interpolated" else EIGHT_BITS

    @settings(deadline=None, max_examples=12)
    @given(instructions(operator, elements), st.integers(0, 2**32 - 1), st.integers(0, 3))
    def check(program: IntegerProgram, seed: int, mode: int) -> None:
        sizes = {name: program.tensors[name].shape[0] for name in program.inputs}
        codes = {
            name: array[: sizes[name]]
            for name, array in draw_codes(program, seed, mode).items()
        }
        model = to_qdq(program, integer_edges=True)
        onnx.checker.check_model(model, full_check=True)
        found = run(model, codes)
        for name, expected in run_reference(program, codes).items():
            assert np.array_equal(found[name], expected)

    check()


@pytest.mark.parametrize("target", ["tensorrt", "snpe", "ceva:weights=per_channel"])
@pytest.mark.parametrize("make", NETWORKS, ids=lambda make: str(make.__name__))
def test_a_network_computes_what_its_program_computes(
    make: Any, target: str, tmp_path: Path
) -> None:
    model = make(seed=1)
    onnx.save(model, tmp_path / "model.onnx")
    samples = networks.random_inputs(model, batch=4)
    program = intlower.compile(tmp_path / "model.onnx", target=target, samples=samples)
    codes = quantize_inputs(program, samples)
    expected = intlower.simulate_integers(program, codes)
    written = to_qdq(program, integer_edges=True)
    onnx.checker.check_model(written, full_check=True)
    for name, found in run(written, codes).items():
        difference = np.abs(found.astype(np.int64) - expected[name])
        # A runtime rounds in its own way between the grids; tensorrt's rule is nearly onnxruntime's.
        assert (difference <= 1).mean() > 0.97
        if target == "tensorrt":
            assert (difference == 0).mean() > 0.95


def test_functions_are_written_as_what_they_are(tmp_path: Path) -> None:
    model = networks_extended.activations(seed=1)
    onnx.save(model, tmp_path / "model.onnx")
    samples = networks.random_inputs(model, batch=4)
    program = intlower.compile(tmp_path / "model.onnx", target="tensorrt", samples=samples)
    written = Counter(node.op_type for node in to_qdq(program).graph.node)
    assert {"HardSwish", "Sigmoid", "LeakyRelu", "Tanh"} <= set(written)


def grid(step: float, zero_point: int = 0) -> UniformGrid:
    """A grid of all 256 codes."""
    return UniformGrid(
        scale=Constant.of(step, np.float32),
        zero_point=zero_point,
        element=ElementType.INT8,
        minimum=-128,
        maximum=127,
        rounding=Rounding.HALF_EVEN,
    )


@settings(deadline=None)
@given(
    st.integers(1, 200).map(lambda hundredths: hundredths / 100),
    st.floats(0.01, 0.2),
    st.integers(-100, 100),
)
def test_a_slope_is_found_from_its_codes(below: float, step: float, zero_point: int) -> None:
    source, target = grid(step), grid(step * 1.7, zero_point)
    x = np.arange(-128.0, 128.0) * source.step
    table = codes_of(target, np.where(x < 0, x * below, x))
    found = recognized(table, source, target)
    assert found is not None
    function, _ = found
    assert isinstance(function, Slope)
    written = np.where(x < 0, x * function.below, x * function.above)
    assert np.array_equal(codes_of(target, written), table)


def test_a_table_that_is_no_known_function_stays_a_table() -> None:
    source = target = grid(0.05)
    table = target.quantize(np.sin(source.dequantize(np.arange(-128, 128))))
    assert recognized(table, source, target) is None
    table = target.quantize(np.tanh(source.dequantize(np.arange(-128, 128))))
    assert recognized(table, source, target) == (Elementwise(function=Function.TANH), False)


def test_a_local_response_normalization_is_refused_by_name(tmp_path: Path) -> None:
    model = networks_extended.normalizations(seed=1)
    onnx.save(model, tmp_path / "model.onnx")
    samples = networks.random_inputs(model, batch=4)
    program = intlower.compile(tmp_path / "model.onnx", target="tensorrt", samples=samples)
    with pytest.raises(ExportError, match=r"'lrn_.*' is a lrn"):
        to_qdq(program)
