"""Which function writes the rows of which operator."""

from __future__ import annotations

from collections.abc import Callable

from intlower.compiler.planning.elementwise import (
    write_add,
    write_pool,
    write_requantize,
    write_softmax,
)
from intlower.compiler.planning.extended import EXTENDED_ROW_WRITERS
from intlower.compiler.planning.fixed_point import write_mean_pool, write_softmax_fixed
from intlower.compiler.planning.general import GENERAL_ROW_WRITERS
from intlower.compiler.planning.half import (
    write_half_add,
    write_half_average_pool,
    write_half_clip,
    write_half_dequantize,
    write_half_max_pool,
    write_half_pad,
    write_half_products,
    write_half_quantize,
)
from intlower.compiler.planning.logarithmic import LOG_ROW_WRITERS
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
    "mean_pool": write_mean_pool,
    "softmax_fixed": write_softmax_fixed,
    **EXTENDED_ROW_WRITERS,
    **GENERAL_ROW_WRITERS,
    **LOG_ROW_WRITERS,
    "half_conv2d": write_half_products,
    "half_gemm": write_half_products,
    "half_add": write_half_add,
    "half_average_pool": write_half_average_pool,
    "half_max_pool": write_half_max_pool,
    "half_clip": write_half_clip,
    "half_pad": write_half_pad,
    "half_dequantize": write_half_dequantize,
    "half_quantize": write_half_quantize,
}
