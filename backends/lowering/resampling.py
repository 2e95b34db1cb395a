"""Resize between elements: integer weights with stated fraction bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.builder import ProgramBuilder
from intlower.backends.lowering.rearrangement import lower_nearest
from intlower.backends.lowering.scales import prove_left_shift
from intlower.compiler.errors import UnsupportedByTarget
from intlower.compiler.graph import Node
from intlower.compiler.operators import Interpolation, Resize, known

# Fraction bits of a weight along one axis, as TFLite's integer bilinear resize has them (ResizeBilinearInteger,
# tensorflow/lite/kernels/internal/reference/resize_bilinear.h); fewer where the accumulator could not hold the sums.
WEIGHT_FRACTION_BITS = 10


def lower_resize(builder: ProgramBuilder, node: Node) -> None:
    """Emit `gather` for a nearest Resize; `resample` for a linear or cubic one of an image, rounded once.

    Our definition: weights along each axis are rounded to integers that sum to 2**bits, the sum over both axes is
    exact, and one rounding takes it to the output's grid.

    Raises:
        UnsupportedByTarget: a linear or cubic one of another rank, or one that makes up elements beyond the input.
    """
    operator = node.operator
    assert isinstance(operator, Resize)  # the caller matched it
    shape = builder.shape(node.inputs[0])
    if any(operator.outside(i, known(size)).any() for i, size in enumerate(shape[2:])):
        raise UnsupportedByTarget(
            f"{node.name}: it extrapolates beyond its input, which has no integer form",
            "crop inside the image",
        )
    if operator.interpolation is Interpolation.NEAREST:
        lower_nearest(builder, node)
        return
    if len(shape) != 4:
        raise UnsupportedByTarget(
            f"{node.name}: a {operator.interpolation.value} Resize of {shape} has no integer form",
            "resize images, [N, C, H, W]",
        )
    source, target = builder.grid(node.inputs[0]), builder.define_value(node.output)
    reach = max(abs(limit - source.zero_point) for limit in source.element.limits)
    taps = [operator.taps(i, known(shape[2 + i])) for i in range(2)]
    limit = min(builder.spec.accumulator.limit, (1 << 31) - 1)
    for bits in range(WEIGHT_FRACTION_BITS, 0, -1):
        weights = [integer_weights(real, bits) for _, real in taps]
        bound = reach
        for array in weights:
            bound *= int(np.abs(array).sum(axis=1).max())
        if bound <= limit:
            break
    multiplier, shift = builder.scale(
        "resample", (source.step, 2.0 ** (-2 * bits)), target.step, node.name
    )
    prove_left_shift(builder.rule("resample"), bound, shift, node.name)
    low, high = builder.activation_codes(node.activation, target)
    builder.emit(
        "resample",
        name=node.name,
        inputs=(node.inputs[0],),
        output=node.output,
        constants={
            "row_indices": taps[0][0].astype(np.int32),
            "row_weights": weights[0],
            "column_indices": taps[1][0].astype(np.int32),
            "column_weights": weights[1],
        },
        attributes={
            "multiplier": multiplier,
            "shift": shift,
            "input_zero_point": source.zero_point,
            "output_zero_point": target.zero_point,
            "minimum": low,
            "maximum": high,
        },
    )


def integer_weights(weights: NDArray[np.float64], bits: int) -> NDArray[np.int32]:
    """Return weights in units of 2**-bits, each row's sum exact: the greatest takes what rounding left over.

    Args:
        weights: [positions, taps], each row's sum 1.
        bits: of the fraction.

    >>> integer_weights(np.array([[0.3, 0.7], [0.25, 0.75]]), 2).tolist()
    [[1, 3], [1, 3]]
    """
    rounded = np.rint(np.ldexp(weights, bits)).astype(np.int64)
    greatest = np.abs(weights).argmax(axis=1)
    rounded[np.arange(len(rounded)), greatest] += (1 << bits) - rounded.sum(axis=1)
    return rounded.astype(np.int32)
