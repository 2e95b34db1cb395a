from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from intlower.compiler.divergence import softmax
from intlower.compiler.errors import DataError, ModelError
from intlower.evaluation import (
    Runnable,
    class_scores,
    is_artifact,
    open_float_model,
    run_in_batches,
    summarise,
)

X = np.arange(5, dtype=np.float32)[:, None] * np.ones((1, 4), np.float32)


def network(batch: int | None, sizes: list[int] | None = None) -> Runnable:
    def run(inputs: Any) -> dict[str, NDArray[Any]]:
        if sizes is not None:
            sizes.append(len(inputs["x"]))
        return {"y": 2 * inputs["x"], "z": inputs["x"][:, :1]}

    return Runnable(inputs={"x": (batch, 4)}, run=run)


@pytest.mark.parametrize("batch", [1, 2, 5, 16])
def test_batches_are_joined_in_order(batch: int) -> None:
    seen: list[tuple[int, int]] = []
    outputs = run_in_batches(
        network(None), {"x": X}, lambda done, total: seen.append((done, total)), batch
    )
    assert np.array_equal(outputs["y"], 2 * X)
    assert np.array_equal(outputs["z"], X[:, :1])
    assert seen[-1] == (5, 5)


def test_a_fixed_batch_decides_the_size_of_the_pieces() -> None:
    sizes: list[int] = []
    run_in_batches(network(5, sizes), {"x": np.concatenate([X, X])})
    assert sizes == [5, 5]
    with pytest.raises(DataError, match="2 samples at a time, and 5 are no multiple"):
        run_in_batches(network(2), {"x": X})


def test_the_scores_have_one_row_for_each_sample() -> None:
    scores = np.array([[0, 3, 3], [2, 1, 0]], np.float32)
    net = Runnable(inputs={"x": (None, 4)}, run=lambda _: {"y": scores[:, :, None, None]})
    assert np.array_equal(class_scores(net, {"x": X[:2]}, np.array([0, 1])), scores)


def test_the_class_is_the_first_of_the_greatest_scores() -> None:
    scores = np.array([[0.0, 3.0, 3.0], [2.0, 1.0, 0.0]])
    assert summarise(scores, np.array([1, 0])).top1 == 1.0


def test_labels_that_are_no_classes_of_the_network_are_refused() -> None:
    with pytest.raises(DataError, match="labels go up to 4, but the network has 4 classes"):
        class_scores(network(None), {"x": X}, np.array([0, 1, 2, 3, 4]))


def test_a_network_without_classes_is_refused() -> None:
    one = Runnable(inputs={"x": (None, 4)}, run=lambda inputs: {"y": inputs["x"][:, :1]})
    with pytest.raises(DataError, match="are not the classes"):
        class_scores(one, {"x": X}, np.zeros(5, np.int64))


def test_the_float_figures_are_there_only_with_a_float_model() -> None:
    scores, labels = np.eye(2), np.array([0, 0])
    assert summarise(scores, labels).document() == {"count": 2, "top1": 0.5}
    assert summarise(scores, labels, 2 * scores).document() == {
        "count": 2,
        "top1": 0.5,
        "float_top1": 0.5,
        "agreement": 1.0,
        "kl": pytest.approx(float(np.mean(_kl(softmax(2 * scores), softmax(scores))))),
        "sqnr_db": pytest.approx(10 * np.log10(4)),
    }


def _kl(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((p * np.log(p / q)).sum(axis=1))


def test_networks_with_other_classes_are_not_compared() -> None:
    with pytest.raises(DataError, match="float model has 3 classes, the network 2"):
        summarise(np.eye(2), np.array([0, 1]), np.eye(3)[:2])


def test_a_file_that_onnxruntime_cannot_load_is_a_model_error(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"no model")
    assert not is_artifact(path)
    with pytest.raises(ModelError, match="onnxruntime cannot load"):
        open_float_model(path)
