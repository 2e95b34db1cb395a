"""Models that strangers may send: each is refused in one sentence, or compiled right; the corpus is made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import onnx
from networks import NetworkBuilder, classifier, conv_bn_relu
from onnx import numpy_helper

HUGE = 1 << 40
SIDE = 1 << 20  # two of them make HUGE

Make = Callable[[], onnx.ModelProto]


def _constant(add: Callable[[NetworkBuilder], str]) -> Make:
    """A model that adds a computed constant to its input."""

    def make() -> onnx.ModelProto:
        b = NetworkBuilder()
        return b.model({"x": ["N", 4]}, b.node("Add", "x", add(b)))

    return make


def _value(add: Callable[[NetworkBuilder], str], *shape: int) -> Make:
    """A model that does something to its input."""

    def make() -> onnx.ModelProto:
        b = NetworkBuilder()
        return b.model({"x": ["N", *(shape or (1, 2, 2))]}, add(b))

    return make


def _changed(change: Callable[[onnx.ModelProto], object], opset: int = 17) -> Make:
    """A good model that was changed."""

    def make() -> onnx.ModelProto:
        model = classifier(channels=2, classes=3, size=4, opset=opset)
        change(model)
        return model

    return make


def _weights(change: Callable[[np.ndarray], object], which: int = 0) -> Make:
    """A convolution with batch normalization, one of whose initializers was changed."""

    def make() -> onnx.ModelProto:
        model = conv_bn_relu(channels=4, size=4)
        tensor = model.graph.initializer[which]
        array = numpy_helper.to_array(tensor).copy()
        change(array)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        return model

    return make


def _ones(b: NetworkBuilder, *shape: int) -> str:
    return b.node("ConstantOfShape", b.integers(*shape))


def _swap_inputs(model: onnx.ModelProto) -> None:
    """Make the first node read what the last one makes."""
    model.graph.node[0].input[0] = model.graph.node[-1].output[0]


def _same_names(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.name = "same"


def _drop_nodes(model: onnx.ModelProto) -> None:
    del model.graph.node[:]


def _claim(model: onnx.ModelProto, size: int) -> None:
    model.graph.initializer[0].dims[0] = size


def _scale(factor: float) -> Callable[[np.ndarray], None]:
    def change(array: np.ndarray) -> None:
        array *= np.float32(factor)

    return change


def _fill(value: float, channel: int | None = None) -> Callable[[np.ndarray], None]:
    def change(array: np.ndarray) -> None:
        array[slice(None) if channel is None else channel] = value

    return change


def scales(b: NetworkBuilder, *values: float) -> str:
    """The scales of a Resize."""
    return b.node("Resize", "x", "", b.constant(values))


def _no_axes() -> onnx.ModelProto:
    b = NetworkBuilder()
    return b.model({"x": []}, b.relu("x"))


def _unreadable_name() -> onnx.ModelProto:
    """A model whose node has a name that is not text; only bytes can say so."""
    b = NetworkBuilder()
    model = b.model({"x": ["N", 4]}, b.node("Relu", "x", name="UNREADABLE"))
    data = model.SerializeToString().replace(b"UNREADABLE", b"UN\xf2EADABLE")
    return onnx.ModelProto.FromString(data)


# What is refused, with a part of the sentence.
REFUSED: Mapping[str, tuple[Make, str]] = {
    "fill": (_constant(lambda b: _ones(b, SIDE, SIDE)), "makes 1099511627776 elements"),
    "fill-past-int64": (_constant(lambda b: _ones(b, 1 << 62, 4)), "elements per sample"),
    "fill-negative": (_constant(lambda b: _ones(b, -4)), "cannot be computed"),
    "expand": (
        _constant(lambda b: b.node("Expand", b.constant([1.0]), b.integers(SIDE, SIDE))),
        "makes 1099511627776 elements",
    ),
    "tile": (
        _constant(lambda b: b.node("Tile", b.constant([1.0]), b.integers(HUGE))),
        "makes 1099511627776 elements",
    ),
    "range": (
        _constant(
            lambda b: b.node("Range", b.constant(0.0), b.constant(float(HUGE)), b.constant(1.0))
        ),
        "makes 1099511627776 elements",
    ),
    "range-of-no-step": (
        _constant(lambda b: b.node("Range", b.constant(0.0), b.constant(4.0), b.constant(0.0))),
        "cannot be computed",
    ),
    "range-to-nan": (
        _constant(
            lambda b: b.node("Range", b.constant(0.0), b.constant(np.nan), b.constant(1.0))
        ),
        "cannot be computed",
    ),
    "one-hot": (
        _constant(
            lambda b: b.node("OneHot", b.integers(1), b.integers(HUGE), b.constant([0.0, 1.0]))
        ),
        "makes 1099511627776 elements",
    ),
    "pad-constant": (
        _constant(lambda b: b.node("Pad", b.constant([1.0]), b.integers(0, HUGE))),
        "makes 1099511627777 elements",
    ),
    "resize-constant": (
        _constant(
            lambda b: b.node(
                "Resize",
                b.constant(np.ones((1, 1, 2, 2))),
                "",
                b.constant([1.0, 1.0, SIDE, SIDE]),
            )
        ),
        "makes 4398046511104 elements",
    ),
    "outer-product": (
        _constant(lambda b: b.node("MatMul", _ones(b, SIDE, 1), _ones(b, 1, SIDE))),
        "makes 1099511627776 elements",
    ),
    "outer-sum": (
        _constant(lambda b: b.node("Add", _ones(b, SIDE, 1), _ones(b, 1, SIDE))),
        "makes 1099511627776 elements",
    ),
    "sum-of-products": (
        _constant(
            lambda b: b.node("Einsum", *(_ones(b, 1 << 13) for _ in "ijk"), equation="i,j,k->")
        ),
        "takes too long",
    ),
    "convolved-constant": (
        _constant(lambda b: b.node("Conv", _ones(b, 1, 64, 400, 400), _ones(b, 8, 64, 9, 9))),
        "takes too long",
    ),
    "expand-value": (
        _value(lambda b: b.node("Expand", "x", b.integers(1, 1, SIDE, SIDE)), 1, 1, 1),
        "elements per sample",
    ),
    "tile-value": (
        _value(lambda b: b.node("Tile", "x", b.integers(1, 1, SIDE, SIDE))),
        "elements per sample",
    ),
    "tile-negative": (
        _value(lambda b: b.node("Tile", "x", b.integers(1, 1, -1, 2))),
        "do not fit",
    ),
    "pad-value": (
        _value(lambda b: b.pad("x", [0, 0, SIDE, SIDE, 0, 0, 0, 0])),
        "elements per sample",
    ),
    "pad-to-nothing": (
        _value(lambda b: b.pad("x", [0, 0, -5, -5, 0, 0, 0, 0])),
        "nothing is left",
    ),
    "resize-value": (_value(lambda b: scales(b, 1, 1, SIDE, SIDE)), "elements per sample"),
    "resize-infinitely": (_value(lambda b: scales(b, 1, 1, np.inf, 2)), "NaN or infinite"),
    "resize-past-int64": (_value(lambda b: scales(b, 1, 1, 1e30, 2)), "is past"),
    "resize-to-nothing": (_value(lambda b: scales(b, 1, 1, 1e-30, 2)), "must be positive"),
    "stride": (
        _value(lambda b: b.conv("x", 1, 1, 1, strides=[(1 << 63) - 1, 1])),
        "is past",
    ),
    "transposed-stride": (
        _value(
            lambda b: b.node("ConvTranspose", "x", b.normal(1, 1, 1, 1), strides=[SIDE, SIDE])
        ),
        "elements per sample",
    ),
    "image": (_value(lambda b: b.relu("x"), SIDE, SIDE), "elements per sample"),
    "image-past-int64": (_value(lambda b: b.relu("x"), 1 << 62, 4), "elements per sample"),
    "image-negative": (_value(lambda b: b.relu("x"), -3, 4), "not known at axis 1"),
    "name-not-utf-8": (_unreadable_name, "not text in UTF-8"),
    "input-of-no-axes": (_no_axes, "without axes"),
    "lying-initializer": (_changed(lambda m: _claim(m, HUGE)), "constant_0"),
    "negative-initializer": (_changed(lambda m: _claim(m, -4)), "constant_0"),
    "missing-initializer": (_changed(lambda m: m.graph.initializer.pop(0)), "constant_0"),
    "cycle": (_changed(_swap_inputs), "not valid ONNX"),
    "no-nodes": (_changed(_drop_nodes), "not valid ONNX"),
    "no-outputs": (_changed(lambda m: m.graph.ClearField("output")), "no outputs"),
    "no-inputs": (_changed(lambda m: m.graph.ClearField("input")), "not valid ONNX"),
    "no-graph": (_changed(lambda m: m.ClearField("graph")), "not an ONNX model"),
    "initializer-twice": (
        _changed(lambda m: m.graph.initializer.append(m.graph.initializer[0])),
        "not unique",
    ),
    "input-twice": (_changed(lambda m: m.graph.input.append(m.graph.input[0])), "not valid"),
    "value-twice": (_changed(lambda m: m.graph.node.append(m.graph.node[0])), "not valid"),
    "nan-weight": (_weights(_fill(np.nan, 0)), "NaN or infinite"),
    "infinite-weight": (_weights(_fill(np.inf, 0)), "NaN or infinite"),
    "negative-variance": (_weights(_fill(-1.0, 0), 4), "is not positive"),
    "nan-variance": (_weights(_fill(np.nan, 0), 4), "NaN or infinite"),
}

# What compiles and runs right, though nobody would train it.
STRANGE: Mapping[str, Make] = {
    "good": _changed(lambda m: None),
    "one-name-for-all-nodes": _changed(_same_names),
    "denormal-weights": _weights(_fill(1e-42)),
    "no-weight": _weights(_fill(0.0)),
    "no-weight-in-a-channel": _weights(_fill(0.0, 1)),
    "one-weight": _weights(_fill(0.25)),
    "weights-of-1e-30": _weights(_scale(1e-30)),
    "weights-of-1e30": _weights(_scale(1e30)),
    "variance-of-0": _weights(_fill(0.0), 4),
    "variance-of-1e30": _weights(_scale(1e30), 4),
    "gain-of-0": _weights(_fill(0.0), 1),
    "gain-of-1e-30": _weights(_scale(1e-30), 1),
    "gain-of-1e30": _weights(_scale(1e30), 1),
    "shift-of-1e30": _weights(_fill(1e30), 2),
    "mean-of-1e30": _weights(_fill(1e30), 3),
}


def damaged(data: bytes, seed: int = 0, count: int = 12) -> Iterator[bytes]:
    """Yield a file cut short, and with bits turned over."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        yield data[: int(generator.integers(1, len(data)))]
        turned = bytearray(data)
        for position in generator.integers(0, len(data), int(generator.integers(1, 5))):
            turned[position] ^= 1 << int(generator.integers(0, 8))
        yield bytes(turned)
