"""Pools with ONNX's windows, which torch does not have all of."""

from __future__ import annotations

import torch
import torch.nn.functional as functional

from intlower.compiler.operators import AveragePool, MaxPool, window_size


def average_pool(pool: AveragePool, x: torch.Tensor) -> torch.Tensor:
    """Sums over zero-padded windows, divided by the number of positions that count.

    A position counts if it is in the input or, with `count_include_pad`, in the explicit padding;
    what hangs over beyond, with `ceil_mode`, never does.
    Source: ONNX AveragePool; onnxruntime for every opset. (torch has no asymmetric pads.)
    """
    padded = _pad_windows(x, pool, (1, 1), 0.0)
    sums = functional.avg_pool2d(padded, pool.kernel_shape, pool.strides, divisor_override=1)
    rows, columns = (
        torch.tensor(
            _counts(pool, axis, x.shape[2 + axis], sums.shape[2 + axis]), dtype=x.dtype
        )
        for axis in (0, 1)
    )
    return sums / (rows[:, None] * columns)


def _counts(pool: AveragePool, axis: int, size: int, windows: int) -> list[int]:
    """Return how many positions count along one spatial axis, for each window."""
    begin, end = pool.pads[axis], pool.pads[axis + 2]
    low, high = (0, begin + size + end) if pool.count_include_pad else (begin, begin + size)
    starts = range(0, windows * pool.strides[axis], pool.strides[axis])
    return [min(start + pool.kernel_shape[axis], high) - max(start, low) for start in starts]


def max_pool(pool: MaxPool, x: torch.Tensor) -> torch.Tensor:
    """Return the maxima of windows."""
    padded = _pad_windows(x, pool, pool.dilations, -torch.inf)
    return functional.max_pool2d(
        padded, pool.kernel_shape, pool.strides, dilation=pool.dilations
    )


def _pad_windows(
    x: torch.Tensor, pool: AveragePool | MaxPool, dilations: tuple[int, int], value: float
) -> torch.Tensor:
    """Return x padded so that every window of the pool lies inside, and no other does."""
    pads: list[int] = []
    for axis in (1, 0):  # torch names the last axis first
        size, begin, end = x.shape[2 + axis], pool.pads[axis], pool.pads[axis + 2]
        kernel, stride, dilation = pool.kernel_shape[axis], pool.strides[axis], dilations[axis]
        windows = window_size(size, kernel, stride, begin, end, dilation, pool.ceil_mode)
        extent = (windows - 1) * stride + dilation * (kernel - 1) + 1
        pads += [begin, extent - size - begin]
    return functional.pad(x, pads, value=value)
