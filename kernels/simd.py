"""The tile: sums of products of a few packed rows with a few vectors of weight columns, in registers.

`tile` is plain Numba loops for the portable instruction set, and LLVM code written here for the others: around the
vector instruction that sums pairs of 16-bit or fours of 8-bit products, accumulators stay in registers for the whole
sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from intlower.kernels.isa import Isa, IsaType
from intlower.kernels.vectors import (
    INDEX,
    WORD,
    advance,
    data_pointer,
    emitter,
    load,
    prefetch,
    splat,
    store,
    sum_products,
    variants_of,
)

# How far ahead of its use a panel is fetched into the second-level cache: weights that are read once, as those of the
# last layers are, arrive too late otherwise. A panel of weights lies in order, and nothing is read past the end.
AHEAD_BYTES = 1 << 14
LINE_BYTES = 64


def isa_rows(isa: Any) -> Any:
    """Return the rows of a tile; for compiled code."""
    return isa.rows


def isa_columns(isa: Any) -> Any:
    """Return the columns of a tile; for compiled code."""
    return isa.columns


def tile(
    isa: Any,
    arena: Any,
    packed: Any,
    packed_stride: Any,
    constants: Any,
    weights: Any,
    bias: Any,
    words: Any,
    accumulators: Any,
    accumulator_stride: Any,
    rows: Any,
    columns: Any,
    fours: Any,
) -> None:
    """Write bias + rows times columns as int32; for compiled code.

    Args:
        isa: whose instruction is used.
        arena: uint8; holds packed rows and accumulators.
        packed: byte offset of the first packed row.
        packed_stride: bytes from row to row.
        constants: uint8; holds weights and biases.
        weights: byte offset of the panel, as `packing.pack_dense` lays it out.
        bias: byte offset of the columns' int32 biases.
        words: of four bytes, in a row.
        accumulators: byte offset of the first result.
        accumulator_stride: bytes from row to row.
        rows: in [1, isa.rows].
        columns: a multiple of isa.lanes, at most isa.columns.
        fours: whether operands are 8-bit fours, not 16-bit pairs; only where isa.fours.
    """
    raise NotImplementedError("callable from compiled code only")


@variants_of(isa_rows)
def _isa_rows(isa: Any) -> Any:
    rows = isa.isa.rows
    return lambda isa: rows


@variants_of(isa_columns)
def _isa_columns(isa: Any) -> Any:
    columns = isa.isa.columns
    return lambda isa: columns


@variants_of(tile)
def _tile(
    isa: Any,
    arena: Any,
    packed: Any,
    packed_stride: Any,
    constants: Any,
    weights: Any,
    bias: Any,
    words: Any,
    accumulators: Any,
    accumulator_stride: Any,
    rows: Any,
    columns: Any,
    fours: Any,
) -> Any:
    return _portable_tile if isa.isa.name == "portable" else _vector_tile


def _portable_tile(
    isa: Any,
    arena: Any,
    packed: Any,
    packed_stride: Any,
    constants: Any,
    weights: Any,
    bias: Any,
    words: Any,
    accumulators: Any,
    accumulator_stride: Any,
    rows: Any,
    columns: Any,
    fours: Any,
) -> None:
    activations, sums = arena.view(np.int16), arena.view(np.int32)
    operands, biases = constants.view(np.int16), constants.view(np.int32)
    for r in range(rows):
        x = np.uint64((packed + r * packed_stride) // 2)
        s = np.uint64((accumulators + r * accumulator_stride) // 4)
        for j in range(columns):
            w = np.uint64((weights + j * words * 4) // 2)
            total = biases[np.uint64(bias // 4 + j)]
            for k in range(2 * words):
                i = np.uint64(k)
                product = np.int32(activations[x + i]) * np.int32(operands[w + i])
                total = np.int32(total + product)  # modulo 2**32
            sums[s + np.uint64(j)] = total


def _vector_tile(
    isa: Any,
    arena: Any,
    packed: Any,
    packed_stride: Any,
    constants: Any,
    weights: Any,
    bias: Any,
    words: Any,
    accumulators: Any,
    accumulator_stride: Any,
    rows: Any,
    columns: Any,
    fours: Any,
) -> None:
    _emit_tile(
        isa,
        arena,
        constants,
        packed,
        packed_stride,
        weights,
        bias,
        words,
        accumulators,
        accumulator_stride,
        rows,
        columns,
        fours,
    )


@emitter
def _emit_tile(
    typing_context: Any,
    isa: IsaType,
    arena: Any,
    constants: Any,
    packed: Any,
    packed_stride: Any,
    weights: Any,
    bias: Any,
    words: Any,
    accumulators: Any,
    accumulator_stride: Any,
    rows: Any,
    columns: Any,
    fours: Any,
) -> Any:
    signature = types.void(isa, arena, constants, *[types.int64] * 9, types.boolean)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = [data_pointer(context, builder, signature.args[i], arguments[i]) for i in (1, 2)]
        _tile_switch(builder, isa.isa, data[0], data[1], *arguments[3:])
        return context.get_dummy_value()

    return signature, generate


def _tile_switch(
    builder: Any,
    isa: Isa,
    arena: Any,
    constants: Any,
    packed: Any,
    packed_stride: Any,
    weights: Any,
    bias: Any,
    words: Any,
    sums: Any,
    sums_stride: Any,
    rows: Any,
    columns: Any,
    fours: Any,
) -> None:
    """Emit one loop for each number of rows and of vectors, and the jump to the right one."""
    vectors = builder.udiv(columns, INDEX(isa.lanes))
    choice = builder.add(builder.mul(vectors, INDEX(16)), rows)
    choice = builder.add(builder.mul(builder.zext(fours, INDEX), INDEX(256)), choice)
    first_row = advance(builder, arena, packed)
    first_sum = advance(builder, arena, sums)
    panel = advance(builder, constants, weights)
    biases = advance(builder, constants, bias)
    done = builder.append_basic_block("tile_done")
    switch = builder.switch(choice, done)
    for operands in (False, True) if isa.fours else (False,):
        for vector_count in range(1, isa.vectors + 1):
            for row_count in range(1, isa.rows + 1):
                block = builder.append_basic_block("tile")
                number = operands * 256 + vector_count * 16 + row_count
                switch.add_case(INDEX(number), block)
                builder.position_at_end(block)
                results = _tile_loop(
                    builder,
                    isa,
                    operands,
                    row_count,
                    vector_count,
                    first_row,
                    packed_stride,
                    panel,
                    biases,
                    words,
                )
                for r, result in enumerate(results):
                    target = advance(builder, first_sum, builder.mul(sums_stride, INDEX(r)))
                    for v, value in enumerate(result):
                        store(
                            builder, value, advance(builder, target, INDEX(v * isa.lanes * 4))
                        )
                builder.branch(done)
    builder.position_at_end(done)


def _tile_loop(
    builder: Any,
    isa: Isa,
    fours: bool,
    rows: int,
    vectors: int,
    packed: Any,
    packed_stride: Any,
    weights: Any,
    bias: Any,
    words: Any,
) -> list[list[Any]]:
    """Emit the loop over words for one shape of tile; return the accumulators, by row and vector.

    Every third row has a moving pointer, and the two after it are addressed from it by the stride and its double:
    x86 adds those at no cost.
    """
    vector = ir.VectorType(WORD, isa.lanes)
    size = isa.lanes * 4
    start = builder.block
    anchors = [
        advance(builder, packed, builder.mul(packed_stride, INDEX(r)))
        for r in range(0, rows, 3)
    ]
    strides = [INDEX(0), packed_stride, builder.mul(packed_stride, INDEX(2))]
    initial = [
        load(builder, advance(builder, bias, INDEX(v * size)), vector) for v in range(vectors)
    ]
    loop = builder.append_basic_block("words")
    end = builder.append_basic_block("words_done")
    builder.branch(loop)
    builder.position_at_end(loop)
    remaining = builder.phi(INDEX)
    remaining.add_incoming(words, start)
    panel = builder.phi(weights.type)
    panel.add_incoming(weights, start)
    moving = [builder.phi(packed.type) for _ in anchors]
    for pointer, anchor in zip(moving, anchors, strict=True):
        pointer.add_incoming(anchor, start)
    accumulators = [[builder.phi(vector) for _ in range(vectors)] for _ in range(rows)]
    columns = [
        load(builder, advance(builder, panel, INDEX(v * size)), vector) for v in range(vectors)
    ]
    for ahead in range(0, vectors * size, LINE_BYTES):
        prefetch(builder, advance(builder, panel, INDEX(AHEAD_BYTES + ahead)))
    results: list[list[Any]] = []
    for r in range(rows):
        pointer = advance(builder, moving[r // 3], strides[r % 3])
        word = splat(builder, load(builder, pointer, WORD), isa.lanes)
        results.append([])
        for v in range(vectors):
            accumulator = accumulators[r][v]
            result = sum_products(builder, isa, fours, accumulator, word, columns[v])
            accumulator.add_incoming(initial[v], start)
            accumulator.add_incoming(result, loop)
            results[r].append(result)
    for pointer in moving:
        pointer.add_incoming(advance(builder, pointer, INDEX(4)), loop)
    panel.add_incoming(advance(builder, panel, INDEX(vectors * size)), loop)
    following = builder.sub(remaining, INDEX(1))
    remaining.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("!=", following, INDEX(0)), loop, end)
    builder.position_at_end(end)
    return results
