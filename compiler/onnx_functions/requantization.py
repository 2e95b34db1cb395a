"""What every requantizing operator ends with: scale, zero point, clamp, storage type."""

from __future__ import annotations

from intlower.compiler.onnx_functions.arithmetic import clamp, scale, scale_float32_biased
from intlower.compiler.onnx_functions.body import Body, Value
from intlower.kernels.signature import KernelKey, Requantize


def per_channel(body: Body, key: KernelKey, accumulator: Value, axes: tuple[int, ...]) -> Value:
    """Return the output of a weighted operator: bias, scale and clamp of each channel.

    Args:
        body: the function, with the parameters bias, multiplier, shift, minimum and maximum.
        key: names the rule and the output type.
        accumulator: int64 sums of products.
        axes: where the [O] parameters get axes of size 1 to broadcast against it.
    """

    def parameter(name: str) -> Value:
        value = body.parameter(name, "int32").cast("int64")
        return value.unsqueeze(*axes) if axes else value

    assert key.requantize is not None  # the key proves it
    bias, multiplier, shift = (parameter(name) for name in ("bias", "multiplier", "shift"))
    if key.requantize is Requantize.F32BIAS:
        scaled = scale_float32_biased(accumulator, bias, multiplier, shift)
    else:
        scaled = scale(key.requantize, accumulator + bias, multiplier, shift)
    return stored(body, key, scaled, parameter("minimum"), parameter("maximum"))


def per_tensor(
    body: Body, key: KernelKey, accumulator: Value, multiplier: Value, shift: Value
) -> Value:
    """Return the output of an operator whose clamp is the attributes minimum and maximum."""
    assert key.requantize is not None  # the key proves it
    scaled = scale(key.requantize, accumulator, multiplier, shift)
    return stored(body, key, scaled, body.attribute("minimum"), body.attribute("maximum"))


def stored(body: Body, key: KernelKey, scaled: Value, minimum: Value, maximum: Value) -> Value:
    """Return scaled integers as codes: plus the zero point, clamped, in the output type."""
    shifted = scaled + body.attribute("output_zero_point")
    return clamp(shifted, minimum, maximum).cast(key.output.dtype_name)
