"""Quantized layers between half-precision tensors: quantize, an integer layer whose sums are int32, dequantize.

The three instructions are those of the vendor's own graph (AscendQuant, the layer, AscendDequant), so that every tensor
between them can be compared. An int32 sum leaves the layer as it is: Q31 arithmetic multiplies it by 2**30 / 2**30.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.correction import corrected_bias
from intlower.backends.lowering.pooling import effective_pads, window_counts
from intlower.backends.lowering.rounding import round_weights
from intlower.backends.lowering.scales import integer_scale
from intlower.backends.lowering.weighted import accumulator_bounds
from intlower.backends.lowering_half.builder import HalfBuilder
from intlower.backends.lowering_half.lower import Layer, lower_half
from intlower.compiler.calibration import Ranges
from intlower.compiler.constant import Constant
from intlower.compiler.errors import AccumulatorOverflow, CalibrationError, ScaleOutOfRange
from intlower.compiler.graph import Graph, Node
from intlower.compiler.grids import UniformGrid, UniformSpec
from intlower.compiler.moments import ValueMoments, propagate_moments
from intlower.compiler.operators import AveragePool, Conv, Gemm, known
from intlower.compiler.program import Attribute, IntegerProgram, Origin
from intlower.compiler.recipe import Recipe
from intlower.compiler.second_moments import SecondMoments
from intlower.compiler.spec_mixed import MixedSpec
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import ElementType, Requantize

# A Q31 scale of exactly 1, equation (12).
_ONE = (1 << 30, 30)


def lower_mixed(
    graph: Graph,
    ranges: Ranges,
    spec: MixedSpec,
    recipe: Recipe,
    origin: Origin,
    second_moments: Mapping[str, SecondMoments] | None = None,
) -> IntegerProgram:
    """Return the program of a graph whose products are integer and whose tensors are half precision.

    Args:
        graph: batch norm folded, activations fused.
        ranges: of every value.
        spec: the target's arithmetic.
        recipe: how weights become codes; its passes have run.
        origin: recorded in the program.
        second_moments: of what layers read, by node name, where the recipe's rounding wants them.

    Raises:
        UnsupportedByTarget: operators that the target does not have.
        CalibrationError: the input of a quantized layer has no range.
        AccumulatorOverflow: some input could drive a channel's sum past int32.
        ScaleOutOfRange: a scale is beyond single precision's multipliers.
    """
    lowering = _Lowering(
        spec=spec,
        ranges=ranges,
        recipe=recipe,
        moments=propagate_moments(graph),
        second_moments=second_moments or {},
    )
    layers: dict[type, Layer] = {
        Conv: lowering.weighted,
        Gemm: lowering.weighted,
        AveragePool: lowering.average_pool,
    }
    return lower_half(graph, ranges, spec.half, recipe, origin, layers)


def channel_scales(
    weights: NDArray[np.float64], limits: tuple[int, int], per_channel: bool, least: float
) -> NDArray[np.float32]:
    """Return the scales of a layer's weights by AMCT's ARQ: the extreme of greater magnitude takes the code at its end.

        s = max w / 127    where max w >= -min w,    else -min w / 128

    Args:
        weights: [O, ...].
        limits: least and greatest code.
        per_channel: one scale for each of O, else one for all.
        least: a scale below this becomes 1.

    Source: hicann/amct, custom_op/arq/arq_impl.py and utils.py.
    """
    rows = weights.reshape(len(weights) if per_channel else 1, -1)
    high, low = np.maximum(rows.max(axis=1), 0), np.maximum(-rows.min(axis=1), 0)
    scale = np.where(high >= low, high / limits[1], low / -limits[0]).astype(np.float32)
    return np.where(scale < np.float32(least), np.float32(1), scale)


def activation_grid(
    spec: UniformSpec, minimum: float, maximum: float, least: float
) -> UniformGrid:
    """Return AMCT's grid over a range that is made to include 0, in single precision.

        s = (max - min) / 255,    z = rint(-128 - min / s)

    Args:
        spec: signed and asymmetric.
        minimum: of the range.
        maximum: of the range.
        least: a scale below this becomes 1.

    Source: hicann/amct, custom_op/utils.py, calculate_scale_offset and process_scale.
    """
    low, high = np.float32(min(minimum, 0.0)), np.float32(max(maximum, 0.0))
    first, last = spec.limits
    scale = np.float32((high - low) / np.float32(last - first))
    zero_point = first
    if scale < np.float32(least):
        scale = np.float32(1)
    else:
        zero_point = int(np.clip(np.rint(np.float32(first) - low / scale), first, last))
    return _grid(spec.element, scale, zero_point, spec.limits, None)


@dataclass(slots=True, kw_only=True)
class _Lowering:
    """How quantized layers are lowered; lives only inside one call of `lower_mixed`."""

    spec: MixedSpec
    ranges: Ranges
    recipe: Recipe
    moments: Mapping[str, ValueMoments]
    second_moments: Mapping[str, SecondMoments]
    quantized: dict[str, str] = field(default_factory=dict)

    def weighted(self, builder: HalfBuilder, node: Node) -> bool:
        """Emit a convolution or matrix product."""
        operator = node.operator
        assert isinstance(operator, Conv | Gemm)  # the caller matched it
        weights = builder.constant(node, 1).astype(np.float64)
        outputs = len(weights)
        bias = (
            builder.constant(node, 2).astype(np.float64)
            if len(node.inputs) == 3
            else np.zeros(outputs)
        )
        name, source = self._quantized(builder, node)
        per_channel = isinstance(operator, Conv)
        scale = channel_scales(
            weights, self.spec.weights.limits, per_channel, self.spec.least_scale
        )
        # A bias may take half of int32: it matters for dead channels, whose weights are all but 0.
        room = np.abs(bias) / (float(source.scale.array) * 2.0**30)
        scale = np.maximum(scale, (room if per_channel else room.max()) * (1 + 1e-6))
        grid = _grid(
            self.spec.weights.element,
            scale if per_channel else scale.reshape(()),
            0,
            self.spec.weights.limits,
            0 if per_channel else None,
        )
        codes = round_weights(
            weights, grid, self.recipe.rounding, self.second_moments.get(node.name)
        )
        if self.recipe.correct_bias:
            error = grid.dequantize(codes).astype(np.float64) - weights
            bias = corrected_bias(builder.graph, node, self.moments, bias, error)
        unit = np.broadcast_to(scale, (outputs,)).astype(np.float64) * float(source.scale.array)
        bias_codes = np.rint(bias / unit).astype(np.int64)
        self._prove(node, codes, source, bias_codes)
        window: dict[str, Attribute] = (
            {
                "strides": operator.strides,
                "pads": operator.pads,
                "dilations": operator.dilations,
                "groups": operator.groups,
            }
            if isinstance(operator, Conv)
            else {}
        )
        low, high = ElementType.INT32.limits
        sums = self._sums(builder, node, unit)
        builder.emit(
            "conv2d" if isinstance(operator, Conv) else "gemm",
            name=f"{node.name}.sums",
            inputs=(name,),
            output=sums,
            constants={
                "weights": codes,
                "bias": bias_codes.astype(np.int32),
                "multiplier": np.full(outputs, _ONE[0], np.int32),
                "shift": np.full(outputs, _ONE[1], np.int32),
                "minimum": np.full(outputs, low, np.int32),
                "maximum": np.full(outputs, high, np.int32),
            },
            attributes={
                **window,
                "input_zero_point": source.zero_point,
                "weight_zero_point": 0,
                "output_zero_point": 0,
            },
            weight_grid=grid,
            per_channel=per_channel,
            requantize=Requantize.MUL31SINGLE,
        )
        self._dequantize(builder, node, sums, unit)
        return True

    def average_pool(self, builder: HalfBuilder, node: Node) -> bool:
        """Emit an average pooling whose windows all count alike; others are left to half precision."""
        operator = node.operator
        assert isinstance(operator, AveragePool)  # the caller matched it
        height, width = (known(d) for d in builder.shape(node.inputs[0])[2:])
        positions = [known(d) for d in builder.graph.values[node.output].shape[2:]]
        counts = np.outer(
            window_counts(operator, 0, height, positions[0]),
            window_counts(operator, 1, width, positions[1]),
        )
        if not (counts == counts[0, 0]).all():
            return False
        name, source = self._quantized(builder, node)
        channels = builder.channels(node.output)
        unit = np.full(channels, float(source.scale.array) / int(counts[0, 0]))
        low, high = ElementType.INT32.limits
        sums = self._sums(builder, node, unit)
        builder.emit(
            "average_pool",
            name=f"{node.name}.sums",
            inputs=(name,),
            output=sums,
            constants={
                "multiplier": np.array([[_ONE[0]]], np.int32),
                "shift": np.array([[_ONE[1]]], np.int32),
            },
            attributes={
                "kernel_shape": operator.kernel_shape,
                "strides": operator.strides,
                "pads": effective_pads(operator, (height, width), (positions[0], positions[1])),
                "input_zero_point": source.zero_point,
                "output_zero_point": 0,
                "minimum": low,
                "maximum": high,
            },
            requantize=Requantize.MUL31SINGLE,
        )
        self._dequantize(builder, node, sums, unit)
        return True

    def _quantized(self, builder: HalfBuilder, node: Node) -> tuple[str, UniformGrid]:
        """Return a layer's input in codes, emitted at its first use, and its grid."""
        value = node.inputs[0]
        if value not in self.ranges:
            raise CalibrationError(
                f"the value {value!r} has no range", "give representative inputs with --samples"
            )
        found = self.ranges[value]
        grid = activation_grid(
            self.spec.activations, found.minimum, found.maximum, self.spec.least_scale
        )
        if value not in self.quantized:
            name = _unused(builder, f"{value}.quantized")
            reciprocal = float(np.float32(1) / grid.scale.array)
            multiplier, shift = integer_scale(Requantize.F32EVEN, reciprocal, name)
            builder.define(name, builder.shape(value), grid)
            builder.emit(
                "half_quantize",
                name=name,
                inputs=(builder.half_form(value),),
                output=name,
                attributes={
                    "multiplier": multiplier,
                    "shift": shift,
                    "output_zero_point": grid.zero_point,
                    "minimum": grid.minimum,
                    "maximum": grid.maximum,
                },
            )
            self.quantized[value] = name
        return self.quantized[value], grid

    def _sums(self, builder: HalfBuilder, node: Node, unit: NDArray[np.float64]) -> str:
        """Define the int32 tensor of a layer's sums; return its name."""
        name = _unused(builder, f"{node.output}.sums")
        element = ElementType.INT32
        shape = builder.graph.values[node.output].shape
        grid = _grid(element, unit.astype(np.float32), 0, element.limits, 1)
        builder.define(name, shape, grid)
        return name

    def _dequantize(
        self, builder: HalfBuilder, node: Node, sums: str, unit: NDArray[np.float64]
    ) -> None:
        """Emit sums times their unit, a float32 of which the target keeps some bits of mantissa."""
        bits = unit.astype(np.float32).view(np.uint32) & np.uint32(self.spec.scale_mask)
        scales = [
            integer_scale(Requantize.F32EVEN, float(scale), f"{node.name}, channel {channel}")
            for channel, scale in enumerate(bits.view(np.float32))
        ]
        builder.define_value(node.output)
        builder.emit(
            "half_dequantize",
            name=node.name,
            inputs=(sums,),
            output=node.output,
            constants={
                "multiplier": np.array([multiplier for multiplier, _ in scales], np.int32),
                "shift": np.array([shift for _, shift in scales], np.int32),
                **builder.bounds(node.activation, len(scales)),
            },
        )

    def _prove(
        self,
        node: Node,
        codes: NDArray[np.int64],
        source: UniformGrid,
        bias_codes: NDArray[np.int64],
    ) -> None:
        limit = ElementType.INT32.limits[1]
        lowest, highest = accumulator_bounds(codes, 0, source, bias_codes.tolist())
        for channel, (low, high) in enumerate(zip(lowest, highest, strict=True)):
            if max(-low, high) > limit:
                raise AccumulatorOverflow(
                    node=node.name,
                    channel=channel,
                    bound=max(-low, high),
                    limit=limit,
                    target=self.spec.name,
                )


def _unused(builder: HalfBuilder, name: str) -> str:
    """Return a name that no value of the graph has."""
    while name in builder.graph.values or name in builder.tensors:
        name += "'"
    return name


def _grid(
    element: ElementType,
    scale: NDArray[np.float32] | np.float32,
    zero_point: int,
    limits: tuple[int, int],
    axis: int | None,
) -> UniformGrid:
    if not (np.isfinite(scale).all() and (np.asarray(scale) > 0).all()):
        raise ScaleOutOfRange(f"a scale of {scale} is no positive float32")
    return UniformGrid(
        scale=Constant.of(scale, np.float32),
        zero_point=zero_point,
        element=element,
        minimum=limits[0],
        maximum=limits[1],
        rounding=Rounding.HALF_EVEN,
        axis=axis,
    )
