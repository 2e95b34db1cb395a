"""Normalizations by statistics of the input."""

from __future__ import annotations

import torch
import torch.nn.functional as functional

from intlower.compiler.operators import LRN, InstanceNormalization, LayerNormalization


def instance_normalization(
    operator: InstanceNormalization, x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor
) -> torch.Tensor:
    """Return each channel of each sample normalized."""
    axes = tuple(range(2, x.dim()))
    per_channel = (-1, *(1,) * len(axes))
    variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    normal = (x - mean) / torch.sqrt(variance + operator.epsilon)
    return normal * scale.reshape(per_channel) + shift.reshape(per_channel)


def layer_normalization(
    operator: LayerNormalization,
    x: torch.Tensor,
    scale: torch.Tensor,
    shift: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the last axes normalized."""
    axis = operator.axis % x.dim()
    return functional.layer_norm(x, x.shape[axis:], scale, shift, operator.epsilon)


def local_response_normalization(operator: LRN, x: torch.Tensor) -> torch.Tensor:
    """Return x over the power of a sum of squares of neighbouring channels."""
    before = (operator.size - 1) // 2
    after = operator.size - 1 - before
    squares = x.square().reshape(x.shape[0], 1, x.shape[1], -1)
    padded = functional.pad(squares, (0, 0, before, after))
    sums = functional.avg_pool2d(padded, (operator.size, 1), 1, divisor_override=1)
    denominator = operator.bias + operator.alpha / operator.size * sums.reshape(x.shape)
    return x / denominator**operator.beta
