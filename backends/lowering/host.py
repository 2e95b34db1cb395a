"""What runs on the host beside a target whose numbers are no uniform codes: uniform codes of 16 bits, the shared lowering.

The target's numbers are converted by an integer instruction that is part of the program (`convert`, `half_quantize`,
`half_dequantize`), so that a host segment is as exact as all the rest: the same integers in the oracle, in the kernels and
in the artifact's ONNX functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from intlower.backends.lowering.builder import ProgramBuilder
from intlower.backends.lowering.encodings import encode
from intlower.backends.lowering.lower import lower_node
from intlower.backends.uniform import UNIFORM_OPERATORS
from intlower.compiler.calibration import Ranges
from intlower.compiler.errors import ScaleOutOfRange
from intlower.compiler.graph import Graph, Node
from intlower.compiler.grids import UniformGrid, UniformSpec
from intlower.compiler.program import Attribute, HostStep, Instruction, Tensor
from intlower.compiler.recipe import Recipe
from intlower.compiler.spec import (
    HOST_OPERATORS,
    AccumulatorSpec,
    MultiplierSpec,
    SoftmaxRule,
    TargetSpec,
    our_definition,
)
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import Requantize

_REASON = our_definition("the host is ours: 16 bits, one rounding for each operator, ties up")

# The arithmetic of host segments. Nothing with weights runs there.
HOST_SPEC = TargetSpec(
    name="host",
    title="the host beside a target, 16 bits",
    activations=UniformSpec(bits=16, signed=True, symmetric=True, rounding=Rounding.HALF_AWAY),
    weights=UniformSpec(bits=8, signed=True, symmetric=True, rounding=Rounding.HALF_AWAY),
    bias_bits=32,
    bias_rounding=Rounding.HALF_AWAY,
    accumulator=AccumulatorSpec(bits=32),
    requantize=Requantize.MUL31SINGLE,
    rescale=Requantize.MUL31SINGLE,
    multipliers=MultiplierSpec(),
    average_pool="exact sum, one 31-bit multiplier, equation (12)",
    addition="one 31-bit multiplier for each summand, equation (17)",
    concatenation="each input rescaled to the output's grid, equation (12)",
    softmax=SoftmaxRule.INTEGER_TABLE,
    calibration="min-max",
    operators=UNIFORM_OPERATORS | HOST_OPERATORS,
    provenance=dict.fromkeys(
        (
            "activations",
            "weights",
            "bias_bits",
            "bias_rounding",
            "accumulator",
            "requantize",
            "rescale",
            "multipliers",
            "average_pool",
            "addition",
            "concatenation",
            "softmax",
            "calibration",
            "operators",
        ),
        _REASON,
    ),
)

# Bits of the multiplier of a conversion, and its greatest shift: see `instruction_rules_general.py`.
_CONVERSION_BITS, _GREATEST_SHIFT = 29, 61


def host_builder(
    graph: Graph,
    ranges: Ranges,
    recipe: Recipe,
    tensors: dict[str, Tensor],
    instructions: list[Instruction],
    host: list[HostStep],
) -> ProgramBuilder:
    """Return a builder of host segments that adds to the tensors and instructions of another builder.

    Args:
        graph: what is lowered.
        ranges: of every value.
        recipe: how weights become codes.
        tensors: of the program, shared.
        instructions: of the program, shared.
        host: float steps of the program, shared.

    Raises:
        CalibrationError: a value has no range.
    """
    return ProgramBuilder(
        graph=graph,
        spec=HOST_SPEC,
        recipe=recipe,
        encodings=encode(graph, ranges, HOST_SPEC),
        moments={},
        tensors=tensors,
        instructions=instructions,
        host=host,
        on_host=True,
    )


def lower_on_host(builder: ProgramBuilder, node: Node, read: Mapping[str, str]) -> None:
    """Emit the instructions of a node on uniform codes of 16 bits.

    Args:
        builder: of host segments.
        node: to lower.
        read: the 16-bit tensor of each computed input, by the value's name.
    """
    lower_node(
        builder, replace(node, inputs=tuple(read.get(name, name) for name in node.inputs))
    )


def conversion(source: UniformGrid, target: UniformGrid, where: str) -> dict[str, Attribute]:
    """Return the attributes of a `convert` between two grids.

    Raises:
        ScaleOutOfRange: the target's step is far below the source's.
    """
    factor = source.step / target.step
    shift = min(_CONVERSION_BITS - math.frexp(factor)[1], _GREATEST_SHIFT)
    if shift < 1:
        raise ScaleOutOfRange(
            f"{where}: a ratio of scales of {factor:.3g} cannot be multiplied by",
            "the range is far below what the inputs can produce; check the calibration",
        )
    low, high = target.limits
    return {
        "multiplier": min(round(math.ldexp(factor, shift)), 1 << _CONVERSION_BITS),
        "shift": shift,
        "input_zero_point": source.zero_point,
        "output_zero_point": target.zero_point,
        "minimum": low,
        "maximum": high,
    }
