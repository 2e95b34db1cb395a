from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from networks_with_statistics import (
    SAME,
    NetworkWithStatistics,
    pictures,
    small_classifier,
)
from shared_data import evalsets, model_path, needs_shared_data

from intlower.compiler.errors import CalibrationError
from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph, Moments, Value
from intlower.compiler.importer import import_model, read_model
from intlower.compiler.operators import (
    AveragePool,
    Conv,
    Flatten,
    Gemm,
    Relu,
    Reshape,
)
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.standard import STANDARD_PASSES
from intlower.compiler.synthesis import Objective, Synthesis, synthesize
from intlower.compiler.synthesis.synthesize import expected_level
from intlower.compiler.synthesis.teacher import build_teacher, matching_layers


def loss_of(graph: Graph, inputs: np.ndarray) -> float:
    teacher = build_teacher(graph, classify=False)
    with torch.no_grad():
        return float(teacher.losses({"x": torch.tensor(inputs)}, Objective(), None)[1])


def made(graph: Graph, count: int = 8, seed: int = 0, **options: object) -> Synthesis:
    return synthesize(graph, count=count, seed=seed, **options)  # type: ignore[arg-type]


def test_statistics_come_much_closer_than_noise() -> None:
    graph = small_classifier()
    result = made(graph, count=20)
    noise = np.random.default_rng(0).uniform(0, 1, (20, 3, 16, 16)).astype(np.float32)
    images = result.samples["x"]
    assert images.shape == (20, 3, 16, 16)
    assert images.dtype == np.float32
    assert loss_of(graph, images) < 0.1 * loss_of(graph, noise)
    assert result.losses[1] <= result.level
    assert "at the level of real data" in result.verdict


def test_real_inputs_have_no_loss_on_their_own_statistics() -> None:
    graph = small_classifier()
    assert loss_of(graph, pictures(64, 3, 16, 16)) < 1e-6


def test_the_same_seed_gives_the_same_bytes_whatever_the_threads() -> None:
    graph = small_classifier()
    one = made(graph, count=20)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        two = made(graph, count=20)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert one.samples["x"].tobytes() == two.samples["x"].tobytes()
    assert not one.shortened


def test_another_seed_gives_other_images() -> None:
    graph = small_classifier()
    assert not np.array_equal(made(graph).samples["x"], made(graph, seed=1).samples["x"])


def test_images_stay_within_the_box() -> None:
    graph = small_classifier()
    images = made(graph, input_ranges={"x": (0.1, 0.8)}).samples["x"]
    assert images.min() >= np.float32(0.1)
    assert images.max() <= np.float32(0.8)


@pytest.mark.parametrize(
    ("channels", "height", "width"), [(1, 16, 16), (1, 49, 10), (2, 9, 14)]
)
def test_inputs_that_are_no_photographs_are_made_too(
    channels: int, height: int, width: int
) -> None:
    graph = small_classifier(channels, height, width)
    result = made(graph)
    assert result.samples["x"].shape == (8, channels, height, width)
    assert result.losses[1] <= result.level


def test_an_autoencoder_of_products_is_served() -> None:
    network = NetworkWithStatistics((None, 12))
    hidden = network.add(Gemm(), "x", (16, 12), Relu())
    code = network.add(Gemm(), hidden, (4, 16), Relu())
    network.add(Gemm(), code, (12, 4))
    inputs = np.random.default_rng(0).normal(1.0, 2.0, (256, 12)).astype(np.float32)
    graph = network.graph(inputs)
    result = made(graph, count=32, objective=Objective(class_weight=0.1))
    assert result.samples["x"].shape == (32, 12)
    assert result.losses[1] < result.losses[0]


def test_large_images_of_uneven_size_are_sewn_together() -> None:
    network = NetworkWithStatistics((None, 3, 160, 130))
    first = network.add(Conv(pads=SAME, strides=(4, 4)), "x", (6, 3, 3, 3), Relu())
    network.add(Conv(), first, (4, 6, 1, 1))
    result = made(network.graph(pictures(8, 3, 160, 130)), count=4)
    assert result.samples["x"].shape == (4, 3, 160, 130)
    assert result.losses[1] <= result.level


def test_a_layer_that_needs_its_size_forgoes_the_small_stage() -> None:
    network = NetworkWithStatistics((None, 3, 128, 128))
    first = network.add(Conv(strides=(16, 16)), "x", (2, 3, 16, 16), Relu())
    flat = network.add(Flatten(), first)
    hidden = network.add(Gemm(), flat, (6, 128), Relu())
    network.add(Gemm(), hidden, (2, 6))
    result = made(network.graph(pictures(32, 3, 128, 128)), count=8)
    assert result.samples["x"].shape == (8, 3, 128, 128)


