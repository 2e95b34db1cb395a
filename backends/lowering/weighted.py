"""Convolutions and matrix products: weight codes, bias, requantization, and the proof of the accumulator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.builder import ProgramBuilder
from intlower.backends.lowering.correction import corrected_bias
from intlower.backends.lowering.rounding import round_weights
from intlower.backends.lowering.scales import (
    prove_left_shift,
    round_bias,
)
from intlower.compiler.accumulation import product_bounds
from intlower.compiler.constant import Constant
from intlower.compiler.errors import AccumulatorOverflow
from intlower.compiler.graph import Node
from intlower.compiler.grids import ChannelGrid, UniformGrid
from intlower.compiler.operators import Conv
from intlower.compiler.program import Attribute
from intlower.compiler.recipe import WeightRounding
from intlower.compiler.row_blocks import row_blocks
from intlower.compiler.spec import Overflow, TargetSpec
from intlower.kernels.numerics import round_to_float32
from intlower.kernels.signature import ElementType, Requantize


def lower_weighted(builder: ProgramBuilder, node: Node) -> None:
    """Emit `conv2d` or `gemm` for a Conv or Gemm node with its fused activation.

    Raises:
        AccumulatorOverflow: some input could drive a channel's sum past the accumulator.
        ScaleOutOfRange: a channel's ratio of scales is beyond the target's multiplier.
    """
    spec = builder.spec
    weights = builder.constant(node, 1).array
    outputs = weights.shape[0]
    bias = (
        builder.constant(node, 2).array.astype(np.float64)
        if len(node.inputs) == 3
        else np.zeros(outputs)
    )
    source = builder.grid(node.inputs[0])
    weight_grid = choose_weight_grid(spec, weights, bias, source)
    codes, bias = _rounded(builder, node, weights, weight_grid, bias)
    unit = _units(source, weight_grid, outputs)
    bias_codes = [
        round_bias(float(b / u), spec.bias_rounding) for b, u in zip(bias, unit, strict=True)
    ]
    if spec.requantize is Requantize.F32BIAS:  # added in single precision: 24 significant bits
        bias_codes = [int(round_to_float32(code)) for code in bias_codes]
    limit = min(spec.accumulator.limit, (1 << (spec.bias_bits - 1)) - 1)
    emit_weighted(builder, node, source, weight_grid, codes, bias_codes, limit)


def _rounded(
    builder: ProgramBuilder,
    node: Node,
    weights: NDArray[np.float32],
    weight_grid: UniformGrid | ChannelGrid,
    bias: NDArray[np.float64],
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the codes of a layer's weights, and its bias, corrected where the recipe says so.

    Output channels do not depend on each other, but for GPTQ's order of rounding: the rest goes a few at a time.
    """
    recipe, moments = builder.recipe, builder.second_moments.get(node.name)
    codes, corrected = np.empty(weights.shape, weight_grid.dtype), np.empty(bias.shape)
    whole = recipe.rounding is WeightRounding.GPTQ and moments is not None
    for rows in [slice(None)] if whole else row_blocks(weights.shape):
        block, grid = weights[rows].astype(np.float64), _grid_of(weight_grid, rows)
        codes[rows] = round_weights(block, grid, recipe.rounding, moments)
        corrected[rows] = bias[rows]
        if recipe.correct_bias:
            error = grid.dequantize(codes[rows]).astype(np.float64) - block
            corrected[rows] = corrected_bias(
                builder.graph, node, builder.moments, bias[rows], error, rows, len(bias)
            )
    return codes, corrected


def _grid_of(grid: UniformGrid | ChannelGrid, rows: slice) -> UniformGrid | ChannelGrid:
    """Return the grid of some output channels."""
    if isinstance(grid, ChannelGrid):
        return ChannelGrid(channels=grid.channels[rows])
    if grid.axis is None:
        return grid
    return replace(grid, scale=Constant.of(grid.scale.array[rows]))


