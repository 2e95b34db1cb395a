"""The tile: sums of products of a few packed rows with a few vectors of weight columns, in registers.

`tile` is plain Numba loops for the portable instruction set, and LLVM code written here for the others: around the
vector instruction that sums pairs of 16-bit or fours of 8-bit products, accumulators stay in registers for the whole
sum. All arithmetic is modulo 2**32, as the instructions have it; none of them saturates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

from intlower.kernels.isa import Isa, IsaType

WORD = ir.IntType(32)
INDEX = ir.IntType(64)


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
        weights: byte offset of the panel, [words][columns][four bytes].
        bias: byte offset of the columns' int32 biases.
        words: of four bytes, in a row.
        accumulators: byte offset of the first result.
        accumulator_stride: bytes from row to row.
        rows: in [1, isa.rows].
        columns: a multiple of isa.lanes, at most isa.columns.
        fours: whether operands are 8-bit fours, not 16-bit pairs; only where isa.fours.
    """
    raise NotImplementedError("callable from compiled code only")


@overload(isa_rows, strict=False)
def _isa_rows(isa: Any) -> Any:
    rows = isa.isa.rows
    return lambda isa: rows


@overload(isa_columns, strict=False)
def _isa_columns(isa: Any) -> Any:
    columns = isa.isa.columns
    return lambda isa: columns


