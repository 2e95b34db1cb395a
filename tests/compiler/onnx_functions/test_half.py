"""The witness's rounding, run by onnxruntime alone, against the integer equations."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from half_programs import RULES
from onnx import TensorProto, helper

from intlower.compiler.onnx_functions.body import DOMAIN, OPSET, Body
from intlower.compiler.onnx_functions.half import rounded
from intlower.kernels.half_rule import HalfRule
from intlower.kernels.numerics_half import HALF_NAN, half_of_float32


@pytest.mark.crosscheck
@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("rule", [rule for rule in RULES if not rule.half_sums], ids=str)
def test_cast_and_comparisons_are_equations_h1_and_h2(rule: HalfRule, optimize: bool) -> None:
    body = Body()
    result = rounded(body.parameter("input", "float32"), rule).cast("float16")
    function = body.function(
        "rounded", inputs=["input"], output=result, attributes=[], description="Rounded."
    )
    graph = helper.make_graph(
        [helper.make_node("rounded", ["x"], ["y"], domain=DOMAIN)],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, ["N"])],
    )
    model = helper.make_model(
        graph,
        functions=[function],
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)],
        ir_version=9,
    )
    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    generator = np.random.default_rng(3)
    bits = generator.integers(0, 1 << 32, 1 << 17, dtype=np.uint32)
    near = generator.integers(0x33000000, 0x47800000, 1 << 17, dtype=np.uint32)
    every = np.concatenate([bits, near, near & 0xFFFFF000, near | 0x80000FFF])
    expected = half_of_float32(every, rule)
    numbers = expected != HALF_NAN  # that one is written at the end of each function
    (found,) = session.run(None, {"x": every[numbers].view(np.float32)})
    assert np.array_equal(found.view(np.uint16), expected[numbers])
