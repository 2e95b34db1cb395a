"""Resampling, one axis after another."""

from __future__ import annotations

import torch

from intlower.compiler.operators import Resize


def resize(operator: Resize, x: torch.Tensor) -> torch.Tensor:
    """Return x resampled."""
    outside = torch.zeros(operator.sizes, dtype=torch.bool)
    for spatial, out in enumerate(operator.sizes):
        axis = 2 + spatial
        size = x.shape[axis]
        indices, weights = operator.taps(spatial, size)
        along = [1] * x.dim()
        along[axis] = out
        x = torch.stack(
            [
                x.index_select(axis, torch.tensor(indices[:, tap]))
                * torch.tensor(weights[:, tap], dtype=x.dtype).reshape(along)
                for tap in range(indices.shape[1])
            ]
        ).sum(0)
        outside |= torch.tensor(operator.outside(spatial, size)).reshape(along[2:])
    return x.masked_fill(outside, operator.extrapolation) if outside.any() else x
