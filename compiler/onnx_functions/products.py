"""Sums of products: conv2d, gemm, and the window sums of average_pool.

ONNX has exact integer products of bytes. They are used unsigned, because onnxruntime's signed weights go through a
saturating instruction on some machines: a signed code is shifted up together with its zero point, which leaves their
difference as it was. Wider codes are taken apart: (256 h + l) * w = 256 (h * w) + l * w, zero points alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from onnx import numpy_helper

from intlower.compiler.errors import ArtifactError
from intlower.compiler.onnx_functions.body import Body, Reference, Value
from intlower.compiler.onnx_functions.requantization import per_channel, per_tensor
from intlower.kernels.signature import ElementType, KernelKey

# A product of bytes: (codes, weights, zero point of the codes, of the weights) -> int32.
ByteProduct = Callable[[Value, Value, Value, Value], Value]


def conv2d(body: Body, key: KernelKey) -> Value:
    """Write a convolution: ConvInteger, then bias, scale and clamp of each channel."""

    def product(x: Value, w: Value, x_zero: Value, w_zero: Value) -> Value:
        return body.apply(
            "ConvInteger",
            x,
            w,
            x_zero,
            w_zero,
            dtype="int32",
            strides=Reference("strides"),
            pads=Reference("pads"),  # with the zero point of x
            dilations=Reference("dilations"),
            group=Reference("groups", many=False),
        )

    return per_channel(body, key, _accumulator(body, key, product), axes=(1, 2))


def gemm(body: Body, key: KernelKey) -> Value:
    """Write a matrix product: MatMulInteger, then bias, scale and clamp of each output."""

    def product(x: Value, w: Value, x_zero: Value, w_zero: Value) -> Value:
        transposed = body.apply("Transpose", w, perm=(1, 0))
        return body.apply("MatMulInteger", x, transposed, x_zero, w_zero, dtype="int32")

    return per_channel(body, key, _accumulator(body, key, product), axes=())


def average_pool(body: Body, key: KernelKey) -> Value:
    """Write window means: every plane convolved with ones, then the scale, with the divisor in it."""
    x = body.parameter("input", key.activation.dtype_name)
    sums = window_sums(body, x, key.activation, body.attribute("input_zero_point"))
    multiplier = body.parameter("multiplier", "int32").cast("int64")
    shift = body.parameter("shift", "int32").cast("int64")
    return per_tensor(body, key, sums, multiplier, shift)


def window_sums(body: Body, x: Value, element: ElementType, zero_point: Value) -> Value:
    """Return the int64 sum of each window of (code - zero point), padding being 0: every plane convolved with ones.

    Args:
        body: of a function with the attributes kernel_shape, strides and pads.
        x: [N, C, H, W] codes.
        element: their type.
        zero_point: int64 scalar.
    """
    planes = x.reshape(body.concatenate(body.constant((-1, 1), "int64"), x.dimensions(2, 4)))
    kernel = body.apply(
        "ConstantOfShape",
        body.concatenate(body.constant((1, 1), "int64"), body.attributes("kernel_shape")),
        dtype="uint8",
        value=numpy_helper.from_array(np.ones(1, np.uint8)),
    )

    def product(codes: Value, w: Value, x_zero: Value, w_zero: Value) -> Value:
        return body.apply(
            "ConvInteger",
            codes,
            w,
            x_zero,
            w_zero,
            dtype="int32",
            strides=Reference("strides"),
            pads=Reference("pads"),
        )

    sums = _sum_of_products(
        as_bytes(planes, element),
        [kernel],
        as_bytes(zero_point, element),
        [body.constant(0, "uint8")],
        product,
    )
    return sums.reshape(body.concatenate(x.dimensions(0, 2), sums.dimensions(2, 4)))


def as_bytes(codes: Value, element: ElementType) -> list[Value]:
    """Return codes, less the least code of their type, as uint8 digits of base 256, highest first.

    Raises:
        ArtifactError: codes of 32 bits, whose products the accumulator could not hold.
    """
    if element is ElementType.INT32:
        raise ArtifactError("products of int32 codes cannot be written as an ONNX function")
    if element is ElementType.UINT8:
        return [codes.cast("uint8")]
    shifted = codes.cast("int32") - element.limits[0]
    if element is ElementType.INT8:
        return [shifted.cast("uint8")]
    return [(shifted // 256).cast("uint8"), (shifted & 255).cast("uint8")]


def _accumulator(body: Body, key: KernelKey, product: ByteProduct) -> Value:
    """Return the int64 sums of (code - zero point) * (weight - zero point).

    Where each output channel has a zero point, onnxruntime's ConvInteger takes none of it: products with the zero points
    in the place of weights are taken off.
    """
    assert key.weight is not None  # the key proves it
    if "weight_zero_points" in key.schema.constants:
        weights = body.parameter("weights", key.weight.dtype_name)
        axes = (1, 2, 3) if key.operator == "asymmetric_conv2d" else (1,)
        zeros = body.parameter("weight_zero_points", "int32").unsqueeze(*axes)
        shape = body.apply("Shape", weights, dtype="int64")
        filled = body.apply("Expand", zeros, shape).cast(key.weight.dtype_name)
        codes, zero = (
            as_bytes(body.parameter("input", key.activation.dtype_name), key.activation),
            as_bytes(body.attribute("input_zero_point"), key.activation),
        )
        none = as_bytes(body.constant(0, "int64"), key.weight)
        with_weights, with_zeros = (
            _sum_of_products(codes, as_bytes(w, key.weight), zero, none, product)
            for w in (weights, filled)
        )
        return with_weights - with_zeros
    return _sum_of_products(
        as_bytes(body.parameter("input", key.activation.dtype_name), key.activation),
        as_bytes(body.parameter("weights", key.weight.dtype_name), key.weight),
        as_bytes(body.attribute("input_zero_point"), key.activation),
        as_bytes(body.attribute("weight_zero_point"), key.weight),
        product,
    )


def _sum_of_products(
    x: Sequence[Value],
    w: Sequence[Value],
    x_zero: Sequence[Value],
    w_zero: Sequence[Value],
    product: ByteProduct,
) -> Value:
    """Return the int64 sums of products of numbers given by their bytes, highest first."""
    terms = []
    for i in range(len(x)):
        for j in range(len(w)):
            term = product(x[i], w[j], x_zero[i], w_zero[j]).cast("int64")
            place = (len(x) - 1 - i) + (len(w) - 1 - j)
            terms.append(term * 256**place if place else term)
    return sum(terms[1:], start=terms[0])
