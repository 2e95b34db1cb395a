"""From a float graph and ranges to a minifloat program."""

from __future__ import annotations

import math

from intlower.backends.lowering_half.lower import lower_floats
from intlower.backends.lowering_minifloat.builder import MinifloatBuilder, greatest_magnitude
from intlower.compiler.calibration import Ranges
from intlower.compiler.errors import ScaleOutOfRange
from intlower.compiler.graph import Graph
from intlower.compiler.moments import propagate_moments
from intlower.compiler.operators import Conv, Gemm
from intlower.compiler.program import IntegerProgram, Origin
from intlower.compiler.recipe import Recipe
from intlower.compiler.spec_minifloat import MinifloatSpec
from intlower.kernels.minifloat_rule import (
    LEAST_EXPONENT_BITS,
    MOST_EXPONENT_BITS,
    MinifloatRule,
)


def lower_minifloats(
    graph: Graph, ranges: Ranges, spec: MinifloatSpec, recipe: Recipe, origin: Origin
) -> IntegerProgram:
    """Return the program of a graph on a target whose numbers are minifloats.

    Args:
        graph: batch norm folded, activations fused.
        ranges: of every value.
        spec: the target's arithmetic.
        recipe: how weights become codes; its passes have run.
        origin: recorded in the program.

    Raises:
        UnsupportedByTarget: operators that the target does not have, all of them at once.
        CalibrationError: a value has no range.
        ScaleOutOfRange: numbers need more bits of exponent than there are, or a bias is too great.
    """
    exponent_bits = LEAST_EXPONENT_BITS
    if not spec.own_biases:
        exponent_bits = published_exponent_bits(graph, ranges, spec)
    builder = MinifloatBuilder(
        graph=graph,
        target=spec.name,
        rule=MinifloatRule.of(spec.bits, exponent_bits, spec.even),
        own_biases=spec.own_biases,
        trimmed_biases=spec.trimmed_biases,
        ranges=ranges,
        recipe=recipe,
        moments=propagate_moments(graph),
    )
    return lower_floats(builder, spec, origin)


def published_exponent_bits(graph: Graph, ranges: Ranges, spec: MinifloatSpec) -> int:
    """Return the bits of exponent that no input or output of a layer saturates with, the same for the whole network.

        e = max(4, max over layers of ceil(log2(log2(max|x|) - 1) + 1))

    Weights are left out, as in the source: they are normally smaller.

    Source: pmgysel/caffe src/caffe/ristretto/quantization.cpp, Quantize2MiniFloat.

    Raises:
        CalibrationError: a value has no range.
        ScaleOutOfRange: 6 bits are not enough.
    """
    least = LEAST_EXPONENT_BITS
    for node in graph.nodes:
        if not isinstance(node.operator, Conv | Gemm):
            continue
        for name in (node.inputs[0], node.output):
            bound = greatest_magnitude(ranges, name)
            needed = math.ceil(math.log2(math.log2(bound) - 1) + 1) if bound > 4 else 0
            if needed > MOST_EXPONENT_BITS:
                raise ScaleOutOfRange(
                    f"{name!r} reaches {bound:.3g}, for which {spec.name!r} would need {needed} bits of exponent",
                    f"it has up to {MOST_EXPONENT_BITS}; leave out ranges=published",
                )
            least = max(least, needed)
    return least
