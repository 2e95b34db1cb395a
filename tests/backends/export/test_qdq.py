from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import onnxruntime
import pytest
import shared_data
import strategies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import intlower
from intlower.backends.export.qdq import to_qdq
from intlower.backends.export.qdq_graph import to_unsigned
from intlower.compiler.constant import Constant
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import quantize_inputs
from intlower.kernels.signature import Requantize

TARGETS = ("snpe", "tensorrt")


def overhanging_means(**_: Any) -> onnx.ModelProto:
    """Average pools whose windows count differently: padding left out, padding counted, an overhang."""
    b = networks.NetworkBuilder()
    window: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [2, 2]}
    x = b.relu(b.conv("input", 8, 8, 3))
    out = b.node("AveragePool", x, pads=[1, 1, 1, 1], **window)
    counted = b.node("AveragePool", x, pads=[1, 1, 1, 1], count_include_pad=1, **window)
    over = b.node("AveragePool", b.node("Add", out, counted), ceil_mode=1, **window)
    return b.model({"input": ["N", 8, 9, 9]}, over)


NETWORKS: dict[str, Callable[..., onnx.ModelProto]] = {
    "conv_bn_relu": networks.conv_bn_relu,
    "depthwise_separable": networks.depthwise_separable,
    "residual_block": networks.residual_block,
    "classifier": networks.classifier,
    "concat_network": networks.concat_network,
    "slice_pad_shortcut": networks.slice_pad_shortcut,
    "overhanging_means": overhanging_means,
}


def small_program(name: str, target: str, folder: Path) -> tuple[IntegerProgram, Any]:
    """Return a small network compiled with the ranges of a few samples, and those samples."""
    model = NETWORKS[name](seed=3)
    onnx.save(model, folder / "model.onnx")
    samples = networks.random_inputs(model, batch=8, seed=4)
    return intlower.compile(folder / "model.onnx", target=target, samples=samples), samples


