"""Activations and functions of one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as functional

from intlower.compiler.operators import Activation, ChannelClip, Elementwise, Function

# Each takes x, alpha and beta.
_Meaning = Callable[[torch.Tensor, float, float], torch.Tensor]

_MEANINGS: Mapping[Function, _Meaning] = MappingProxyType(
    {
        Function.ABS: lambda x, a, b: x.abs(),
        Function.CEIL: lambda x, a, b: x.ceil(),
        Function.CELU: lambda x, a, b: functional.celu(x, a),
        Function.COS: lambda x, a, b: x.cos(),
        Function.ELU: lambda x, a, b: torch.where(x >= 0, x, a * torch.expm1(x)),
        Function.ERF: lambda x, a, b: x.erf(),
        Function.EXP: lambda x, a, b: x.exp(),
        Function.FLOOR: lambda x, a, b: x.floor(),
        Function.GELU: lambda x, a, b: functional.gelu(x),
        Function.GELU_TANH: lambda x, a, b: functional.gelu(x, approximate="tanh"),
        Function.HARD_SIGMOID: lambda x, a, b: (a * x + b).clamp(0, 1),
        Function.HARD_SWISH: lambda x, a, b: functional.hardswish(x),
        Function.LEAKY_RELU: lambda x, a, b: functional.leaky_relu(x, a),
        Function.LOG: lambda x, a, b: x.log(),
        Function.MISH: lambda x, a, b: functional.mish(x),
        Function.NEG: lambda x, a, b: -x,
        Function.POW: lambda x, a, b: x.pow(a),
        Function.RECIPROCAL: lambda x, a, b: x.reciprocal(),
        Function.ROUND: lambda x, a, b: x.round(),
        Function.SELU: lambda x, a, b: b * torch.where(x > 0, x, a * torch.expm1(x)),
        Function.SIGMOID: lambda x, a, b: x.sigmoid(),
        Function.SIGN: lambda x, a, b: x.sign(),
        Function.SILU: lambda x, a, b: x * torch.sigmoid(a * x),
        Function.SIN: lambda x, a, b: x.sin(),
        Function.SOFTPLUS: lambda x, a, b: torch.logaddexp(x, torch.zeros_like(x)),
        Function.SOFTSIGN: lambda x, a, b: functional.softsign(x),
        Function.SQRT: lambda x, a, b: x.sqrt(),
        Function.TANH: lambda x, a, b: x.tanh(),
        Function.THRESHOLDED_RELU: lambda x, a, b: torch.where(x > a, x, torch.zeros_like(x)),
    }
)


def apply_function(operator: Elementwise, x: torch.Tensor) -> torch.Tensor:
    """Return a function of every element of x, of any shape and floating type."""
    return _MEANINGS[operator.function](x, operator.alpha, operator.beta)


def apply_activation(activation: Activation, x: torch.Tensor) -> torch.Tensor:
    """Return x, [N, C, ...], limited to the activation's bounds."""
    if isinstance(activation, ChannelClip):
        shape = (-1, *(1,) * (x.ndim - 2))
        bounds = (
            torch.tensor(bound.array, dtype=x.dtype).reshape(shape)
            for bound in (activation.minimum, activation.maximum)
        )
        return torch.clamp(x, *bounds)
    low, high = activation.minimum, activation.maximum
    # The same numbers as clamp's; the derivatives of these two take one pass over memory instead of three.
    if (low, high) == (0.0, math.inf):
        return functional.relu(x)
    if math.isfinite(low) and math.isfinite(high):
        return functional.hardtanh(x, low, high)
    return torch.clamp(x, low, high)
