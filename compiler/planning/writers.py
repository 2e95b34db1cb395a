"""Which function writes the rows of which operator."""

from __future__ import annotations

from collections.abc import Callable

from intlower.compiler.planning.elementwise import (
    write_add,
    write_pool,
    write_requantize,
    write_softmax,
)
from intlower.compiler.planning.movement import (
    write_concat,
    write_pad,
    write_reshape,
    write_slice,
)
from intlower.compiler.planning.products import write_products
from intlower.compiler.planning.rows import RowWriter
from intlower.compiler.program import Instruction

ROW_WRITERS: dict[str, Callable[[RowWriter, Instruction], None]] = {
    "conv2d": write_products,
    "gemm": write_products,
    "saturating_conv2d": write_products,
    "saturating_gemm": write_products,
    "add": write_add,
    "average_pool": write_pool,
    "max_pool": write_pool,
    "requantize": write_requantize,
    "concat": write_concat,
    "pad": write_pad,
    "slice": write_slice,
    "reshape": write_reshape,
    "softmax": write_softmax,
}
