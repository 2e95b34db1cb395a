"""The compiled walk over an instruction table: every layer of a program in one call from Python."""

from __future__ import annotations

import os
from typing import Any

from llvmlite import ir
from numba import types

from intlower.kernels.compiled import compiled
from intlower.kernels.table import KERNEL
from intlower.kernels.vectors import BYTE, INDEX, WORD, advance, call, data_pointer, emitter

Array = Any

# A waiting thread looks so often before it lets another run.
LOOKS = 2000

# Shares of a row for each thread: more even out better, fewer cost less.
SHARES = 2


@emitter
def _call_kernel(
    typing_context: Any,
    table: Any,
    index: Any,
    address: Any,
    arena: Any,
    constants: Any,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> Any:
    """Call the entry at an address, whose arguments are those of `entries.py`."""
    signature = types.void(
        table, types.int64, types.int64, arena, constants, *[types.int64] * 3
    )

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, codes, numbers = (
            data_pointer(context, builder, signature.args[i], arguments[i]) for i in (0, 3, 4)
        )
        table, *arrays = (
            context.make_array(signature.args[i])(context, builder, arguments[i])
            for i in (0, 3, 4)
        )
        stride = builder.extract_value(table.strides, 0)
        row = advance(builder, rows, builder.mul(arguments[1], stride))
        pointer = BYTE.as_pointer()
        function_type = ir.FunctionType(ir.VoidType(), [pointer] * 6 + [INDEX] * 5)
        function = builder.inttoptr(arguments[2], function_type.as_pointer())
        sizes = [array.nitems for array in arrays]
        nothing = ir.Constant(pointer, None)
        operands = [nothing, row, codes, codes, codes, numbers, *sizes, *arguments[5:]]
        builder.call(function, operands)
        return context.get_dummy_value()

    return signature, generate


@emitter
def _count_up(typing_context: Any, counters: Any, place: Any) -> Any:
    """Add 1 to a counter that threads share, and return what it was."""
    signature = types.int64(counters, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _counter(context, builder, signature, arguments)
        return builder.atomic_rmw("add", address, INDEX(1), "seq_cst")

    return signature, generate


@emitter
def _wait_for(typing_context: Any, counters: Any, place: Any, expected: Any) -> Any:
    """Wait until a counter that threads share has reached `expected`."""
    signature = types.void(counters, types.int64, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _counter(context, builder, signature, arguments)
        start = builder.block
        look, again, rest, done = (
            builder.append_basic_block(name) for name in ("look", "again", "rest", "done")
        )
        builder.branch(look)
        builder.position_at_end(look)
        looks = builder.phi(INDEX)
        looks.add_incoming(INDEX(1), start)
        here = builder.load_atomic(address, "acquire", 8)
        builder.cbranch(builder.icmp_signed("<", here, arguments[2]), again, done)
        builder.position_at_end(again)
        following = builder.add(looks, INDEX(1))
        tired = builder.icmp_signed("==", builder.urem(looks, INDEX(LOOKS)), INDEX(0))
        builder.cbranch(tired, rest, look)
        looks.add_incoming(following, again)
        looks.add_incoming(following, rest)
        builder.position_at_end(rest)
        if os.name == "posix":
            call(builder, "sched_yield", WORD)
        builder.branch(look)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return signature, generate


def _counter(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Emit the address of the counter at a place: the first two arguments of `signature`."""
    data = data_pointer(context, builder, signature.args[0], arguments[0])
    offset = builder.mul(arguments[1], INDEX(8))
    return builder.bitcast(advance(builder, data, offset), INDEX.as_pointer())


@compiled
def walk(
    table: Array,
    arena: Array,
    constants: Array,
    counters: Array,
    scratch: Any,
    scratch_bytes: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run every row of a table, alone or in step with other threads.

    Threads take a row's shares as they come, so that none waits for one that the system does not run: a row is done when
    all its shares are, whoever did them. A thread that comes late finds nothing left, and touches nothing.

    Args:
        table: int64 [rows, COLUMNS], every number of it proved by the planner.
        arena: uint8; activations, then each thread's scratch.
        constants: uint8; weights and requantization constants.
        counters: int64 [2 * rows], 0 when the first thread sets out: shares taken and shares done, of each row; only used
            by several threads.
        scratch: byte offset of the first thread's scratch.
        scratch_bytes: of one thread.
        thread: which of `threads` this is, from 0.
        threads: how many may walk this table on this arena at the same time.
    """
    mine = scratch + thread * scratch_bytes
    for index in range(table.shape[0]):
        address = table[index, KERNEL]
        if threads == 1:
            _call_kernel(table, index, address, arena, constants, mine, 0, 1)
            continue
        shares = SHARES * threads
        share = _count_up(counters, 2 * index)
        while share < shares:
            _call_kernel(table, index, address, arena, constants, mine, share, shares)
            _count_up(counters, 2 * index + 1)
            share = _count_up(counters, 2 * index)
        _wait_for(counters, 2 * index + 1, shares)
