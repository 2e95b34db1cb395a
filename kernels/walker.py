"""The compiled walk over an instruction table: every layer of a program in one call from Python."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from intlower.kernels.compiled import compiled
from intlower.kernels.table import KERNEL
from intlower.kernels.vectors import BYTE, INDEX, advance, data_pointer

Array = Any


@intrinsic  # type: ignore[untyped-decorator]  # numba has no annotations
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
    signature = types.void(table, types.int64, types.int64, arena, constants, *[types.int64] * 3)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, codes, numbers = (
            data_pointer(context, builder, signature.args[i], arguments[i]) for i in (0, 3, 4)
        )
        sizes = [
            context.make_array(signature.args[i])(context, builder, arguments[i]).nitems
            for i in (3, 4)
        ]
        row_type = signature.args[0]
        columns = context.make_array(row_type)(context, builder, arguments[0]).strides
        stride = builder.extract_value(columns, 0)
        row = advance(builder, rows, builder.mul(arguments[1], stride))
        pointer = BYTE.as_pointer()
        function_type = ir.FunctionType(ir.VoidType(), [pointer] * 6 + [INDEX] * 5)
        function = builder.inttoptr(arguments[2], function_type.as_pointer())
        nothing = ir.Constant(pointer, None)
        builder.call(
            function,
            [nothing, row, codes, codes, codes, numbers, *sizes, *arguments[5:]],
        )
        return context.get_dummy_value()

    return signature, generate


@compiled
def walk(
    table: Array,
    arena: Array,
    constants: Array,
    scratch: Any,
    scratch_bytes: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run every row of a table.

    Args:
        table: int64 [rows, COLUMNS], every number of it proved by the planner.
        arena: uint8; activations, then each thread's scratch.
        constants: uint8; weights and requantization constants.
        scratch: byte offset of the first thread's scratch.
        scratch_bytes: of one thread.
        thread: which of `threads` this is, from 0.
        threads: how many walk this table together.
    """
    mine = scratch + thread * scratch_bytes
    for index in range(table.shape[0]):
        address = table[index, KERNEL]
        _call_kernel(table, index, address, arena, constants, mine, thread, threads)
