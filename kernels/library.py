"""Selects kernels: the one place that knows which variant runs a kernel key."""

from __future__ import annotations

from intlower.kernels.isa import Isa
from intlower.kernels.signature import KernelKey

# What is built on the tile of an instruction set; everything else is portable loops.
TILED = frozenset({"conv2d", "gemm"})


def kernel_for(key: KernelKey, isa: Isa) -> KernelKey:
    """Return the key of the kernel that runs `key` with an instruction set: its variant says which."""
    return key.with_variant(isa.name if key.operator in TILED else "portable")