def test_a_fixed_batch_is_filled() -> None:
    free = small_classifier()
    fixed = Graph(
        inputs=(Value(name="x", shape=(4, 3, 16, 16)),),
        outputs=free.outputs,
        nodes=free.nodes,
        constants=free.constants,
        moments=free.moments,
    )
    images = made(fixed, count=6).samples["x"]
    assert np.array_equal(images, made(free, count=8).samples["x"])


def test_a_budget_for_nothing_still_gives_images() -> None:
    result = made(small_classifier(), budget_seconds=1e-9)
    assert result.samples["x"].shape == (8, 3, 16, 16)
    assert result.losses[0] == result.losses[1]
    assert result.shortened


def test_labels_spread_images_over_classes() -> None:
    graph = small_classifier()
    objective = Objective(class_weight=20.0, slack=0.05)
    plain, labelled = made(graph, count=10), made(graph, count=10, objective=objective)

    def classes(result: Synthesis) -> int:
        probabilities = evaluate(graph, {"x": result.samples["x"]})[graph.outputs[0]]
        return len(set(probabilities.argmax(axis=1).tolist()))

    assert classes(labelled) > classes(plain)


def test_smooth_images_are_had_for_the_asking() -> None:
    graph = small_classifier()
    plain, smooth = made(graph), made(graph, objective=Objective(smoothness=0.3))

    def steepness(result: Synthesis) -> float:
        return float(np.abs(np.diff(result.samples["x"])).mean())

    assert steepness(smooth) < 0.9 * steepness(plain)


def test_an_error_in_one_group_ends_all() -> None:
    class Interrupted(Exception):
        pass

    def interrupt(line: str) -> None:
        raise Interrupted

    begin = time.monotonic()
    with pytest.raises(Interrupted):
        made(small_classifier(), count=160, progress=interrupt)
    assert time.monotonic() - begin < 10.0


def test_a_batch_that_an_operator_needs_is_refused() -> None:
    network = NetworkWithStatistics((2, 3, 4, 4))
    flat = network.add(Reshape(shape=(2, 48)), "x")
    hidden = network.add(Gemm(), flat, (6, 48), Relu())
    network.add(Gemm(), hidden, (2, 6))
    graph = network.graph(pictures(2, 3, 4, 4))
    with pytest.raises(CalibrationError, match="cannot be synthesized"):
        made(graph)


def test_a_network_without_statistics_is_refused_in_one_line() -> None:
    network = NetworkWithStatistics((None, 3, 8, 8))
    network.add(Conv(), "x", (4, 3, 3, 3), Relu())
    with pytest.raises(CalibrationError, match="no layer has batch-norm statistics"):
        made(network.graph(None))


def test_a_network_whose_variances_are_all_zero_is_refused() -> None:
    graph = small_classifier()
    silent = graph.edit(
        moments={
            name: Moments.of(known.mean.array, np.zeros_like(known.std.array))
            for name, known in graph.moments.items()
        }
    )
    with pytest.raises(CalibrationError, match="not zero"):
        made(silent)


def test_dead_channels_count_for_nothing() -> None:
    weight = matching_layers(small_classifier())["v0"].weight
    assert weight[2] == 0
    assert float(weight.sum()) == pytest.approx(1)


def test_a_budget_is_kept_and_said() -> None:
    network = NetworkWithStatistics((None, 3, 64, 64))
    value = network.add(Conv(pads=SAME), "x", (32, 3, 3, 3), Relu())
    for _ in range(3):
        value = network.add(Conv(pads=SAME), value, (32, 32, 3, 3), Relu())
    network.add(AveragePool(kernel_shape=(2, 2), strides=(2, 2)), value)
    graph = network.graph(pictures(16, 3, 64, 64), outputs=2)
    begin = time.monotonic()
    result = made(graph, count=16, budget_seconds=1.0)
    assert time.monotonic() - begin < 5.0  # a step is not interrupted
    assert result.shortened
    assert "cut short" in result.verdict
    assert result.samples["x"].shape == (16, 3, 64, 64)


@pytest.mark.parametrize("options", [{"count": 0}, {"budget_seconds": 0.0}])
def test_counts_and_budgets_are_positive(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="positive"):
        made(small_classifier(), **options)


def test_more_real_data_would_lie_closer() -> None:
    levels = [expected_level(count) for count in (4, 8, 16, 32, 64)]
    assert levels == sorted(levels, reverse=True)


@needs_shared_data
@pytest.mark.parametrize("name", ["mlperf_ic_resnet8", "mlperf_kws_ds_cnn"])
def test_real_networks_reach_the_level_of_real_data(name: str) -> None:
    graph = run_passes(import_model(read_model(model_path(name))[0]), STANDARD_PASSES)
    result = synthesize(graph, count=8, seed=0)
    assert result.losses[1] <= result.level
    teacher = build_teacher(graph, classify=False)
    inputs = torch.tensor(evalsets().load(name, 8)[0])
    with torch.no_grad():
        real = float(teacher.losses({graph.inputs[0].name: inputs}, Objective(), None)[1])
    assert result.losses[1] < 2 * real
