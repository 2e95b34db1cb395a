"""What a kernel computes, as a value: its string is its name in the program, the tests and the benchmarks."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, replace

from intlower.kernels.half_rule import RULE_PATTERN, HalfRule


class ElementType(enum.Enum):
    """The storage type of a code; the value is the short form used in kernel names."""

    INT8 = "s8"
    UINT8 = "u8"
    INT16 = "s16"
    UINT16 = "u16"
    INT32 = "s32"
    FLOAT16 = "f16"

    @property
    def dtype_name(self) -> str:
        """The NumPy and ONNX name: `int8`, `uint8`, ...

        >>> ElementType.UINT8.dtype_name
        'uint8'
        """
        return self.name.lower()

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest integer that the type stores.

        Raises:
            TypeError: it stores no integers.

        >>> ElementType.INT8.limits
        (-128, 127)
        """
        if self is ElementType.FLOAT16:
            raise TypeError("float16 codes are not integers")
        bits = int(self.value[1:])
        return (
            (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
            if self.value[0] == "s"
            else (0, (1 << bits) - 1)
        )


class Requantize(enum.Enum):
    """How an accumulator becomes an output code; each member cites its equation in `numerics`.

    ============  ==========================================================  ==========
    member        rule                                                        equations
    ============  ==========================================================  ==========
    F32EVEN       one IEEE single-precision multiply, ties to even            (8), (9)
    MUL31DOUBLE   Q31 multiplier, two roundings (gemmlowp)                    (11), (13)
    MUL31SINGLE   multiplier of up to 31 bits, one rounding, ties up          (12), (17)
    F32BIAS       as F32EVEN, the bias added in single precision              (15), (9)
    POWERUP       power of two, ties up                                       (16), (18)
    POWERAWAY     power of two, ties away from zero                           (16), (18)
    POWEREVEN     power of two, ties to even                                  (16), (18)
    ============  ==========================================================  ==========
    """

    F32EVEN = "f32even"
    MUL31DOUBLE = "mul31double"
    MUL31SINGLE = "mul31single"
    F32BIAS = "f32bias"
    POWERUP = "powerup"
    POWERAWAY = "poweraway"
    POWEREVEN = "powereven"

    @property
    def single_precision(self) -> bool:
        """Whether it scales by a float32."""
        return self in (Requantize.F32EVEN, Requantize.F32BIAS)

    @property
    def power_of_two(self) -> bool:
        """Whether it scales by powers of two only."""
        return self in (Requantize.POWERUP, Requantize.POWERAWAY, Requantize.POWEREVEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSchema:
    """The arguments of one integer operator, in calling order: tensors, constants, attributes.

    Attributes:
        inputs: number of tensor inputs; None means one or more.
        constants: names of the constant arrays.
        attributes: names of the integer attributes.
        weighted: whether the kernel name carries a weight type.
        requantized: whether the kernel name carries a requantization and an output type.
        converts: whether it carries an output type without a requantization, which its constants state.
        half: whether the kernel name carries a half-precision rule.
        moves_floats: whether float16 codes may go through it, although it is no half-precision operator.
    """

    inputs: int | None = 1
    constants: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    weighted: bool = False
    requantized: bool = False
    half: bool = False
    converts: bool = False
    moves_floats: bool = False


_PER_CHANNEL = ("weights", "bias", "multiplier", "shift", "minimum", "maximum")
_ZERO_POINTS = ("input_zero_point", "weight_zero_point", "output_zero_point")
_WINDOW = ("kernel_shape", "strides", "pads")
_LIMITS = ("minimum", "maximum")
_LOG_PRODUCTS = ("weights", "bias_low", "bias_high", "mantissas", *_LIMITS)
_LOG_READ_OUT = ("product_shift", "mantissa", "shift")

# Every operator of the integer program. `reference.py` documents each argument's layout and range.
OPERATORS: dict[str, OperatorSchema] = {
    "conv2d": OperatorSchema(
        constants=_PER_CHANNEL,
        attributes=("strides", "pads", "dilations", "groups", *_ZERO_POINTS),
        weighted=True,
        requantized=True,
    ),
    "gemm": OperatorSchema(
        constants=_PER_CHANNEL, attributes=_ZERO_POINTS, weighted=True, requantized=True
    ),
    "saturating_conv2d": OperatorSchema(
        constants=_PER_CHANNEL,
        attributes=(
            "strides",
            "pads",
            "dilations",
            "groups",
            *_ZERO_POINTS,
            "accumulator_bits",
        ),
        weighted=True,
        requantized=True,
    ),
    "saturating_gemm": OperatorSchema(
        constants=_PER_CHANNEL,
        attributes=(*_ZERO_POINTS, "accumulator_bits"),
        weighted=True,
        requantized=True,
    ),
    "add": OperatorSchema(
        inputs=2,
        attributes=(
            "multiplier",
            "shift",
            "left_shift",
            "input_zero_points",
            "output_zero_point",
            "minimum",
            "maximum",
        ),
        requantized=True,
    ),
    "average_pool": OperatorSchema(
        constants=("multiplier", "shift"),
        attributes=(*_WINDOW, "input_zero_point", "output_zero_point", "minimum", "maximum"),
        requantized=True,
    ),
    "requantize": OperatorSchema(
        attributes=(
            "multiplier",
            "shift",
            "input_zero_point",
            "output_zero_point",
            "minimum",
            "maximum",
        ),
        requantized=True,
    ),
    "max_pool": OperatorSchema(attributes=(*_WINDOW, "dilations")),
    "concat": OperatorSchema(inputs=None, attributes=("axis",), moves_floats=True),
    "pad": OperatorSchema(attributes=("pads", "value")),
    "slice": OperatorSchema(attributes=("starts", "ends", "axes", "steps"), moves_floats=True),
    "reshape": OperatorSchema(attributes=("shape",), moves_floats=True),
    "softmax": OperatorSchema(constants=("table",), attributes=("axis", "maximum")),
    # Functions of one code, rearrangement and products of tensors, `reference_extended.py`.
    "lookup": OperatorSchema(constants=("table",), converts=True),
    "lookup_channels": OperatorSchema(constants=("table",), converts=True),
    "transpose": OperatorSchema(attributes=("permutation",), moves_floats=True),
    "gather": OperatorSchema(constants=("indices",), attributes=("axis",), moves_floats=True),
    "multiply": OperatorSchema(
        inputs=2,
        attributes=("multiplier", "shift", "input_zero_points", "output_zero_point", *_LIMITS),
        requantized=True,
    ),
    "resample": OperatorSchema(
        constants=("row_indices", "row_weights", "column_indices", "column_weights"),
        attributes=("multiplier", "shift", "input_zero_point", "output_zero_point", *_LIMITS),
        requantized=True,
    ),
    "mean_pool": OperatorSchema(attributes=(*_WINDOW, "minimum", "maximum")),
    "softmax_fixed": OperatorSchema(constants=("table",), attributes=("axis",)),
    # Products of activations, normalizations, quotients, constants and conversions, `reference_general.py`.
    "matmul": OperatorSchema(
        inputs=2,
        attributes=("multiplier", "shift", "input_zero_points", "output_zero_point", *_LIMITS),
        requantized=True,
    ),
    "normalize": OperatorSchema(
        constants=("multiplier", "bias"),
        attributes=(
            "bias_shift",
            "shift",
            "epsilon",
            "input_shift",
            "output_zero_point",
            *_LIMITS,
        ),
        converts=True,
    ),
    "lrn": OperatorSchema(
        constants=("table",),
        attributes=(
            "size",
            "sum_shift",
            "shift",
            "input_zero_point",
            "output_zero_point",
            *_LIMITS,
        ),
        converts=True,
    ),
    "divide": OperatorSchema(
        inputs=2,
        attributes=("multiplier", "shift", "input_zero_points", "output_zero_point", *_LIMITS),
        converts=True,
    ),
    "constant": OperatorSchema(constants=("codes",), converts=True),
    "convert": OperatorSchema(
        attributes=("multiplier", "shift", "input_zero_point", "output_zero_point", *_LIMITS),
        converts=True,
    ),
    "lookup_interpolated": OperatorSchema(constants=("table",), converts=True),
    # Logarithmic codes and linear numbers, `reference_log.py` and `numerics_log.py`.
    "log_conv2d": OperatorSchema(
        constants=_LOG_PRODUCTS,
        attributes=("strides", "pads", "dilations", "groups", *_LOG_READ_OUT),
        weighted=True,
        converts=True,
    ),
    "log_gemm": OperatorSchema(
        constants=_LOG_PRODUCTS, attributes=_LOG_READ_OUT, weighted=True, converts=True
    ),
    "log_encode": OperatorSchema(
        constants=("thresholds",), attributes=("negative_threshold",), converts=True
    ),
    "log_decode": OperatorSchema(constants=("levels",), converts=True),
    "linear_add": OperatorSchema(inputs=2, attributes=_LIMITS),
    "linear_average_pool": OperatorSchema(
        constants=("counts",), attributes=(*_WINDOW, *_LIMITS)
    ),
    "linear_clamp": OperatorSchema(attributes=_LIMITS),
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
}

_NAME = re.compile(
    r"(?P<operator>[a-z0-9_]+?)(?P<types>(?:_(?:[su](?:8|16|32)|f16)c?)+)"
    r"(?:__(?P<requantize>" + "|".join(rule.value for rule in Requantize) + r"))?"
    rf"(?:__(?P<half>{RULE_PATTERN}))?(?:__(?P<variant>[a-z0-9]+))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelKey:
    """The name of a kernel: operator, element types, requantization and, once selected, the variant.

    Follows XNNPACK's naming. Programs hold keys without a variant; `library.kernel_for` adds one.

    >>> key = KernelKey(operator="conv2d", activation=ElementType.INT8, weight=ElementType.INT8,
    ...                 per_channel=True, output=ElementType.INT8, requantize=Requantize.F32EVEN)
    >>> str(key)
    'conv2d_s8_s8c_s8__f32even'
    >>> KernelKey.parse(str(key)) == key
    True
    """

    operator: str
    activation: ElementType
    weight: ElementType | None = None
    per_channel: bool = False
    output: ElementType
    requantize: Requantize | None = None
    half: HalfRule | None = None
    variant: str = ""

    def __post_init__(self) -> None:
        schema = OPERATORS.get(self.operator)
        if schema is None:
            raise ValueError(f"unknown integer operator {self.operator!r}")
        if schema.weighted != (self.weight is not None):
            raise ValueError(
                f"{self.operator}: a weight type is given exactly where it has weights"
            )
        if schema.requantized != (self.requantize is not None):
            raise ValueError(
                f"{self.operator}: a requantization is given exactly where it has one"
            )
        if schema.half != (self.half is not None):
            raise ValueError(
                f"{self.operator}: a half-precision rule is given exactly where it has one"
            )
        if not _names_output(schema) and self.output is not self.activation:
            raise ValueError(f"{self.operator} keeps its element type")
        floats = ElementType.FLOAT16 in (self.activation, self.weight, self.output)
        if floats and not (schema.half or schema.moves_floats):
            raise ValueError(f"{self.operator} has no arithmetic on float16")

    def __str__(self) -> str:
        parts = [self.operator, self.activation.value]
        if self.weight is not None:
            parts.append(self.weight.value + ("c" if self.per_channel else ""))
        if _names_output(self.schema):
            parts.append(self.output.value)
        name = "_".join(parts)
        if self.requantize is not None:
            name += f"__{self.requantize.value}"
        if self.half is not None:
            name += f"__{self.half}"
        return f"{name}__{self.variant}" if self.variant else name

    @property
    def schema(self) -> OperatorSchema:
        """The operator's arguments."""
        return OPERATORS[self.operator]

    def with_variant(self, variant: str) -> KernelKey:
        """Return the key of one implementation."""
        return replace(self, variant=variant)

    @classmethod
    def parse(cls, name: str) -> KernelKey:
        """Return the key of a name; the inverse of `str`.

        Raises:
            ValueError: the text names no kernel.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"not a kernel name: {name!r}")
        types = match["types"].lstrip("_").split("_")
        schema = OPERATORS.get(match["operator"])
        expected = 1 if schema is None else _types_in_name(schema)
        if schema is None or len(types) != expected:
            raise ValueError(f"not a kernel name: {name!r}")
        weight = types[1] if schema.weighted else None
        return cls(
            operator=match["operator"],
            activation=ElementType(types[0]),
            weight=None if weight is None else ElementType(weight.removesuffix("c")),
            per_channel=weight is not None and weight.endswith("c"),
            output=ElementType(types[-1] if _names_output(schema) else types[0]),
            requantize=None if match["requantize"] is None else Requantize(match["requantize"]),
            half=None if match["half"] is None else HalfRule.parse(match["half"]),
            variant=match["variant"] or "",
        )


def _names_output(schema: OperatorSchema) -> bool:
    """Whether an operator's kernel names end with an output type."""
    return schema.requantized or schema.converts


def _types_in_name(schema: OperatorSchema) -> int:
    return 1 + schema.weighted + _names_output(schema)
