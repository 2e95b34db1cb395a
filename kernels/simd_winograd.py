"""The two transforms of Winograd's filtering with vectors: windows of codes, and tiles of sums."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from intlower.kernels.isa import IsaType
from intlower.kernels.vectors import (
    BYTE,
    HALF,
    INDEX,
    WORD,
    advance,
    constant,
    data_pointer,
    emitter,
    load,
    splat,
    store,
)
from intlower.kernels.winograd_transforms import TRANSFORMS, Transform, on_both_axes

# Channels of a window that are transformed together.
CHANNELS = 16


class _Lanes:
    """A vector of integers in LLVM code, with the arithmetic that the transforms ask for."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = value

    def __add__(self, other: _Lanes) -> _Lanes:
        return _Lanes(self.builder, self.builder.add(self.value, other.value))

    def __sub__(self, other: _Lanes) -> _Lanes:
        return _Lanes(self.builder, self.builder.sub(self.value, other.value))

    def __mul__(self, factor: int) -> _Lanes:
        """Return the vector times a power of two."""
        kind = self.value.type
        shift = constant(factor.bit_length() - 1, kind.element, kind.count)
        return _Lanes(self.builder, self.builder.shl(self.value, shift))


def _window_emitter(transform: Transform) -> Any:
    def transform_window(
        typing_context: Any,
        arena: Any,
        source: Any,
        line_stride: Any,
        pixel_stride: Any,
        channels: Any,
        zero_point: Any,
        target: Any,
        position_stride: Any,
    ) -> Any:
        """Write B' (d - zero point) B of one window; for compiled code.

        Args:
            typing_context: Numba's.
            arena: uint8; holds codes and results.
            source: byte offset of the window's first code.
            line_stride: bytes from line to line.
            pixel_stride: bytes from pixel to pixel.
            channels: a multiple of 16; as many codes of each pixel are read.
            zero_point: what is subtracted from each code.
            target: byte offset of int16 [channels] at the first position.
            position_stride: bytes from position to position.
        """
        signature = types.void(arena, *[types.int64] * 7)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = data_pointer(context, builder, signature.args[0], arguments[0])
            source, line, pixel, channels, zero, target, stride = arguments[1:]
            first, result = advance(builder, data, source), advance(builder, data, target)
            zeros = splat(builder, builder.trunc(zero, HALF), CHANNELS)
            with cgutils.for_range(builder, builder.udiv(channels, INDEX(CHANNELS))) as loop:
                chunk = builder.mul(loop.index, INDEX(CHANNELS))
                codes = advance(builder, first, chunk)
                grid = []
                for i in range(transform.window):
                    row = advance(builder, codes, builder.mul(line, INDEX(i)))
                    grid.append(
                        [
                            _code(builder, row, builder.mul(pixel, INDEX(j)), zeros)
                            for j in range(transform.window)
                        ]
                    )
                place = advance(builder, result, builder.mul(chunk, INDEX(2)))
                values = [v for row in on_both_axes(transform.input, grid) for v in row]
                for position, value in enumerate(values):
                    offset = builder.mul(stride, INDEX(position))
                    store(builder, value.value, advance(builder, place, offset))
            return context.get_dummy_value()

        return signature, generate

    return emitter(transform_window)


def _code(builder: Any, row: Any, offset: Any, zeros: Any) -> _Lanes:
    codes = load(builder, advance(builder, row, offset), ir.VectorType(BYTE, CHANNELS))
    wide = builder.zext(codes, ir.VectorType(HALF, CHANNELS))
    return _Lanes(builder, builder.sub(wide, zeros))


def _tile_emitter(transform: Transform) -> Any:
    def transform_tiles(
        typing_context: Any,
        isa: IsaType,
        arena: Any,
        constants: Any,
        sums: Any,
        sum_stride: Any,
        position_stride: Any,
        tiles: Any,
        columns: Any,
        bias: Any,
        target: Any,
        line_stride: Any,
    ) -> Any:
        """Write bias + A' m A of a run of output tiles, factors taken out; for compiled code.

        Args:
            typing_context: Numba's.
            isa: whose vectors are used.
            arena: uint8; holds sums and results.
            constants: uint8; holds biases.
            sums: byte offset of int32 [columns] at the first position of the first tile.
            sum_stride: bytes from tile to tile, and from pixel to pixel of the result.
            position_stride: bytes from position to position.
            tiles: how many.
            columns: a multiple of isa.lanes.
            bias: byte offset of int32 [columns].
            target: byte offset of int32 [lines of a tile][pixels][columns].
            line_stride: bytes from line to line.
        """
        signature = types.void(isa, arena, constants, *[types.int64] * 8)
        lanes = isa.isa.lanes

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data, numbers = (
                data_pointer(context, builder, signature.args[i], arguments[i]) for i in (1, 2)
            )
            sums, stride, position_stride, tiles, columns, bias, target, line = arguments[3:]
            vector = ir.VectorType(WORD, lanes)
            with cgutils.for_range(builder, builder.udiv(columns, INDEX(lanes))) as outer:
                column = builder.mul(outer.index, INDEX(lanes * 4))
                biases = load(
                    builder, advance(builder, advance(builder, numbers, bias), column), vector
                )
                first = advance(builder, advance(builder, data, sums), column)
                result = advance(builder, advance(builder, data, target), column)
                with cgutils.for_range(builder, tiles) as loop:
                    start = builder.mul(loop.index, stride)
                    place = advance(builder, first, start)
                    pixel = advance(builder, result, builder.mul(start, INDEX(transform.edge)))
                    grid = [
                        [
                            _Lanes(
                                builder,
                                load(
                                    builder,
                                    advance(
                                        builder,
                                        place,
                                        builder.mul(
                                            position_stride,
                                            INDEX(i * transform.window + j),
                                        ),
                                    ),
                                    vector,
                                ),
                            )
                            for j in range(transform.window)
                        ]
                        for i in range(transform.window)
                    ]
                    rows = on_both_axes(transform.output, grid)
                    for i, row in enumerate(rows):
                        for j, total in enumerate(row):
                            offset = builder.add(
                                builder.mul(line, INDEX(i)), builder.mul(stride, INDEX(j))
                            )
                            value = _divided(builder, transform, total.value, i, j)
                            store(
                                builder,
                                builder.add(value, biases),
                                advance(builder, pixel, offset),
                            )
            return context.get_dummy_value()

        return signature, generate

    return emitter(transform_tiles)


def _divided(builder: Any, transform: Transform, value: Any, i: int, j: int) -> Any:
    """Emit a pixel's sum without its factor, which divides it without a remainder."""
    lanes = value.type.count
    if transform.odd > 1:
        value = builder.mul(value, constant(transform.inverse, WORD, lanes))
    shift = transform.shifts[i] + transform.shifts[j]
    return builder.ashr(value, constant(shift, WORD, lanes))


transform_window_2 = _window_emitter(TRANSFORMS[2])
transform_window_4 = _window_emitter(TRANSFORMS[4])
transform_tiles_2 = _tile_emitter(TRANSFORMS[2])
transform_tiles_4 = _tile_emitter(TRANSFORMS[4])
