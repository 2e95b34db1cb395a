"""ONNX's own backend tests: every node test of a supported operator, or the reason why not."""

from __future__ import annotations

import re
import warnings
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

from intlower.compiler.errors import IntlowerError
from intlower.compiler.evaluate import evaluate
from intlower.compiler.importer import import_model
from intlower.compiler.importer.converters import CONVERTERS

pytestmark = [pytest.mark.crosscheck, pytest.mark.slow]

# What is refused: (pattern of the whole test's name after "test_", what the error says, why).
REFUSED: tuple[tuple[str, str, str], ...] = (
    (
        r"(add|sub|mul|div|max|min)_u?int\d+(_trunc)?|clip_default_int8_.*|maxpool_2d_uint8"
        r"|(edge|reflect|wrap)_pad|reduce_(max|min)_bool_inputs|reduce_max_empty_set_bool"
        r"|where_long_example"
        r"|pow_types_u?int\d+_.*",
        "not float32",
        "tensors of integers or truth values: the graph is float32",
    ),
    (r".*_bfloat16(_expanded)?", "bfloat16, not float32", "inputs of bfloat16"),
    (
        r"averagepool_3d_.*|maxpool_3d_.*|convtranspose_3d",
        "volumes",
        "three spatial axes",
    ),
    (r"averagepool_2d_dilations", "dilated average", "no target has it"),
    (
        r"batchnorm_.*_training_mode|(training_)?dropout_.*mask.*|training_dropout.*"
        r"|maxpool_with_argmax_2d_.*",
        "is used|training mode",
        "outputs and modes of training",
    ),
    (r"clip_min_greater_than_max", "not ordered", "a Clip to an empty interval"),
    (r"einsum_(batch_diagonal|scalar)", "its equation", "diagonals, and tensors of rank 0"),
    (
        r"gemm_all_attributes",
        "transposes its first",
        "a transposed batch, and alpha and beta on computed operands",
    ),
    (r"matmul_(1d_3d|4d_1d|1d_1d)", "is a vector", "products with vectors"),
    (
        r"pow|pow_example|pow_bcast_array|pow_types_float32_.*",
        "exponents differ",
        "a table has one exponent",
    ),
    (r"reduce_.*_empty_set.*", "is not known|no elements|rank", "tensors without elements"),
    (
        r"expand_dim_changed|slice_start_out_of_bounds|split_zero_size_.*|reshape_allowzero_.*",
        "",
        "a free batch stands for a dimension of 0, or a rank grows in front of it",
    ),
    (r"resize_.*_antialias", "antialias|not float32", "smoothing before shrinking"),
)

# Where onnxruntime, which users compare with, computes something else than ONNX's reference.
OTHERWISE_IN_ONNXRUNTIME = {
    # It takes the rounded size of the output, as PyTorch does; ONNX takes input size times scale.
    "test_resize_downsample_scales_linear_align_corners",
    "test_resize_downsample_scales_cubic_align_corners",
}


@cache
def cases() -> dict[str, Any]:
    """Return ONNX's node tests whose operators are all supported, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its cases compute square roots of negative numbers
        collected = collect_testcases(None)
    return {
        case.name: case
        for case in collected
        if case.model is not None
        and {node.op_type for node in case.model.graph.node} <= {*CONVERTERS, "Constant"}
        and not any(node.domain for node in case.model.graph.node)
        and all(_dense(inputs) for inputs, _ in case.data_sets)
        and any(inputs for inputs, _ in case.data_sets)
    }


def _dense(arrays: Any) -> bool:
    return all(
        isinstance(array, np.ndarray | np.generic) and array.dtype.kind not in "OUS"
        for array in arrays
    )


def _with_constants(model: onnx.ModelProto, inputs: dict[str, NDArray[Any]]) -> onnx.ModelProto:
    """Return the model with all inputs but one as initializers: parameters, shapes, axes, a condition."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    kept = 1 if model.graph.node[0].op_type == "Where" else 0
    for position, info in reversed(list(enumerate(model.graph.input))):
        if position != kept:
            array = np.asarray(inputs[info.name])
            changed.graph.initializer.append(numpy_helper.from_array(array, info.name))
            del changed.graph.input[position]
    return changed


def _with_one_output(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with its first output only: mean and variance of LayerNormalization are for training."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    if "LayerNormalization" in {node.op_type for node in model.graph.node}:
        del changed.graph.output[1:]
    return changed


def _outputs(
    model: onnx.ModelProto, inputs: dict[str, NDArray[Any]]
) -> dict[str, NDArray[np.float32]]:
    graph = import_model(model)
    names = {value.name for value in graph.inputs}
    return evaluate(
        graph, {n: np.asarray(a, np.float32) for n, a in inputs.items() if n in names}
    )


def _outputs_either_way(
    model: onnx.ModelProto, inputs: dict[str, NDArray[Any]]
) -> dict[str, NDArray[np.float32]]:
    """Compute with parameters as constants or, where that is refused, as values."""
    try:
        return _outputs(_with_constants(model, inputs), inputs)
    except IntlowerError as as_constants:
        try:
            return _outputs(model, inputs)
        except IntlowerError:
            raise as_constants from None


def _refusal(name: str) -> tuple[str, str] | None:
    for pattern, message, reason in REFUSED:
        if re.fullmatch(pattern, name.removeprefix("test_")):
            return message, reason
    return None


def test_onnx_backend_node_tests_pass_or_are_listed() -> None:
    passed, wrong = 0, []
    for name, case in cases().items():
        refusal = _refusal(name)
        for inputs, expected in case.data_sets:
            given = dict(zip((i.name for i in case.model.graph.input), inputs, strict=False))
            model = _with_one_output(case.model)
            try:
                actual = _outputs_either_way(model, given)
            except IntlowerError as error:
                if refusal is None or not re.search(refusal[0], str(error)):
                    wrong.append(f"{name}: {error}")
                continue
            if name in OTHERWISE_IN_ONNXRUNTIME:
                continue
            if refusal is not None:
                wrong.append(f"{name}: it is listed as refused and is not")
            for info, array in zip(model.graph.output, expected, strict=False):
                wanted = np.asarray(array, np.float32)
                # The tolerance of ONNX's own runner; float16 cases carry float16's error.
                half = np.asarray(array).dtype == np.float16
                tolerance = 2e-3 if half else 1e-3
                if actual[info.name].shape != wanted.shape or not np.allclose(
                    actual[info.name], wanted, rtol=tolerance, atol=1e-3 if half else 1e-5
                ):
                    wrong.append(f"{name}: {info.name} differs")
            passed += 1
    assert wrong == [], "\n".join(wrong)
    assert passed >= 490  # of onnx 1.23
