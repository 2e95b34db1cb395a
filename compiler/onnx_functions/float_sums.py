"""Sums of products in binary32 in one order, in standard ONNX, for half precision and minifloats.

onnxruntime's own convolutions promise no order of summation, and the order decides the bits; so a sum is a Loop over its
terms, each a Mul and an Add of whole tensors: channels, then rows and columns of the window, from +0.
"""

from __future__ import annotations

from collections.abc import Callable

from intlower.compiler.onnx_functions.body import Body, Value

# From a sum and the next term to the next sum.
Accumulate = Callable[[Value, Value], Value]


def convolution_sums(body: Body, image: Value, weights: Value, accumulate: Accumulate) -> Value:
    """Write the sums of a convolution: the products of one tap for all outputs at once, tap after tap.

    Args:
        body: with the attributes strides, dilations and groups.
        image: float32 [N, C, H, W], padded.
        weights: float32 [O, C/groups, kh, kw].
        accumulate: writes the addition of a term.
    """
    groups = body.attribute("groups").unsqueeze(0)
    strides, dilations = body.attributes("strides"), body.attributes("dilations")
    depth, window = weights.dimensions(1, 2), weights.dimensions(2, 4)
    size = image.dimensions(2, 4)
    images = image.reshape(body.concatenate(image.dimensions(0, 1), groups, depth, size))
    area = window.part(0) * window.part(1)
    taps = depth.part(0) * area
    rest = body.constant((-1,), "int64")
    matrix = weights.reshape(body.concatenate(groups, rest, taps.unsqueeze(0)))
    positions = (size - (window - 1) * dilations - 1) // strides + 1
    reach = (positions - 1) * strides + 1

    def step(inner: Body, tap: Value, total: Value) -> Value:
        channel = inner.apply("Div", tap, area)
        place = inner.apply("Sub", tap, inner.apply("Mul", channel, area))
        across = window.part_in(inner, 1)
        row = inner.apply("Div", place, across)
        column = inner.apply("Sub", place, inner.apply("Mul", row, across))
        plane = inner.apply("Gather", images, channel, axis=2)
        first = inner.concatenate(row.unsqueeze(0), column.unsqueeze(0)) * dilations
        axes = inner.constant((2, 3), "int64")
        seen = inner.apply("Slice", plane, first, first + reach, axes, strides)
        factor = inner.apply("Gather", matrix, tap, axis=2).unsqueeze(0, 3, 4)
        return accumulate(total, seen.unsqueeze(2) * factor)

    shape = body.concatenate(image.dimensions(0, 1), groups, matrix.dimensions(1, 2), positions)
    total = _sum(body, taps, shape, step)
    return total.reshape(body.concatenate(image.dimensions(0, 1), rest, positions))


def product_sums(body: Body, x: Value, weights: Value, accumulate: Accumulate) -> Value:
    """Write the sums of a matrix product: one column of the input times one of the weights after the other.

    Args:
        body: where to.
        x: float32 [N, I].
        weights: float32 [O, I].
        accumulate: writes the addition of a term.
    """

    def step(inner: Body, tap: Value, total: Value) -> Value:
        column = inner.apply("Gather", x, tap, axis=1).unsqueeze(1)
        factor = inner.apply("Gather", weights, tap, axis=1).unsqueeze(0)
        return accumulate(total, column * factor)

    taps = weights.dimensions(1, 2).part(0)
    return _sum(
        body, taps, body.concatenate(x.dimensions(0, 1), weights.dimensions(0, 1)), step
    )


def window_sums(body: Body, image: Value, accumulate: Accumulate) -> Value:
    """Write the sums of windows: one element of every window after the other.

    Args:
        body: with the attributes kernel_shape and strides.
        image: float32 [N, C, H, W], padded.
        accumulate: writes the addition of a term.
    """
    kernel, strides = body.attributes("kernel_shape"), body.attributes("strides")
    positions = (image.dimensions(2, 4) - kernel) // strides + 1
    reach = (positions - 1) * strides + 1

    def step(inner: Body, tap: Value, total: Value) -> Value:
        across = kernel.part_in(inner, 1)
        row = inner.apply("Div", tap, across)
        column = inner.apply("Sub", tap, inner.apply("Mul", row, across))
        first = inner.concatenate(row.unsqueeze(0), column.unsqueeze(0))
        axes = inner.constant((2, 3), "int64")
        seen = inner.apply("Slice", image, first, first + reach, axes, strides)
        return accumulate(total, seen)

    shape = body.concatenate(image.dimensions(0, 2), positions)
    return _sum(body, kernel.part(0) * kernel.part(1), shape, step)


def padded(body: Body, image: Value) -> Value:
    """Return a float32 image [N, C, H, W] with its border of +0, by the attribute pads."""
    pads, zeros = body.attributes("pads"), body.constant((0, 0), "int64")
    begin, end = (
        body.apply("Gather", pads, body.constant(places, "int64"), axis=0)
        for places in ((0, 1), (2, 3))
    )
    border = body.concatenate(zeros, begin, zeros, end)
    return body.apply("Pad", image, border, body.constant(0.0, "float32"))


def channel_shape(body: Body, like: Value) -> Value:
    """Return [1, -1, 1, ...] of a tensor's rank; [-1] of rank 1."""
    places = body.apply("Shape", body.apply("Shape", like, dtype="int64"), dtype="int64")
    axes = body.apply(
        "Range", body.constant(0, "int64"), places.part(0), body.constant(1, "int64")
    )
    last = (places.part(0) - 1).minimum(1)
    return where(equal(axes, last), -1, body.apply("Expand", body.constant(1, "int64"), places))


def where(condition: Value, value: Value | float, otherwise: Value) -> Value:
    """Write a selection between numbers other than -0, of which onnxruntime's Where makes +0 (seen in 1.31)."""
    body = condition.body
    if not isinstance(value, Value):
        value = body.constant(value, otherwise.dtype)
    return body.apply("Where", condition, value, otherwise, dtype=otherwise.dtype)


def equal(x: Value, other: Value | float) -> Value:
    """Write a comparison."""
    return x.body.apply("Equal", x, other, dtype="bool")


def _sum(
    body: Body, count: Value, shape: Value, step: Callable[[Body, Value, Value], Value]
) -> Value:
    """Return the sum of `count` terms, from +0 of a shape, in order."""
    start = body.apply("Expand", body.constant(0.0, "float32"), shape)
    return body.loop(count, start, step)
