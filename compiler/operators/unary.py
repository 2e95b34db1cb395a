"""Functions of one number, applied to every element: one operator for all of them."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.operators.shapes import Shape, require_arity


class Function(enum.Enum):
    """What `Elementwise` computes; a and b stand for its `alpha` and `beta`. Formulas are ONNX's.

    The value is the name that reports give the operator: ONNX's own where it has one.
    """

    ABS = "Abs"  # |x|
    CEIL = "Ceil"  # the least integer that is not less
    CELU = "Celu"  # max(x, 0) + min(a * (exp(x / a) - 1), 0)
    COS = "Cos"  # radians
    ELU = "Elu"  # x if x >= 0 else a * (exp(x) - 1)
    ERF = "Erf"  # 2 / sqrt(pi) times the integral of exp(-t*t) from 0 to x
    EXP = "Exp"
    FLOOR = "Floor"  # the greatest integer that is not greater
    GELU = "Gelu"  # x / 2 * (1 + erf(x / sqrt(2)))
    GELU_TANH = "GeluTanh"  # x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))
    HARD_SIGMOID = "HardSigmoid"  # max(0, min(1, a * x + b))
    HARD_SWISH = "HardSwish"  # x * max(0, min(1, x / 6 + 1 / 2))
    LEAKY_RELU = "LeakyRelu"  # x if x >= 0 else a * x
    LOG = "Log"  # natural
    MISH = "Mish"  # x * tanh(log(1 + exp(x)))
    NEG = "Neg"  # -x
    POW = "Pow"  # x**a
    RECIPROCAL = "Reciprocal"  # 1 / x
    ROUND = "Round"  # to the nearest integer, ties to even
    SELU = "Selu"  # b * (x if x > 0 else a * (exp(x) - 1))
    SIGMOID = "Sigmoid"  # 1 / (1 + exp(-x))
    SIGN = "Sign"  # -1, 0 or 1
    SILU = "Silu"  # x * sigmoid(a * x)
    SIN = "Sin"  # radians
    SOFTPLUS = "Softplus"  # log(1 + exp(x))
    SOFTSIGN = "Softsign"  # x / (1 + |x|)
    SQRT = "Sqrt"
    TANH = "Tanh"
    THRESHOLDED_RELU = "ThresholdedRelu"  # x if x > a else 0


# How many of alpha and beta a function reads; none unless listed.
_PARAMETERS = {
    Function.CELU: 1,
    Function.ELU: 1,
    Function.HARD_SIGMOID: 2,
    Function.LEAKY_RELU: 1,
    Function.POW: 1,
    Function.SELU: 2,
    Function.SILU: 1,
    Function.THRESHOLDED_RELU: 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Elementwise:
    """A function of one number, of every element: as a table where elements are codes.

    Attributes:
        function: which.
        alpha: its first parameter; 0 where it has none, so that equal functions are equal values.
        beta: its second; 0 where it has none.
    """

    function: Function
    alpha: float = 0.0
    beta: float = 0.0

    def __post_init__(self) -> None:
        given = (self.alpha, self.beta)
        if any(given[_PARAMETERS.get(self.function, 0) :]):
            raise InvalidGraph(f"{self.function.value} has no parameters like {given}")
        if self.function is Function.CELU and self.alpha == 0:
            raise InvalidGraph("Celu: alpha is 0, and it divides by it")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """As x."""
        require_arity(self.function.value, inputs, 1)
        return inputs[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class PRelu:
    """x if x >= 0 else slope * x, with a constant slope that broadcasts to x: one number for each channel, mostly."""

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """As x."""
        require_arity("PRelu", inputs, 2)
        x, slope = inputs
        pairs = zip(reversed(x), reversed(slope), strict=False)
        if len(slope) > len(x) or any(own not in (1, wanted) for wanted, own in pairs):
            raise InvalidGraph(f"PRelu: a slope of shape {slope} does not fit {x}")
        return x