def run(
    model: onnx.ModelProto,
    inputs: Any,
    *,
    optimize: bool = True,
    optimized: Path | None = None,
) -> dict[str, NDArray[Any]]:
    """Run a model in onnxruntime's exact integer kernels; store what it makes of the model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.x64quantprecision", "1")
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_model_computes_what_the_program_computes(
    name: str, target: str, tmp_path: Path
) -> None:
    program, samples = small_program(name, target, tmp_path)
    codes = quantize_inputs(program, samples)
    expected = intlower.simulate_integers(program, codes)
    model = to_qdq(program, integer_edges=True)
    onnx.checker.check_model(model, full_check=True)
    for output, actual in run(model, codes, optimize=False).items():
        difference = np.abs(actual.astype(np.int64) - expected[output])
        # The runtime has a rounding of its own: a step near a tie, which later layers carry on. Equation (8) is nearly
        # its rounding; equation (11) rounds twice, which small sums meet often.
        assert difference.max() <= 2
        if program.instructions[0].kernel.requantize is Requantize.F32EVEN:
            assert (difference == 0).mean() > 0.99


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["residual_block", "classifier"])
def test_float_edges_quantize_and_dequantize_inside_the_model(
    name: str, target: str, tmp_path: Path
) -> None:
    program, samples = small_program(name, target, tmp_path)
    model = to_qdq(program)
    onnx.checker.check_model(model, full_check=True)
    actual = run(model, samples, optimize=False)
    expected = intlower.simulate(program, samples)
    assert actual.keys() == expected.keys()
    for output in expected:
        assert actual[output].dtype == np.float32
        grid = program.tensors[program.outputs[0]].grid
        # Two steps of the last grid, as above; a probability moves less than its logit.
        assert np.abs(actual[output] - expected[output]).max() <= 2.01 * float(grid.scale.array)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_onnxruntime_fuses_every_layer_to_an_integer_kernel(
    name: str, target: str, tmp_path: Path
) -> None:
    program, samples = small_program(name, target, tmp_path)
    codes = quantize_inputs(program, samples)
    expected = intlower.simulate_integers(program, codes)
    model = to_qdq(program, integer_edges=True, unsigned=True)
    actual = run(
        model,
        {key: to_unsigned(array) for key, array in codes.items()},
        optimized=tmp_path / "optimized.onnx",
    )
    fused = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    kernels = Counter(instruction.kernel.operator for instruction in program.instructions)
    assert fused["QLinearConv"] == kernels["conv2d"]
    assert fused["QGemm"] == kernels["gemm"]
    assert fused["QLinearAdd"] == kernels["add"]
    assert fused["Conv"] + fused["FusedConv"] + fused["Gemm"] + fused["Add"] == 0
    for output, array in expected.items():
        unsigned = to_unsigned(array).astype(np.int64)
        assert np.abs(actual[output] - unsigned).max() <= 2


def test_the_programs_names_are_kept(tmp_path: Path) -> None:
    program, _ = small_program("residual_block", "tensorrt", tmp_path)
    model = to_qdq(program)
    nodes = [node.name for node in model.graph.node]
    assert len(set(nodes)) == len(nodes)
    assert [value.name for value in model.graph.input] == list(program.inputs)
    assert [value.name for value in model.graph.output] == list(program.outputs)
    for instruction in program.instructions:
        assert instruction.name in nodes
    scales = {tensor.name: tensor for tensor in model.graph.initializer}
    for tensor in program.tensors.values():
        stored = onnx.numpy_helper.to_array(scales[f"{tensor.name}/scale"])
        assert np.array_equal(stored, tensor.grid.scale.array)


def test_the_same_program_gives_the_same_bytes(tmp_path: Path) -> None:
    program, _ = small_program("classifier", "snpe", tmp_path)
    one, two = (to_qdq(program).SerializeToString() for _ in range(2))
    assert one == two


def test_weights_and_bias_are_stored_as_integers(tmp_path: Path) -> None:
    program, _ = small_program("conv_bn_relu", "tensorrt", tmp_path)
    instruction = program.instructions[0]
    stored = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in to_qdq(program).graph.initializer
    }
    for name in ("weights", "bias"):
        constant = instruction.constants[name].array
        assert stored[f"{instruction.name}/{name}"].dtype == constant.dtype
        assert np.array_equal(stored[f"{instruction.name}/{name}"], constant)


def test_unsigned_codes_stand_for_the_same_reals(tmp_path: Path) -> None:
    program, samples = small_program("residual_block", "tensorrt", tmp_path)
    signed = run(to_qdq(program), samples, optimize=False)
    unsigned = run(to_qdq(program, unsigned=True), samples, optimize=False)
    for name, array in signed.items():
        assert np.array_equal(unsigned[name], array)


def test_a_clamp_that_differs_between_channels_is_kept(tmp_path: Path) -> None:
    program, samples = small_program("conv_bn_relu", "tensorrt", tmp_path)
    conv = program.instructions[0]
    limits = {
        "minimum": Constant.of(np.arange(8) - 20, np.int32),
        "maximum": Constant.of(np.arange(8) * 4 + 10, np.int32),
    }
    clamped = replace(conv, constants={**conv.constants, **limits})
    program = replace(program, instructions=(clamped, *program.instructions[1:]))
    codes = quantize_inputs(program, samples)
    expected = intlower.simulate_integers(program, codes)
    for output, actual in run(
        to_qdq(program, integer_edges=True), codes, optimize=False
    ).items():
        assert np.abs(actual.astype(np.int64) - expected[output]).max() <= 1
        for channel in range(8):
            assert actual[:, channel].min() >= channel - 20
            assert actual[:, channel].max() <= 4 * channel + 10


@pytest.mark.parametrize("target", TARGETS)
def test_float_biases_are_the_reals_of_the_codes(target: str, tmp_path: Path) -> None:
    program, samples = small_program("residual_block", target, tmp_path)
    expected = run(to_qdq(program), samples, optimize=False)
    actual = run(to_qdq(program, float_bias=True), samples, optimize=False)
    for name, reals in expected.items():  # the same reals, rounded to float32 at other places
        step = float(program.tensors[name].grid.scale.array)
        assert np.abs(actual[name] - reals).max() <= step * 1.001


def test_every_tensor_can_be_an_output(tmp_path: Path) -> None:
    program, samples = small_program("residual_block", "snpe", tmp_path)
    codes = quantize_inputs(program, samples)
    results = run(to_qdq(program, integer_edges=True, every_tensor=True), codes)
    assert list(results) == [instruction.output for instruction in program.instructions]
    for name, array in results.items():
        assert array.dtype == program.tensors[name].grid.dtype
    alone = run(to_qdq(program, integer_edges=True), codes)
    for name in program.outputs:
        assert np.abs(results[name].astype(np.int64) - alone[name]).max() <= 1


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    program=strategies.programs(operators=strategies.DEPLOYED_OPERATORS),
    integer_edges=st.booleans(),
    unsigned=st.booleans(),
)
def test_every_program_has_a_valid_model(
    program: IntegerProgram, integer_edges: bool, unsigned: bool
) -> None:
    model = to_qdq(program, integer_edges=integer_edges, unsigned=unsigned)
    onnx.checker.check_model(model, full_check=True)


@shared_data.needs_shared_data
@pytest.mark.crosscheck
@pytest.mark.parametrize(
    ("name", "target", "count"),
    [
        ("cifar10_resnet20", "snpe", 40),
        ("cifar10_resnet20", "tensorrt", 40),
        ("mlperf_kws_ds_cnn", "snpe", 40),
        ("mlperf_kws_ds_cnn", "tensorrt", 40),
        pytest.param("mobilenet_v2_imagenet", "tensorrt", 6, marks=pytest.mark.slow),
    ],
)
def test_a_real_network_classifies_alike_in_onnxruntime(
    name: str, target: str, count: int, tmp_path: Path
) -> None:
    program = intlower.compile(shared_data.model_path(name), target=target)
    images, _ = shared_data.evalsets().load(name, count)
    inputs = {program.inputs[0]: images}
    expected = next(iter(intlower.simulate(program, inputs).values()))
    model = to_qdq(program, unsigned=True)
    actual = run(model, inputs, optimized=tmp_path / "optimized.onnx")
    classes = next(iter(actual.values())).argmax(axis=1)
    assert (classes == expected.argmax(axis=1)).mean() > 0.95
    fused = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert fused["QLinearConv"] > 5
    assert fused["Conv"] + fused["FusedConv"] == 0