def emit_weighted(
    builder: ProgramBuilder,
    node: Node,
    source: UniformGrid,
    weight_grid: UniformGrid | ChannelGrid,
    codes: NDArray[Any],
    bias_codes: list[int],
    limit: int,
) -> None:
    """Emit `conv2d` or `gemm` with codes that are chosen, its accumulator proved; or one that saturates where the target's does.

    An accumulator that saturates, but cannot, is an ordinary one.

    Args:
        builder: of the program.
        node: a Conv or Gemm.
        source: grid of the input.
        weight_grid: of the weights.
        codes: of the weights, [O, ...].
        bias_codes: [O], in units of the accumulator.
        limit: the greatest magnitude of any sum.

    Raises:
        AccumulatorOverflow: see `lower_weighted`; ScaleOutOfRange alike.
    """
    spec, outputs = builder.spec, len(codes)
    lowest, highest = accumulator_bounds(codes, weight_grid.offsets, source, bias_codes)
    bounds = [max(-least, greatest) for least, greatest in zip(lowest, highest, strict=True)]
    by_channel = isinstance(weight_grid, ChannelGrid)
    saturating = (
        spec.accumulator.overflow is Overflow.SATURATE
        and max(bounds) > limit
        and not by_channel  # saturating sums know one zero point
    )
    if not saturating:
        _prove_accumulator(builder, node, lowest, highest, limit)

    target = builder.define_value(node.output)
    scales = _channel_scales(builder, node, source, weight_grid, target, outputs)
    for channel, ((_, shift), bound) in enumerate(zip(scales, bounds, strict=True)):
        prove_left_shift(spec.requantize, bound, shift, f"{node.name}, channel {channel}")
    wide = (
        not saturating and max(bounds) > ElementType.INT32.limits[1]
    )  # else 64-bit sums are 32-bit ones
    low, high = builder.channel_codes(node.activation, target, outputs)
    operator = node.operator
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
    if saturating:
        window["accumulator_bits"] = spec.accumulator.bits
    builder.emit(
        ("saturating_" if saturating else "asymmetric_" if by_channel else "")
        + ("conv2d" if isinstance(operator, Conv) else "gemm"),
        name=node.name,
        inputs=(node.inputs[0],),
        output=node.output,
        constants={
            "weights": codes,
            "bias": np.array(bias_codes, np.int64 if wide else np.int32),
            "multiplier": np.array([multiplier for multiplier, _ in scales], np.int32),
            "shift": np.array([shift for _, shift in scales], np.int32),
            "minimum": low,
            "maximum": high,
            **(
                {"weight_zero_points": weight_grid.offsets.astype(np.int32)}
                if by_channel
                else {}
            ),
        },
        attributes={
            **window,
            "input_zero_point": source.zero_point,
            **({} if by_channel else {"weight_zero_point": int(weight_grid.offsets)}),
            "output_zero_point": target.zero_point,
        },
        weight_grid=weight_grid,
        per_channel=weight_grid.axis is not None,
    )


def choose_weight_grid(
    spec: TargetSpec, weights: NDArray[Any], bias: NDArray[Any], source: UniformGrid
) -> UniformGrid | ChannelGrid:
    """Return the grid of a layer's weights.

    The scale comes from the weights' range, but is never so small that the bias, in units of input scale times weight
    scale, would leave half the accumulator (our definition; it matters for dead channels, whose weights are all but 0).

    Args:
        spec: the target's.
        weights: [O, ...], of a floating type.
        bias: [O] float64.
        source: the input's grid.
    """
    room = float(source.scale.array) * ((spec.accumulator.limit + 1) // 2)
    least_scale = np.abs(bias) / room
    step = spec.weights.limits[1]
    if spec.weights.per_channel and not spec.weights.symmetric:
        rows = weights.reshape(len(weights), -1)
        lows, highs = np.minimum(rows.min(axis=1), 0), np.maximum(rows.max(axis=1), 0)
        spans = least_scale * (step - spec.weights.limits[0]) * (1 + 1e-6)
        return ChannelGrid.of(spec.weights, lows, np.maximum(highs, lows + spans))
    if spec.weights.per_channel:
        taps = tuple(range(1, weights.ndim))
        bounds = np.maximum(weights.max(axis=taps), -weights.min(axis=taps))
        return spec.weights.channel_grid(
            np.maximum(bounds, least_scale * step * (1 + 1e-6)), axis=0
        )
    low, high = min(float(weights.min()), 0.0), max(float(weights.max()), 0.0)
    span = (
        float(least_scale.max())
        * (spec.weights.limits[1] - spec.weights.limits[0])
        * (1 + 1e-6)
    )
    return spec.weights.grid(low, max(high, low + span))


def accumulator_bounds(
    codes: NDArray[Any],
    weight_zero_point: int | NDArray[np.int64],
    source: UniformGrid,
    bias_codes: list[int],
) -> tuple[list[int], list[int]]:
    """Return, per output channel, between what values every partial sum lies, in any order of summation.

    See `product_bounds`; the bias is added where it goes further.

    Args:
        codes: [O, ...] weight codes.
        weight_zero_point: theirs, one or [O].
        source: grid of the input.
        bias_codes: [O], of any size.
    """
    low, high = (limit - source.zero_point for limit in source.limits)
    lowest, highest = product_bounds(codes, weight_zero_point, low, high)
    return (
        [int(total) + min(bias, 0) for total, bias in zip(lowest, bias_codes, strict=True)],
        [int(total) + max(bias, 0) for total, bias in zip(highest, bias_codes, strict=True)],
    )


def _prove_accumulator(
    builder: ProgramBuilder, node: Node, lowest: list[int], highest: list[int], limit: int
) -> None:
    for channel, (low, high) in enumerate(zip(lowest, highest, strict=True)):
        bound = max(-low, high)
        if bound > limit:
            raise AccumulatorOverflow(
                node=node.name,
                channel=channel,
                bound=bound,
                limit=limit,
                target=builder.spec.name,
            )


def _units(
    source: UniformGrid, weight_grid: UniformGrid | ChannelGrid, outputs: int
) -> NDArray[np.float64]:
    """Return the real number of one accumulator step, per output channel."""
    scale = weight_grid.scale.array.astype(np.float64) * float(source.scale.array)
    return np.broadcast_to(scale, (outputs,))


def _channel_scales(
    builder: ProgramBuilder,
    node: Node,
    source: UniformGrid,
    weight_grid: UniformGrid | ChannelGrid,
    target: UniformGrid,
    outputs: int,
) -> list[tuple[int, int]]:
    scales = np.broadcast_to(weight_grid.scale.array, (outputs,))
    return [
        builder.scale(
            "conv2d",
            (source.step, float(w_scale)),
            target.step,
            f"{node.name}, channel {channel}",
        )
        for channel, w_scale in enumerate(scales)
    ]
