"""Sums of products: conv2d, gemm, and the window sums of average_pool.

ONNX has exact integer products for 8-bit operands. Wider operands are taken apart into bytes:
(256 h + l) * w = 256 (h * w) + l * w, where each term is an exact 8-bit product.
"""

from __future__ import annotations

from collections.abc import Callable

from intlower.compiler.onnx_functions.arithmetic import scale
from intlower.compiler.onnx_functions.body import Body, Reference, Value, require_narrow
from intlower.kernels.signature import ElementType, KernelKey

# One product of bytes: (codes, weights, zero point of codes, zero point of weights) -> int32.
Product = Callable[[Value, Value, Value, Value], Value]


def conv2d(body: Body, key: KernelKey) -> Value:
    """Write a convolution: ConvInteger, bias, scale, clamp."""

    def product(x: Value, w: Value, x_zero: Value, w_zero: Value) -> Value:
        return body.apply(
            "ConvInteger",
            x,
            w,
            x_zero,
            w_zero,
            dtype="int32",
            strides=Reference("strides"),
            pads=Reference("pads"),
            dilations=Reference("dilations"),
            group=Reference("groups", many=False),
        )

    accumulator = _weighted_sum(body, key, _weights(body, key), product)
    return _requantized(
        body, key, accumulator, lambda name: _constant(body, name).unsqueeze(1, 2)
    )


def gemm(body: Body, key: KernelKey) -> Value:
    """Write a matrix product: MatMulInteger with transposed weights, bias, scale, clamp."""

    def product(x: Value, w: Value, x_zero: Value, w_zero: Value) -> Value:
        return body.apply("MatMulInteger", x, w, x_zero, w_zero, dtype="int32")

    transposed = body.apply("Transpose", _weights(body, key), perm=[1, 0])
    accumulator = _weighted_sum(body, key, transposed, product)
    return _requantized(body, key, accumulator, lambda name: _constant(body, name))


def average_pool(body: Body, key: KernelKey) -> Value:
    """Write means over windows: each channel convolved with ones, scale, clamp."""
    x = Value(body, "input", key.activation.dtype_name)
    ones = body.constant([1, 1], "int64")
    planes = x.reshape(
        body.concatenate(body.constant([-1, 1], "int64"), x.dimensions(2, 4))
    )
    kernel = body.apply(
        "ConstantOfShape",
        body.concatenate(ones, body.attributes("kernel_shape")),
        dtype="uint8",
        value=helper_ones(),
    )

    def product(byte: Value, w: Value, x_zero: Value, w_zero: Value) -> Value:
        return body.apply(
            "ConvInteger",
            byte,
            w,
            x_zero,
            w_zero,
            dtype="int32",
            strides=Reference("strides"),
            pads=Reference("pads"),
        )

    zero = body.attribute("input_zero_point")
    accumulator = sum_of_products(
        as_bytes(planes, key.activation),
        as_bytes(zero, key.activation),
        [kernel],
        [body.constant(0, "uint8")],
        product,
    )
    sums = accumulator.reshape(
        body.concatenate(x.dimensions(0, 2), accumulator.dimensions(2, 4))
    )
    return stored(body, key, sums, _constant(body, "multiplier"), _constant(body, "shift"))
