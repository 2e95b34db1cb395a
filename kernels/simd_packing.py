"""Packing of activations with vectors: sixteen codes at a time, also for runs of nine as first layers have them."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from intlower.kernels.isa import IsaType
from intlower.kernels.vectors import (
    BYTE,
    INDEX,
    advance,
    data_pointer,
    emitter,
    load,
    splat,
    store,
    variants_of,
)

LANES = 16


def convert(
    isa: Any, codes: Any, source: Any, packed: Any, target: Any, count: Any, center: Any
) -> None:
    """Pack consecutive codes, each less `center`; for compiled code.

    Args:
        isa: chooses loops or vectors.
        codes: uint8 or uint16.
        source: index of the first code; up to 15 codes past the last may be read.
        packed: int16 or uint8 operands.
        target: index of the first operand; up to 15 operands past the last may be overwritten.
        count: of codes.
        center: subtracted modulo the operand's width.
    """
    raise NotImplementedError("callable from compiled code only")


@variants_of(convert)
def _convert(
    isa: Any, codes: Any, source: Any, packed: Any, target: Any, count: Any, center: Any
) -> Any:
    portable = isa.isa.name == "portable" or codes.dtype.bitwidth != 8
    return _portable_convert if portable else _vector_convert


def _portable_convert(
    isa: Any, codes: Any, source: Any, packed: Any, target: Any, count: Any, center: Any
) -> None:
    s, d, c = np.uint64(source), np.uint64(target), np.int32(center)
    for i in range(count):
        j = np.uint64(i)
        packed[d + j] = np.int32(codes[s + j]) - c


def _vector_convert(
    isa: Any, codes: Any, source: Any, packed: Any, target: Any, count: Any, center: Any
) -> None:
    _emit_convert(isa, codes, packed, source, target, count, center)


@emitter
def _emit_convert(
    typing_context: Any,
    isa: IsaType,
    codes: Any,
    packed: Any,
    source: Any,
    target: Any,
    count: Any,
    center: Any,
) -> Any:
    signature = types.void(isa, codes, packed, *[types.int64] * 4)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, target, count, center = arguments[3:]
        operand = ir.IntType(signature.args[2].dtype.bitwidth)
        size = INDEX(operand.width // 8)
        codes, packed = (
            data_pointer(context, builder, signature.args[i], arguments[i]) for i in (1, 2)
        )
        first = advance(builder, codes, source)
        result = advance(builder, packed, builder.mul(target, size))
        centers = splat(builder, builder.trunc(center, operand), LANES)
        chunks = builder.udiv(builder.add(count, INDEX(LANES - 1)), INDEX(LANES))
        with cgutils.for_range(builder, chunks) as loop:
            offset = builder.mul(loop.index, INDEX(LANES))
            _convert_chunk(
                builder,
                advance(builder, first, offset),
                advance(builder, result, builder.mul(offset, size)),
                centers,
            )
        return context.get_dummy_value()

    return signature, generate


def convert_windows(
    isa: Any,
    codes: Any,
    source: Any,
    pixel_step: Any,
    line_step: Any,
    packed: Any,
    target: Any,
    stride: Any,
    pixels: Any,
    lines: Any,
    count: Any,
    center: Any,
) -> None:
    """Pack the windows of consecutive pixels, line by line, each code less `center`; for compiled code.

    Args:
        isa: chooses loops or vectors.
        codes: uint8 or uint16.
        source: index of the first window's first code; up to 15 codes past the last may be read.
        pixel_step: codes from window to window.
        line_step: codes from line to line of a window.
        packed: int16 or uint8 operands.
        target: index of the first operand; up to 15 operands past the last may be overwritten.
        stride: operands from packed row to packed row.
        pixels: windows.
        lines: of a window.
        count: of codes of a line.
        center: subtracted modulo the operand's width.
    """
    raise NotImplementedError("callable from compiled code only")


@variants_of(convert_windows)
def _convert_windows(isa: Any, codes: Any, *arguments: Any) -> Any:
    portable = isa.isa.name == "portable" or codes.dtype.bitwidth != 8
    return _portable_windows if portable else _vector_windows


def _portable_windows(
    isa: Any,
    codes: Any,
    source: Any,
    pixel_step: Any,
    line_step: Any,
    packed: Any,
    target: Any,
    stride: Any,
    pixels: Any,
    lines: Any,
    count: Any,
    center: Any,
) -> None:
    c = np.int32(center)
    for pixel in range(pixels):
        for line in range(lines):
            s = np.uint64(source + pixel * pixel_step + line * line_step)
            d = np.uint64(target + pixel * stride + line * count)
            for i in range(count):
                j = np.uint64(i)
                packed[d + j] = np.int32(codes[s + j]) - c


def _vector_windows(
    isa: Any,
    codes: Any,
    source: Any,
    pixel_step: Any,
    line_step: Any,
    packed: Any,
    target: Any,
    stride: Any,
    pixels: Any,
    lines: Any,
    count: Any,
    center: Any,
) -> None:
    _emit_windows(
        isa,
        codes,
        packed,
        source,
        pixel_step,
        line_step,
        target,
        stride,
        pixels,
        lines,
        count,
        center,
    )


@emitter
def _emit_windows(
    typing_context: Any,
    isa: IsaType,
    codes: Any,
    packed: Any,
    source: Any,
    pixel_step: Any,
    line_step: Any,
    target: Any,
    stride: Any,
    pixels: Any,
    lines: Any,
    count: Any,
    center: Any,
) -> Any:
    signature = types.void(isa, codes, packed, *[types.int64] * 9)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, pixel_step, line_step, target, stride, pixels, lines, count, center = arguments[
            3:
        ]
        operand = ir.IntType(signature.args[2].dtype.bitwidth)
        size = INDEX(operand.width // 8)
        codes, packed = (
            data_pointer(context, builder, signature.args[i], arguments[i]) for i in (1, 2)
        )
        first = advance(builder, codes, source)
        result = advance(builder, packed, builder.mul(target, size))
        centers = splat(builder, builder.trunc(center, operand), LANES)
        chunks = builder.udiv(builder.add(count, INDEX(LANES - 1)), INDEX(LANES))
        with cgutils.for_range(builder, pixels) as pixel:
            window = advance(builder, first, builder.mul(pixel.index, pixel_step))
            row = advance(builder, result, builder.mul(builder.mul(pixel.index, stride), size))
            with cgutils.for_range(builder, lines) as line:
                start = advance(builder, window, builder.mul(line.index, line_step))
                place = advance(builder, row, builder.mul(builder.mul(line.index, count), size))
                with cgutils.for_range(builder, chunks) as chunk:
                    offset = builder.mul(chunk.index, INDEX(LANES))
                    _convert_chunk(
                        builder,
                        advance(builder, start, offset),
                        advance(builder, place, builder.mul(offset, size)),
                        centers,
                    )
        return context.get_dummy_value()

    return signature, generate


def _convert_chunk(builder: Any, source: Any, target: Any, centers: Any) -> None:
    """Emit the packing of sixteen codes."""
    values = load(builder, source, ir.VectorType(BYTE, LANES))
    if centers.type.element.width > BYTE.width:
        values = builder.zext(values, centers.type)
    store(builder, builder.sub(values, centers), target)
