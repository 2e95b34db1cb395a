"""Convolutions and batch normalization."""

from __future__ import annotations

import torch
import torch.nn.functional as functional

from intlower.compiler.operators import BatchNormalization, Conv, ConvTranspose


def conv(
    operator: Conv, x: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the convolution."""
    top, left, bottom, right = operator.pads
    if (top, left) != (bottom, right):  # torch pads both ends alike
        x, top, left = functional.pad(x, (left, right, top, bottom)), 0, 0
    return functional.conv2d(
        x, weights, bias, operator.strides, (top, left), operator.dilations, operator.groups
    )


def batch_normalization(
    operator: BatchNormalization,
    x: torch.Tensor,
    scale: torch.Tensor,
    shift: torch.Tensor,
    mean: torch.Tensor,
    variance: torch.Tensor,
) -> torch.Tensor:
    """Return each channel scaled and shifted by its constants."""
    factor = scale / torch.sqrt(variance + operator.epsilon)
    per_channel = (-1, *(1,) * (x.dim() - 2))
    return x * factor.reshape(per_channel) + (shift - mean * factor).reshape(per_channel)


def conv_transpose(
    operator: ConvTranspose,
    x: torch.Tensor,
    weights: torch.Tensor,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the transposed convolution; all of it is computed and then cut, as torch cuts both ends alike."""
    full = functional.conv_transpose2d(
        x, weights, None, operator.strides, 0, 0, operator.groups, operator.dilations
    )
    full = functional.pad(full, (0, operator.output_padding[1], 0, operator.output_padding[0]))
    top, left, bottom, right = operator.pads
    cut = full[:, :, top : full.shape[2] - bottom, left : full.shape[3] - right]
    return cut if bias is None else cut + bias.reshape(-1, 1, 1)
