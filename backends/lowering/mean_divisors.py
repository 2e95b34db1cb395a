"""What the DPU multiplies a pooled sum by."""

from __future__ import annotations

import math

# Windows with constants of their own: (numerator, log2 of the denominator). Source: Xilinx/Vitis-AI vai_q_pytorch
# pytorch_binding/pytorch_nndct/nn/modules/avgpool.py; amd/Quark quark/onnx/postprocess/simulation/simulate_dpu.py.
DPU_CONSTANTS: dict[tuple[int, int], tuple[int, int]] = {
    (3, 3): (7, 6),
    (5, 5): (10, 8),
    (6, 6): (7, 8),
    (3, 6): (7, 7),
    (6, 3): (7, 7),
    (7, 7): (21, 10),
    (14, 14): (21, 12),
}


def dpu_divisor(window: tuple[int, int], count: int) -> tuple[int, int]:
    """Return (numerator, shift) that stand for 1 / count: a constant of the window, or round(2**n / count) / 2**n.

    n is the first below ceil(log2(128 * count)) that comes nearest. A window over the border counts fewer elements than it
    has: it takes the constant of its count (our definition).

    >>> dpu_divisor((3, 3), 9), dpu_divisor((8, 8), 64), dpu_divisor((2, 2), 4)
    ((7, 6), (1, 6), (1, 2))
    """
    if window in DPU_CONSTANTS and count == math.prod(window):
        return DPU_CONSTANTS[window]
    best, least = (0, 0), math.inf
    for n in range(math.ceil(math.log2(128 * count))):
        numerator = round(2**n / count)
        error = abs(numerator / 2**n - 1 / count)
        if numerator and error < least:
            best, least = (numerator, n), error
    return best
