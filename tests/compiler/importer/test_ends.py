"""Networks that end earlier than their files say, and hints where they could."""

from __future__ import annotations

import networks
import numpy as np
import onnx
import pytest

from intlower.compiler.errors import ModelError, UnsupportedOperator
from intlower.compiler.importer import end_at, import_model

IMAGE = ["N", 3, 8, 8]


def detector() -> tuple[onnx.ModelProto, str, str]:
    """Two heads, and after them what picks from them; the heads' names."""
    b = networks.NetworkBuilder()
    x = b.relu(b.conv("input", 3, 8, 3))
    boxes = b.node("Reshape", b.conv(x, 8, 4, 1), b.integers(0, 4, -1))
    scores = b.node("Sigmoid", b.node("Reshape", b.conv(x, 8, 2, 1), b.integers(0, 2, -1)))
    best = b.node("ArgMax", scores, axis=2)
    later = b.node("Mul", boxes, b.node("Cast", best, to=onnx.TensorProto.FLOAT))
    return b.model({"input": IMAGE}, later), boxes, scores


def test_the_hint_names_where_the_network_could_end() -> None:
    model, boxes, scores = detector()
    with pytest.raises(UnsupportedOperator) as caught:
        import_model(model)
    assert caught.value.ends == (boxes, scores)
    assert f"--outputs {boxes},{scores}" in caught.value.hint
    end_at(model, caught.value.ends)
    assert import_model(model).outputs == (boxes, scores)


def test_the_rest_of_the_network_computes_what_it_did() -> None:
    model, boxes, scores = detector()
    end_at(model, [scores, boxes])
    assert [info.name for info in model.graph.output] == [scores, boxes]
    networks.assert_evaluates_as_in_onnxruntime(onnx.shape_inference.infer_shapes(model))


def test_inputs_that_nothing_needs_any_more_are_left_out() -> None:
    b = networks.NetworkBuilder()
    x = b.relu(b.conv("input", 3, 8, 3))
    scaled = b.node("Mul", x, "factor")
    model = b.model({"input": IMAGE, "factor": ["N", 1, 1, 1]}, scaled)
    end_at(model, [x])
    assert [info.name for info in model.graph.input] == ["input"]
    assert [value.name for value in import_model(model).inputs] == ["input"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["reluctant"], "computes 'reluctant'"),
        (["input"], "computes 'input'"),
        (2 * ["?"], "twice"),
    ],
)
def test_names_that_cannot_end_it_are_refused(names: list[str], said: str) -> None:
    model, boxes, _ = detector()
    with pytest.raises(ModelError, match=said) as caught:
        end_at(model, [boxes if name == "?" else name for name in names])
    assert np.all([info.name for info in model.graph.output])
    assert str(caught.value)
