"""The operators of half precision and of minifloats; `reference_half.py` and `reference_minifloat.py` document each."""

from __future__ import annotations

from intlower.kernels.schema import OperatorSchema

_WINDOW = ("kernel_shape", "strides", "pads")
_LIMITS = ("minimum", "maximum")
_MINIFLOAT_PRODUCTS = ("weights", "bias", "shift", *_LIMITS)
_MINIFLOAT_BIASES = ("input_exponent_bias", "weight_exponent_bias", "output_exponent_bias")

FLOAT_OPERATORS: dict[str, OperatorSchema] = {
    # Half precision: `reference_half.py` documents each.
    "half_conv2d": OperatorSchema(
        constants=("weights", "bias", *_LIMITS),
        attributes=("strides", "pads", "dilations", "groups"),
        weighted=True,
        half=True,
    ),
    "half_gemm": OperatorSchema(
        constants=("weights", "bias", *_LIMITS), weighted=True, half=True
    ),
    "half_add": OperatorSchema(inputs=2, constants=_LIMITS, half=True),
    "half_average_pool": OperatorSchema(
        constants=("count", *_LIMITS), attributes=_WINDOW, half=True
    ),
    "half_max_pool": OperatorSchema(attributes=(*_WINDOW, "dilations"), half=True),
    "half_clip": OperatorSchema(constants=_LIMITS, half=True),
    "half_pad": OperatorSchema(constants=("value",), attributes=("pads",), half=True),
    "half_dequantize": OperatorSchema(
        constants=("multiplier", "shift", *_LIMITS), half=True, converts=True
    ),
    "half_quantize": OperatorSchema(
        attributes=("multiplier", "shift", "output_zero_point", *_LIMITS),
        half=True,
        converts=True,
    ),
    # Minifloats: `reference_minifloat.py` documents each.
    "minifloat_conv2d": OperatorSchema(
        constants=_MINIFLOAT_PRODUCTS,
        attributes=("strides", "pads", "dilations", "groups", *_MINIFLOAT_BIASES),
        weighted=True,
        minifloat=True,
    ),
    "minifloat_gemm": OperatorSchema(
        constants=_MINIFLOAT_PRODUCTS,
        attributes=_MINIFLOAT_BIASES,
        weighted=True,
        minifloat=True,
    ),
    "minifloat_add": OperatorSchema(
        inputs=2,
        constants=_LIMITS,
        attributes=("input_exponent_biases", "output_exponent_bias"),
        minifloat=True,
    ),
    "minifloat_average_pool": OperatorSchema(
        constants=("count", *_LIMITS),
        attributes=(*_WINDOW, "input_exponent_bias", "output_exponent_bias"),
        minifloat=True,
    ),
    "minifloat_clip": OperatorSchema(
        constants=_LIMITS,
        attributes=("input_exponent_bias", "output_exponent_bias"),
        minifloat=True,
    ),
}
