"""Small valid inputs from which fuzzers start: float models over all operators that are read, and artifacts of every kind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import networks
import networks_extended
import numpy as np
import onnx
from onnx import helper

from intlower.compiler.artifact import serialise
from intlower.compiler.errors import UnsupportedByTarget
from intlower.compiler.pipeline import compile_model

# One target for each family of kernels: uniform, half precision, logarithmic, mixed.
ARTIFACT_TARGETS = ("tensorrt", "tensorrt_fp16", "nnie", "adreno")

LARGEST_SEED = 50_000


def shapes_computed() -> onnx.ModelProto:
    """A network whose reshapes come out of Shape, Gather, Range, Tile, Expand and ConstantOfShape."""
    b = networks.NetworkBuilder()
    shape = b.node("Shape", "x")
    batch = b.node("Gather", shape, b.integers(0), axis=0)
    target = b.node("Concat", batch, b.integers(-1), axis=0)
    flat = b.node("Reshape", "x", target)
    count = onnx.numpy_helper.from_array(np.array([0.5], np.float32), "value")
    filled = b.node("ConstantOfShape", b.integers(12), value=count)
    ramp = b.node("Range", b.constant(0.0), b.constant(12.0), b.constant(1.0))
    tiled = b.node("Tile", b.constant([0.5, 1.5]), b.integers(6))
    expanded = b.node("Expand", b.constant([0.25]), b.integers(12))
    total = flat
    for term in (filled, ramp, tiled, expanded):
        total = b.node("Add", total, term)
    return b.model({"x": ["N", 3, 2, 2]}, b.node("Softmax", total, axis=1))


def resized() -> onnx.ModelProto:
    """A network that pads by reflection, resizes, splits, transposes and normalizes."""
    b = networks.NetworkBuilder()
    x = b.node("Pad", "x", b.integers(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect")
    x = b.node("Resize", x, "", b.constant([1.0, 1.0, 2.0, 2.0]), mode="linear")
    x = b.node("LRN", x, size=3)
    x = b.node("Transpose", x, perm=[0, 2, 3, 1])
    x = b.node("ReduceMean", x, axes=[1, 2], keepdims=0)
    return b.model({"x": ["N", 2, 3, 3]}, b.gemm(x, 2, 3))


def with_function() -> onnx.ModelProto:
    """A network that calls a function of its own file."""
    body = [helper.make_node("Relu", ["a"], ["b"]), helper.make_node("Neg", ["b"], ["c"])]
    opsets = [helper.make_opsetid("", 17)]
    function = helper.make_function("local", "ReluNeg", ["a"], ["c"], body, opsets)
    b = networks.NetworkBuilder()
    called = b.node("ReluNeg", "x", domain="local")
    return b.model({"x": ["N", 4]}, called, functions=[function], domains=["local"])


@cache
def models() -> Mapping[str, onnx.ModelProto]:
    """Return small float models by name."""
    return {
        "classifier": networks.classifier(channels=2, classes=3, size=4),
        "residual": networks.residual_block(channels=2, size=4),
        "shortcut": networks.slice_pad_shortcut(channels=2, size=4, opset=9),
        "gates": networks_extended.squeeze_excitation(channels=4, size=3),
        "activations": networks_extended.activations(channels=2, size=2),
        "upsampling": networks_extended.upsampling_head(channels=2, size=4),
        "shuffle": networks_extended.channel_shuffle(channels=4, size=4),
        "transposed": networks_extended.transposed_convolution(channels=2, size=3),
        "tokens": networks_extended.token_mixer(channels=2, size=2),
        "shapes": shapes_computed(),
        "resized": resized(),
        "function": with_function(),
    }


def model_seeds() -> Iterator[bytes]:
    """Yield the bytes of every small model."""
    for model in models().values():
        yield model.SerializeToString()


def artifact_seeds() -> Iterator[bytes]:
    """Yield the bytes of small artifacts, one for each family of kernels and of operators."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        for target in ARTIFACT_TARGETS:
            for name in ("classifier", "activations", "shuffle"):
                onnx.save(models()[name], path)
                samples = networks.random_inputs(models()[name])
                try:
                    data = serialise(compile_model(path, target=target, samples=samples))
                except UnsupportedByTarget:
                    continue
                if len(data) < LARGEST_SEED:  # one of many tables tells a fuzzer no more
                    yield data
