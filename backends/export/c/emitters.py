"""Which function writes which operator in C."""

from __future__ import annotations

from collections.abc import Callable

from intlower.backends.export.c.direct import (
    emit_direct_conv2d,
    emit_direct_gemm,
)
from intlower.backends.export.c.elements import no_c_form
from intlower.backends.export.c.elementwise import emit_add, emit_requantize, emit_softmax
from intlower.backends.export.c.extended import (
    emit_gather,
    emit_lookup,
    emit_lookup_channels,
    emit_multiply,
    emit_resample,
    emit_transpose,
)
from intlower.backends.export.c.fixed_point import emit_softmax_fixed
from intlower.backends.export.c.general import (
    emit_constant,
    emit_convert,
    emit_divide,
    emit_lookup_interpolated,
    emit_lrn,
    emit_matmul,
    emit_normalize,
)
from intlower.backends.export.c.logarithmic import (
    emit_linear_add,
    emit_linear_average_pool,
    emit_linear_clamp,
    emit_log_conv2d,
    emit_log_decode,
    emit_log_encode,
    emit_log_gemm,
)
from intlower.backends.export.c.movement import (
    emit_concat,
    emit_pad,
    emit_reshape,
    emit_slice,
)
from intlower.backends.export.c.pooling import emit_average_pool, emit_max_pool, emit_mean_pool
from intlower.backends.export.c.products import emit_conv2d, emit_gemm
from intlower.backends.export.c.writer import ModelWriter
from intlower.compiler.program import Instruction

# An operator that is not here has no C form: `emit` refuses it by name.
EMITTERS: dict[str, Callable[[ModelWriter, Instruction], None]] = {
    "conv2d": emit_conv2d,
    "gemm": emit_gemm,
    "add": emit_add,
    "average_pool": emit_average_pool,
    "requantize": emit_requantize,
    "max_pool": emit_max_pool,
    "concat": emit_concat,
    "pad": emit_pad,
    "slice": emit_slice,
    "reshape": emit_reshape,
    "softmax": emit_softmax,
    "mean_pool": emit_mean_pool,
    "softmax_fixed": emit_softmax_fixed,
    "asymmetric_conv2d": emit_direct_conv2d,
    "asymmetric_gemm": emit_direct_gemm,
    "saturating_conv2d": emit_direct_conv2d,
    "saturating_gemm": emit_direct_gemm,
    "lookup": emit_lookup,
    "lookup_channels": emit_lookup_channels,
    "transpose": emit_transpose,
    "gather": emit_gather,
    "multiply": emit_multiply,
    "resample": emit_resample,
    "matmul": emit_matmul,
    "normalize": emit_normalize,
    "lrn": emit_lrn,
    "divide": emit_divide,
    "constant": emit_constant,
    "convert": emit_convert,
    "lookup_interpolated": emit_lookup_interpolated,
    "log_conv2d": emit_log_conv2d,
    "log_gemm": emit_log_gemm,
    "log_encode": emit_log_encode,
    "log_decode": emit_log_decode,
    "linear_add": emit_linear_add,
    "linear_average_pool": emit_linear_average_pool,
    "linear_clamp": emit_linear_clamp,
}


def emit(writer: ModelWriter, instruction: Instruction) -> None:
    """Write one instruction.

    Raises:
        NoCForm: its operator, rule or element type has no C form, or its sums may leave int32_t.
    """
    if instruction.kernel.operator not in EMITTERS:
        raise no_c_form(instruction, f"the operator {instruction.kernel.operator}")
    writer.declare(instruction)
    EMITTERS[instruction.kernel.operator](writer, instruction)
