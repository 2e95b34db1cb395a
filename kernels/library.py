"""Selects kernels: the one place that knows which code runs a kernel key."""

from __future__ import annotations

from functools import cache
from typing import Any

from intlower.kernels.compiled import compile_entry
from intlower.kernels.entries import ENTRIES, entry_signature
from intlower.kernels.isa import ISAS, Isa
from intlower.kernels.signature import KernelKey
from intlower.kernels.table import (
    ADD,
    DENSE,
    DENSE_BYTES,
    DEPTHWISE_PAIRS,
    INTERLEAVE,
    WINOGRAD,
)

# What is built on the vectors of an instruction set; everything else is portable loops.
VECTOR_OPERATORS = frozenset({"conv2d", "gemm", "asymmetric_conv2d", "asymmetric_gemm", "add"})
VECTOR_OPCODES = frozenset({ADD, DENSE, DENSE_BYTES, DEPTHWISE_PAIRS, INTERLEAVE, WINOGRAD})


def kernel_for(key: KernelKey, isa: Isa) -> KernelKey:
    """Return the key of the kernel that runs `key` with an instruction set: its variant says which."""
    return key.with_variant(isa.name if key.operator in VECTOR_OPERATORS else "portable")


def entry_address(opcode: int, input_bytes: int, output_bytes: int, isa: Isa) -> int:
    """Return where the code of an opcode starts; compiles it, or loads it from disk, at the first request.

    Args:
        opcode: see `table`.
        input_bytes: width of an input code, 1 or 2.
        output_bytes: alike.
        isa: whose instructions to use.
    """
    entry = _entry(opcode, input_bytes, output_bytes, _isa_of(opcode, isa))
    address: int = entry.address
    return address


def entry_name(opcode: int, input_bytes: int, output_bytes: int, isa: Isa) -> str:
    """Return what to call an entry in messages.

    >>> entry_name(DENSE, 1, 1, ISAS["avx2"])
    'dense, 8-bit to 8-bit codes, avx2'
    """
    name = ENTRIES[opcode].__name__.removesuffix("_entry").replace("_", " ")
    chosen = _isa_of(opcode, isa)
    return f"{name}, {8 * input_bytes}-bit to {8 * output_bytes}-bit codes, {chosen.name}"


def _isa_of(opcode: int, isa: Isa) -> Isa:
    return isa if opcode in VECTOR_OPCODES else ISAS["portable"]


@cache
def _entry(opcode: int, input_bytes: int, output_bytes: int, isa: Isa) -> Any:
    return compile_entry(ENTRIES[opcode], entry_signature(isa, input_bytes, output_bytes))
