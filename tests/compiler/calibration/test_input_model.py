from __future__ import annotations

import numpy as np
import pytest
from graph_building import Step, graph_of
from numpy.typing import NDArray
from shared_data import model_path, needs_shared_data

from intlower.compiler.calibration.input_model import PIXEL_BOXES, InputEstimate, estimate_input
from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph, Moments
from intlower.compiler.importer import import_model, read_model
from intlower.compiler.operators import BatchNormalization, Conv, Gemm, Relu
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.standard import STANDARD_PASSES


def pink(
    generator: np.random.Generator, count: int, channels: int, size: int
) -> NDArray[np.float64]:
    """Images like photographs: amplitude 1/frequency, channels alike, between 0 (black) and 1 (white)."""
    frequency = np.hypot(
        *np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij")
    )
    amplitude = 1 / np.maximum(frequency, 0.5 / size)

    def noise(layers: int) -> NDArray[np.float64]:
        white = np.fft.rfft2(generator.normal(size=(count, layers, size, size)))
        field = np.fft.irfft2(white * amplitude, s=(size, size))
        return np.asarray(field / field.std())

    images = 0.46 + 0.26 * (0.95 * noise(1) + 0.3 * noise(channels))
    return np.clip(images, 0.0, 1.0)


def trained(
    inputs: NDArray[np.float64], *, filters: int = 24, pads: int = 1, seed: int = 0
) -> Graph:
    """Conv, BatchNormalization and Relu whose statistics are those of the inputs, after the standard passes."""
    generator = np.random.default_rng(seed)
    channels, size = inputs.shape[1], inputs.shape[2]
    weights = generator.normal(size=(filters, channels, 3, 3)) + generator.normal(
        size=(filters, channels, 1, 1)
    )
    conv: Step = (Conv(strides=(2, 2), pads=(pads,) * 4), "x w", "a")
    shape = (None, channels, size, size)
    plain = graph_of({"x": shape}, [conv], "a", {"w": weights})
    outputs = evaluate(plain, {"x": inputs.astype(np.float32)})["a"]
    graph = graph_of(
        {"x": shape},
        [conv, (BatchNormalization(), "a scale shift mean variance", "b"), (Relu(), "b", "y")],
        "y",
        {
            "w": weights,
            "scale": generator.uniform(0.5, 1.5, filters),
            "shift": generator.normal(size=filters),
            "mean": outputs.mean(axis=(0, 2, 3)),
            "variance": outputs.var(axis=(0, 2, 3)),
        },
    )
    return run_passes(graph, STANDARD_PASSES)


def estimated(graph: Graph) -> InputEstimate:
    estimate = estimate_input(graph, graph.inputs[0].name)
    assert estimate is not None
    return estimate


@pytest.mark.parametrize("box", PIXEL_BOXES, ids=[name for name, _, _ in PIXEL_BOXES])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_preprocessing_of_photographs_is_found(
    box: tuple[str, NDArray[np.float64], NDArray[np.float64]], seed: int
) -> None:
    name, black, white = box
    low, high = (np.broadcast_to(end, (3,)).reshape(3, 1, 1) for end in (black, white))
    pixels = pink(np.random.default_rng(seed), 24, 3, 32)
    inputs = low + pixels * (high - low)
    estimate = estimated(trained(inputs, seed=seed))
    step = (high - low).ravel()
    mean, std = inputs.mean(axis=(0, 2, 3)), inputs.std()
    assert (np.abs(estimate.mean - mean) < 0.05 * step).all()
    assert 0.7 * std < estimate.std < 1.4 * std
    assert estimate.range.source.endswith(name)
    assert (estimate.range.minimum, estimate.range.maximum) == (
        float(low.min()),
        float(high.max()),
    )


def test_grey_images_and_few_filters_are_told_as_well() -> None:
    pixels = pink(np.random.default_rng(2), 24, 1, 32)
    estimate = estimated(trained(pixels * 255.0, filters=8))
    assert estimate.range.source.endswith("pixels in [0, 255]")
    few = estimated(trained(pink(np.random.default_rng(3), 24, 3, 32), filters=5))
    assert few.mean.shape == (1,)  # five equations do not tell three channels apart
    assert few.range.source.endswith("pixels in [0, 1]")


def test_inputs_that_are_no_pixels_get_five_deviations() -> None:
    inputs = np.random.default_rng(4).normal(3.0, 10.0, (24, 2, 24, 24))
    estimate = estimated(trained(inputs))
    np.testing.assert_allclose(estimate.mean, 3.0, atol=1.0)
    assert estimate.std == pytest.approx(10.0, rel=0.1)
    reach = 5 * estimate.std
    assert estimate.range.minimum == float((estimate.mean - reach).min())
    assert estimate.range.maximum == float((estimate.mean + reach).max())
    assert estimate.range.source == "first layer's moments"


def test_a_dead_filter_says_nothing_of_the_input() -> None:
    graph = trained(pink(np.random.default_rng(5), 24, 3, 32))
    (name,) = graph.moments
    mean, std = graph.moments[name].mean.array.copy(), graph.moments[name].std.array.copy()
    mean[0], std[0] = 1e3, 1e-8
    broken = graph.edit(moments={name: Moments.of(mean, std)})
    assert estimated(broken).range == estimated(graph).range


def test_a_gemm_tells_the_mean_and_the_std_of_vectors() -> None:
    generator = np.random.default_rng(6)
    inputs = generator.normal(-2.0, 4.0, (4000, 5))
    weights = generator.normal(size=(16, 5))
    outputs = inputs @ weights.T
    graph = graph_of({"x": (None, 5)}, [(Gemm(), "x w", "y")], "y", {"w": weights})
    graph = graph.edit(moments={"y": Moments.of(outputs.mean(axis=0), outputs.std(axis=0))})
    estimate = estimated(graph)
    np.testing.assert_allclose(estimate.mean, -2.0, atol=0.2)
    assert estimate.std == pytest.approx(4.0, rel=0.15)


@needs_shared_data
@pytest.mark.parametrize(
    ("model", "box"),
    [
        ("mobilenet_v1_025_imagenet", "pixels in [-1, 1]"),
        ("mobilenet_v2_imagenet", "pixels normalised by ImageNet's mean and deviation"),
        ("cifar10_resnet20", "pixels normalised by ImageNet's mean and deviation"),
        ("mlperf_ic_resnet8", "pixels in [0, 255]"),
    ],
)
def test_real_networks_tell_their_preprocessing(model: str, box: str) -> None:
    graph = run_passes(import_model(read_model(model_path(model))[0]), STANDARD_PASSES)
    assert estimated(graph).range.source == f"first layer's moments: {box}"
