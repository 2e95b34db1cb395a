"""ONNX's own backend tests: every node test of a supported operator, or the reason why not."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx_node_tests import OTHERWISE_IN_ONNXRUNTIME, PAGE, cases, page, refusal

from intlower.compiler.errors import IntlowerError
from intlower.compiler.evaluate import evaluate
from intlower.compiler.importer import import_model

pytestmark = [pytest.mark.crosscheck, pytest.mark.slow]


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


def test_onnx_backend_node_tests_pass_or_are_listed() -> None:
    passed, wrong = 0, []
    for name, case in cases().items():
        refused = refusal(name)
        for inputs, expected in case.data_sets:
            given = dict(zip((i.name for i in case.model.graph.input), inputs, strict=False))
            model = _with_one_output(case.model)
            try:
                actual = _outputs_either_way(model, given)
            except IntlowerError as error:
                if refused is None or not re.search(refused[0], str(error)):
                    wrong.append(f"{name}: {error}")
                continue
            if name in OTHERWISE_IN_ONNXRUNTIME:
                continue
            if refused is not None:
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


def test_the_page_lists_them() -> None:
    if onnx.__version__.startswith("1.23."):  # other releases have other tests
        assert PAGE.read_text(encoding="utf-8") == page()
