from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import onnxruntime
import pytest
import small_programs
import strategies
from hypothesis import HealthCheck, given, settings
from onnx import numpy_helper

import intlower
from intlower.backends.export.float_model import to_float
from intlower.compiler.program import IntegerProgram


def run(model: onnx.ModelProto, inputs: Any) -> dict[str, Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(program=strategies.programs(operators=strategies.DEPLOYED_OPERATORS))
def test_every_program_has_a_float_network(program: IntegerProgram) -> None:
    model = to_float(program)
    onnx.checker.check_model(model, full_check=True)
    operators = {node.op_type for node in model.graph.node}
    assert not operators & {"QuantizeLinear", "DequantizeLinear"}


def test_quantizing_its_weights_gives_the_programs_codes() -> None:
    program = small_programs.classifier()
    stored = {i.name: numpy_helper.to_array(i) for i in to_float(program).graph.initializer}
    for instruction in program.instructions:
        if instruction.weight_grid is not None:
            codes = instruction.weight_grid.quantize(stored[f"{instruction.name}/weights"])
            assert np.array_equal(codes, instruction.constants["weights"].array)


def test_its_values_have_the_programs_names() -> None:
    program = small_programs.classifier()
    graph = to_float(program).graph
    values = {name for node in graph.node for name in node.output}
    assert {instruction.output for instruction in program.instructions} <= values
    assert [value.name for value in graph.output] == ["probabilities", "pooled"]


@pytest.mark.parametrize("target", ["snpe", "tensorrt"])
def test_it_computes_what_the_program_approximates(target: str, tmp_path: Path) -> None:
    model = networks.classifier(seed=3)
    onnx.save(model, tmp_path / "model.onnx")
    samples = networks.random_inputs(model, batch=8, seed=4)
    program = intlower.compile(tmp_path / "model.onnx", target=target, samples=samples)
    expected = next(iter(run(model, samples).values()))
    actual = next(iter(run(to_float(program), samples).values()))
    # 8-bit weights: 2**-8 of the range and some, over a few layers
    assert np.abs(actual - expected).max() < 0.05 * np.abs(expected).max()


def test_another_grid_for_a_tensor_leaves_the_tensor_its_name() -> None:
    program = small_programs.classifier()
    source = program.tensors["pooled"]
    again = small_programs.instruction(
        "requantize_s8_s8__f32even",
        "again",
        ("pooled",),
        "other",
        multiplier=3 << 22,
        shift=24,
        input_zero_point=0,
        output_zero_point=0,
        minimum=-128,
        maximum=127,
    )
    program = replace(
        program,
        tensors={**program.tensors, "other": replace(source, name="other")},
        instructions=(*program.instructions, again),
        outputs=(*program.outputs, "other"),
    )
    model = to_float(program)
    onnx.checker.check_model(model, full_check=True)
    results = run(model, {"image": np.ones((1, 2, 6, 6), np.float32)})
    assert np.array_equal(results["other"], results["pooled"])