@overload(tile, strict=False)
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
    b, c = np.uint64(bias // 4), np.uint64(columns)
    for r in range(rows):
        x = np.uint64((packed + r * packed_stride) // 2)
        s = np.uint64((accumulators + r * accumulator_stride) // 4)
        for j in range(columns):
            sums[s + np.uint64(j)] = biases[b + np.uint64(j)]
        for k in range(words):
            first = np.int32(activations[x + np.uint64(2 * k)])
            second = np.int32(activations[x + np.uint64(2 * k + 1)])
            w = np.uint64(weights // 2) + np.uint64(2 * k) * c
            for j in range(columns):
                p = w + np.uint64(2 * j)
                product = first * np.int32(operands[p])
                product += second * np.int32(operands[p + np.uint64(1)])
                sums[s + np.uint64(j)] += np.int32(product)


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


@intrinsic  # type: ignore[untyped-decorator]  # numba has no annotations
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
        data = [
            context.make_array(signature.args[i])(context, builder, arguments[i]).data
            for i in (1, 2)
        ]
        _tile_switch(builder, isa.isa, data[0], data[1], list(arguments[3:]))
        return context.get_dummy_value()

    return signature, generate


def _tile_switch(
    builder: Any, isa: Isa, arena: Any, constants: Any, arguments: list[Any]
) -> None:
    """Emit one loop for each number of rows and of vectors, and the jump to the right one."""
    packed, packed_stride, weights, bias, words, sums, sums_stride, rows, columns, fours = arguments
    vectors = builder.udiv(columns, INDEX(isa.lanes))
    choice = builder.add(builder.mul(vectors, INDEX(16)), rows)
    choice = builder.add(builder.mul(builder.zext(fours, INDEX), INDEX(256)), choice)
    done = builder.append_basic_block("tile_done")
    switch = builder.switch(choice, done)
    for operands in (False, True) if isa.fours else (False,):
        for vector_count in range(1, isa.vectors + 1):
            for row_count in range(1, isa.rows + 1):
                block = builder.append_basic_block("tile")
                number = operands * 256 + vector_count * 16 + row_count
                switch.add_case(INDEX(number), block)
                builder.position_at_end(block)
                _tile_loop(
                    builder,
                    isa,
                    operands,
                    row_count,
                    vector_count,
                    [
                        _advance(
                            builder,
                            arena,
                            builder.add(packed, builder.mul(packed_stride, INDEX(r))),
                        )
                        for r in range(row_count)
                    ],
                    _advance(builder, constants, weights),
                    _advance(builder, constants, bias),
                    words,
                    [
                        _advance(
                            builder,
                            arena,
                            builder.add(sums, builder.mul(sums_stride, INDEX(r))),
                        )
                        for r in range(row_count)
                    ],
                )
                builder.branch(done)
    builder.position_at_end(done)


def _tile_loop(
    builder: Any,
    isa: Isa,
    fours: bool,
    rows: int,
    vectors: int,
    packed: list[Any],
    weights: Any,
    bias: Any,
    words: Any,
    sums: list[Any],
) -> None:
    """Emit the loop over words for one shape of tile."""
    vector = ir.VectorType(WORD, isa.lanes)
    size = isa.lanes * 4
    start = builder.block
    biases = [_load(builder, bias, INDEX(v * size), vector) for v in range(vectors)]
    loop = builder.append_basic_block("words")
    end = builder.append_basic_block("words_done")
    builder.branch(loop)
    builder.position_at_end(loop)
    word = builder.phi(INDEX)
    word.add_incoming(INDEX(0), start)
    accumulators = [[builder.phi(vector) for _ in range(vectors)] for _ in range(rows)]
    for row in accumulators:
        for phi, initial in zip(row, biases, strict=True):
            phi.add_incoming(initial, start)
    base = builder.mul(word, INDEX(vectors * size))
    columns = [
        _load(builder, weights, builder.add(base, INDEX(v * size)), vector)
        for v in range(vectors)
    ]
    offset = builder.mul(word, INDEX(4))
    for r in range(rows):
        splat = _splat(builder, _load(builder, packed[r], offset, WORD), vector)
        for v in range(vectors):
            result = sum_products(
                builder, isa, fours, accumulators[r][v], splat, columns[v]
            )
            accumulators[r][v].add_incoming(result, loop)
    following = builder.add(word, INDEX(1))
    word.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, words), loop, end)
    builder.position_at_end(end)
    for r in range(rows):
        for v in range(vectors):
            result = dict((block, value) for value, block in accumulators[r][v].incomings)[loop]
            pointer = _typed(builder, _advance(builder, sums[r], INDEX(v * size)), vector)
            builder.store(result, pointer, align=1)


def sum_products(
    builder: Any, isa: Isa, fours: bool, accumulator: Any, activations: Any, weights: Any
) -> Any:
    """Emit accumulator + the sum of products within each 32-bit lane.

    Args:
        builder: llvmlite's.
        isa: chooses the instruction.
        fours: 8-bit fours (activations unsigned unless isa.signed_fours, weights signed), else signed 16-bit pairs.
        accumulator: <lanes x i32>.
        activations: <lanes x i32>, operands as they lie in memory.
        weights: alike.
    """
    bits = 8 if fours else 16
    operands = ir.VectorType(ir.IntType(bits), isa.lanes * 32 // bits)
    a, b = builder.bitcast(activations, operands), builder.bitcast(weights, operands)
    vector = accumulator.type
    width = isa.lanes * 32
    if isa.native and isa.name == "avx2":
        pairs = _call(builder, "llvm.x86.avx2.pmadd.wd", vector, a, b)
        return builder.add(accumulator, pairs)
    if isa.native and isa.name in ("avxvnni", "avx512vnni"):
        name = f"llvm.x86.avx512.{'vpdpbusd' if fours else 'vpdpwssd'}.{width}"
        return _call(builder, name, vector, accumulator, a, b)
    if isa.native and isa.name == "neon" and fours:
        return _call(builder, "llvm.aarch64.neon.sdot.v4i32.v16i8", vector, accumulator, a, b)
    wide = ir.VectorType(WORD, operands.count)
    extend = builder.zext if fours and not isa.signed_fours else builder.sext
    products = builder.mul(extend(a, wide), builder.sext(b, wide))
    step = 32 // bits
    for part in range(step):
        indices = [lane * step + part for lane in range(isa.lanes)]
        mask = ir.Constant(vector, indices)
        chosen = builder.shuffle_vector(products, ir.Constant(wide, ir.Undefined), mask)
        accumulator = builder.add(accumulator, chosen)
    return accumulator


def _call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    function_type = ir.FunctionType(result, [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    return builder.call(function, arguments)


def _advance(builder: Any, pointer: Any, offset: Any) -> Any:
    return builder.gep(pointer, [offset])


def _typed(builder: Any, pointer: Any, typ: Any) -> Any:
    return builder.bitcast(pointer, typ.as_pointer())


def _load(builder: Any, pointer: Any, offset: Any, typ: Any) -> Any:
    # align=1: offsets of packed rows are multiples of four only
    return builder.load(_typed(builder, _advance(builder, pointer, offset), typ), align=1)


def _splat(builder: Any, value: Any, vector: Any) -> Any:
    undefined = ir.Constant(vector, ir.Undefined)
    single = builder.insert_element(undefined, value, WORD(0))
    return builder.shuffle_vector(single, undefined, ir.Constant(vector, [0] * vector.count))
