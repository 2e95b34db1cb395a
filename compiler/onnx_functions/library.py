"""From a kernel to the ONNX function that says what it computes."""

from __future__ import annotations

from collections.abc import Callable

from onnx import FunctionProto

from intlower.compiler.onnx_functions import (
    elementwise,
    fixed_point,
    logarithmic,
    movement,
    products,
    saturating,
)
from intlower.compiler.onnx_functions.body import Body, Value
from intlower.compiler.onnx_functions.extended import EXTENDED_MEANINGS, EXTENDED_WRITERS
from intlower.compiler.onnx_functions.general import GENERAL_MEANINGS, GENERAL_WRITERS
from intlower.compiler.onnx_functions.half import HALF_MEANINGS, HALF_WRITERS
from intlower.kernels.signature import KernelKey, Requantize

_WRITERS: dict[str, Callable[[Body, KernelKey], Value]] = {
    "conv2d": products.conv2d,
    "gemm": products.gemm,
    "saturating_conv2d": saturating.saturating_conv2d,
    "saturating_gemm": saturating.saturating_gemm,
    "average_pool": products.average_pool,
    "add": elementwise.add,
    "requantize": elementwise.requantize,
    "softmax": elementwise.softmax,
    "mean_pool": fixed_point.mean_pool,
    "softmax_fixed": fixed_point.softmax_fixed,
    "max_pool": movement.max_pool,
    "pad": movement.pad,
    "slice": movement.slice_,
    "reshape": movement.reshape,
    "log_conv2d": logarithmic.log_conv2d,
    "log_gemm": logarithmic.log_gemm,
    "log_encode": logarithmic.log_encode,
    "log_decode": logarithmic.log_decode,
    "linear_add": logarithmic.linear_add,
    "linear_average_pool": logarithmic.linear_average_pool,
    "linear_clamp": logarithmic.linear_clamp,
    **EXTENDED_WRITERS,
    **GENERAL_WRITERS,
    **HALF_WRITERS,
}

_MEANINGS = {
    "conv2d": "2-d convolution of {x} codes with {w} weights",
    "gemm": "Product of {x} codes with a matrix of {w} weights",
    "saturating_conv2d": "2-d convolution of {x} codes with {w} weights, its sums saturating at each product",
    "saturating_gemm": "Product of {x} codes with a matrix of {w} weights, its sums saturating at each product",
    "average_pool": "Mean of each window of {x} codes",
    "add": "Sum of two tensors of {x} codes, each with a scale of its own",
    "requantize": "{x} codes on another grid",
    "softmax": "Softmax of {x} codes by a table of exponentials and one division, ties up",
    "mean_pool": "Mean of the {x} codes of each window, rounded half away from code 0; padding is not counted",
    "softmax_fixed": "Softmax of {x} codes by a table of exponentials and TFLite's fixed-point reciprocal",
    "max_pool": "Maximum of each window of {x} codes; padding never wins",
    "concat": "{x} tensors joined along an axis",
    "pad": "{x} codes with a border of one code",
    "slice": "A part of {x} codes",
    "reshape": "The same {x} codes under another shape",
    "log_conv2d": "2-d convolution of logarithmic {x} codes with {w} weights, as linear {y}",
    "log_gemm": "Product of logarithmic {x} codes with a matrix of {w} weights, as linear {y}",
    "log_encode": "Logarithmic {y} codes of linear {x}",
    "log_decode": "Linear {y} of logarithmic {x} codes",
    "linear_add": "Saturated sum of two tensors of linear {x}, clamped",
    "linear_average_pool": "Mean of each window of linear {x}, ties away from zero, clamped",
    "linear_clamp": "Linear {x}, clamped",
    **EXTENDED_MEANINGS,
    **GENERAL_MEANINGS,
    **HALF_MEANINGS,
}

_ROUNDINGS = {
    Requantize.F32EVEN: "one IEEE single-precision multiply, ties to even, in integers",
    Requantize.MUL31DOUBLE: "31-bit multiplier rounded half up, then a shift rounded half away from zero",
    Requantize.MUL31SINGLE: "multiplier of up to 31 bits and shift, rounded half up",
    Requantize.F32BIAS: "bias and scale in IEEE single precision, ties to even, in integers",
    Requantize.POWERUP: "a power of two, rounded half up",
    Requantize.POWERAWAY: "a power of two, rounded half away from zero",
    Requantize.POWEREVEN: "a power of two, rounded half to even",
}


def function_name(key: KernelKey, arity: int) -> str:
    """Return the name of a kernel's function: the kernel's, with the arity where that varies.

    >>> function_name(KernelKey.parse("concat_u8"), 3)
    'concat_u8__of3'
    """
    return str(key) if key.schema.inputs is not None else f"{key}__of{arity}"


def function_for(key: KernelKey, arity: int) -> FunctionProto:
    """Return the function that computes a kernel.

    Its inputs are the tensors and then the constants of the kernel's schema, its attributes the schema's, its one
    output the codes.

    Args:
        key: the kernel; its variant is of no matter.
        arity: number of tensors.

    Raises:
        ArtifactError: ONNX has no exact arithmetic for the kernel's element types.
    """
    body = Body()
    if key.operator == "concat":
        output = movement.concat(body, key, arity)
    else:
        output = _WRITERS[key.operator](body, key)
    tensors = ["input"] if key.schema.inputs == 1 else [f"input_{i}" for i in range(arity)]
    return body.function(
        function_name(key, arity),
        inputs=[*tensors, *key.schema.constants],
        output=output,
        attributes=key.schema.attributes,
        description=_description(key),
    )


def _description(key: KernelKey) -> str:
    weight = "" if key.weight is None else key.weight.dtype_name
    meaning = _MEANINGS[key.operator].format(
        x=key.activation.dtype_name, w=weight, y=key.output.dtype_name
    )
    if key.per_channel:
        meaning += ", one scale per channel"
    if key.half is not None:
        return f"{meaning}; {key.half.describe()}."
    if key.requantize is None:
        return f"{meaning}."
    return f"{meaning}; requantized to {key.output.dtype_name}: {_ROUNDINGS[key.requantize]}."
