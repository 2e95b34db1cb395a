"""The tile of bytes: sums of products of a few packed rows with two vectors of weight columns, through 16-bit sums.

Panels are those of `packing_bytes`, which proved that no 16-bit sum saturates.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llvmlite import ir
from numba import types

from intlower.kernels.isa import Isa, IsaType
from intlower.kernels.packing_bytes import HEADER_BYTES
from intlower.kernels.simd import AHEAD_BYTES, LINE_BYTES
from intlower.kernels.vectors import (
    BYTE,
    HALF,
    INDEX,
    WORD,
    advance,
    call,
    choose,
    constant,
    data_pointer,
    emitter,
    load,
    prefetch,
    splat,
    store,
    sum_products,
)

# Rows of a tile: eight sums, four vectors of weights, two words of operands and what is formed fill 16 registers.
ROWS = 4


@emitter
def tile_bytes(
    typing_context: Any,
    isa: IsaType,
    arena: Any,
    constants: Any,
    packed: Any,
    packed_stride: Any,
    panel: Any,
    bias: Any,
    sums: Any,
    sums_stride: Any,
    rows: Any,
    columns: Any,
) -> Any:
    """Write bias + rows times columns as int32; for compiled code.

    Args:
        typing_context: Numba's.
        isa: whose instruction is used.
        arena: uint8; holds packed rows and sums.
        constants: uint8; holds panels and biases.
        packed: byte offset of the first packed row.
        packed_stride: bytes from row to row.
        panel: byte offset of the panel.
        bias: byte offset of the columns' int32 biases.
        sums: byte offset of the first result.
        sums_stride: bytes from row to row.
        rows: in [1, ROWS].
        columns: a multiple of isa.lanes, at most isa.columns.
    """
    signature = types.void(isa, arena, constants, *[types.int64] * 8)
    described: Isa = isa.isa

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data, numbers = (
            data_pointer(context, builder, signature.args[i], arguments[i]) for i in (1, 2)
        )
        packed, stride, panel, bias, sums, sums_stride, rows, columns = arguments[3:]
        first_row = advance(builder, data, packed)
        first_sum = advance(builder, data, sums)
        start = advance(builder, numbers, panel)
        biases = advance(builder, numbers, bias)
        vectors = builder.udiv(columns, INDEX(described.lanes))
        choice = builder.add(builder.mul(vectors, INDEX(16)), rows)
        done = builder.append_basic_block("tile_done")
        switch = builder.switch(choice, done)
        for vector_count in range(1, described.vectors + 1):
            for row_count in range(1, ROWS + 1):
                block = builder.append_basic_block("tile")
                switch.add_case(INDEX(vector_count * 16 + row_count), block)
                builder.position_at_end(block)
                tile = _Tile(builder, described, row_count, vector_count)
                tile.emit(first_row, stride, start, biases)
                tile.store(first_sum, sums_stride)
                builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return signature, generate


class _Tile:
    """One shape of tile: its sums, as LLVM values, and its loops."""

    def __init__(self, builder: Any, isa: Isa, rows: int, vectors: int) -> None:
        self.builder = builder
        self.isa = isa
        self.rows = rows
        self.vectors = vectors
        self.vector = ir.VectorType(WORD, isa.lanes)
        self.size = isa.lanes * 4
        self.sums: list[Any] = []

    def emit(self, packed: Any, stride: Any, panel: Any, biases: Any) -> None:
        """Emit the loop over pairs, then that over singles."""
        builder = self.builder
        pointers = [
            advance(builder, packed, builder.mul(stride, INDEX(r))) for r in range(self.rows)
        ]
        initial = [
            load(builder, advance(builder, biases, INDEX(v * self.size)), self.vector)
            for v in range(self.vectors)
        ]
        self.sums = [value for _ in pointers for value in initial]
        counts = [load(builder, advance(builder, panel, INDEX(8 * i)), INDEX) for i in range(3)]
        offsets = advance(builder, panel, INDEX(HEADER_BYTES))
        weights = advance(builder, panel, counts[2])
        for words, count in ((2, counts[0]), (1, counts[1])):
            offsets, weights = self._loop(words, count, pointers, offsets, weights)

    def _loop(
        self, words: int, count: Any, pointers: list[Any], offsets: Any, weights: Any
    ) -> tuple[Any, Any]:
        """Emit one loop of `count` turns over some words each; return where offsets and weights go on."""
        builder = self.builder
        start = builder.block
        loop = builder.append_basic_block("words")
        end = builder.append_basic_block("words_done")
        none = builder.icmp_signed("==", count, INDEX(0))
        builder.cbranch(none, end, loop)
        builder.position_at_end(loop)
        values = [count, offsets, weights, *self.sums]
        phis = [builder.phi(value.type) for value in values]
        for phi, value in zip(phis, values, strict=True):
            phi.add_incoming(value, start)
        remaining, entry, panel, *sums = phis
        step = words * self.vectors * self.size
        for ahead in range(0, step, LINE_BYTES):
            prefetch(builder, advance(builder, panel, INDEX(AHEAD_BYTES + ahead)))
        places = [
            builder.sext(load(builder, advance(builder, entry, INDEX(4 * w)), WORD), INDEX)
            for w in range(words)
        ]
        columns = [
            [
                load(
                    builder,
                    advance(builder, panel, INDEX((w * self.vectors + v) * self.size)),
                    self.vector,
                )
                for v in range(self.vectors)
            ]
            for w in range(words)
        ]
        results = []
        for r, pointer in enumerate(pointers):
            operands = [
                splat(
                    builder,
                    load(builder, advance(builder, pointer, place), WORD),
                    self.isa.lanes,
                )
                for place in places
            ]
            for v in range(self.vectors):
                parts = [
                    paired_products(builder, self.isa, operands[w], columns[w][v])
                    for w in range(words)
                ]
                total = parts[0] if words == 1 else builder.add(*parts)
                results.append(
                    widened_sum(builder, self.isa, sums[r * self.vectors + v], total)
                )
        following = [
            builder.sub(remaining, INDEX(1)),
            advance(builder, entry, INDEX(4 * words)),
            advance(builder, panel, INDEX(step)),
            *results,
        ]
        for phi, value in zip(phis, following, strict=True):
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("!=", following[0], INDEX(0)), loop, end)
        builder.position_at_end(end)
        after = [builder.phi(value.type) for value in values]
        for phi, before, new in zip(after, values, following, strict=True):
            phi.add_incoming(before, start)
            phi.add_incoming(new, loop)
        self.sums = after[3:]
        return after[1], after[2]

    def store(self, target: Any, stride: Any) -> None:
        """Emit the stores of the sums."""
        builder = self.builder
        for r in range(self.rows):
            row = advance(builder, target, builder.mul(stride, INDEX(r)))
            for v in range(self.vectors):
                place = advance(builder, row, INDEX(v * self.size))
                store(builder, self.sums[r * self.vectors + v], place)


def paired_products(builder: Any, isa: Isa, activations: Any, weights: Any) -> Any:
    """Emit the 16-bit sums of two neighbouring products each, saturating: unsigned by signed bytes.

    Args:
        builder: llvmlite's.
        isa: whose instruction is used; plain arithmetic with the same saturation where it is not native.
        activations: <isa.lanes x i32>, four operands each.
        weights: alike.
    """
    count = isa.lanes * 4
    kind = ir.VectorType(BYTE, count)
    a, b = builder.bitcast(activations, kind), builder.bitcast(weights, kind)
    result = ir.VectorType(HALF, count // 2)
    if isa.native:
        return call(builder, "llvm.x86.avx2.pmadd.ub.sw", result, a, b)
    wide = ir.VectorType(WORD, count)
    products = builder.mul(builder.zext(a, wide), builder.sext(b, wide))
    even, odd = (choose(builder, products, products, range(i, count, 2)) for i in range(2))
    total = builder.add(even, odd)
    low, high = (constant(end, WORD, count // 2) for end in (-(1 << 15), (1 << 15) - 1))
    total = builder.select(builder.icmp_signed("<", total, low), low, total)
    total = builder.select(builder.icmp_signed(">", total, high), high, total)
    return builder.trunc(total, result)


def widened_sum(builder: Any, isa: Isa, accumulator: Any, sums: Any) -> Any:
    """Emit accumulator + the two 16-bit sums of each 32-bit lane."""
    ones = constant(0x00010001, WORD, isa.lanes)
    words = builder.bitcast(sums, ones.type)
    return sum_products(builder, replace(isa, fours=False), False, accumulator, words, ones)
