"""ONNX's own node tests: which of them concern supported operators, which are refused and why; writes docs/onnx.md.

PYTHONPATH=.:tests python -m onnx_node_tests
"""

from __future__ import annotations

import re
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from onnx.backend.test.case.node import collect_testcases

from intlower.compiler.importer.converters import CONVERTERS
from intlower.markdown import markdown_table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "onnx.md"

# What is refused: (pattern of the whole test's name after "test_", what the error says, why).
REFUSED: tuple[tuple[str, str, str], ...] = (
    (
        r"(add|sub|mul|div|max|min|equal)_u?int\d+(_trunc)?|equal|equal_bcast|clip_default_int8_.*|maxpool_2d_uint8"
        r"|(edge|reflect|wrap)_pad|reduce_(max|min)_bool_inputs|reduce_max_empty_set_bool"
        r"|pow_types_u?int\d+_.*|where_long_example|cumsum_2d_int32",
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
    (r"cumsum_1d.*", "over the batch|not float32", "sums over the batch"),
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
        "exponents differ|exponents are computed",
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


def refusal(name: str) -> tuple[str, str] | None:
    """Return what the error of a refused test says and why it is refused, None for one that has to pass."""
    for pattern, message, reason in REFUSED:
        if re.fullmatch(pattern, name.removeprefix("test_")):
            return message, reason
    return None


def page() -> str:
    """Return docs/onnx.md: the operators that are imported and the node tests that are refused."""
    refused: dict[str, list[str]] = {}
    for name in cases():
        found = refusal(name)
        if found is not None:
            refused.setdefault(found[1], []).append(name.removeprefix("test_"))
    rows = [[reason, str(len(names)), _shortened(names)] for reason, names in refused.items()]
    count = sum(len(names) for names in refused.values())
    columns = ["why", "tests", "names"]
    return (
        "# ONNX operators\n\n"
        "Written by `PYTHONPATH=.:tests python -m onnx_node_tests`, checked by the tests.\n\n"
        f"The importer reads {len(CONVERTERS)} operators of opset 7 and newer, folds what depends on constants alone, and takes the branch of an If whose condition does:\n\n"
        + ", ".join(sorted(CONVERTERS))
        + f".\n\nOf ONNX's own node tests {len(cases())} use these operators and nothing else. "
        f"{len(cases()) - count} pass in the float evaluator "
        f"({len(OTHERWISE_IN_ONNXRUNTIME)} of them run, but follow onnxruntime, which differs from ONNX's reference); {count} are refused with an error that names the node:\n\n"
        + markdown_table(columns, rows, ["tests"])
        + "\n"
    )


def _shortened(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
