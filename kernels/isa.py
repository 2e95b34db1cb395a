"""Instruction sets: which vector instruction sums products, and the shape of the tile built on it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache

import llvmlite.binding
from numba import types
from numba.extending import models, register_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Isa:
    """One way to build the matrix kernels.

    Attributes:
        name: the variant in kernel names.
        lanes: int32 in one vector.
        vectors: vectors in one row of a tile.
        rows: output pixels in one tile.
        fours: whether an instruction sums four 8-bit products.
        signed_fours: whether both its operands are signed (else the activation is unsigned).
        features: what the processor must have, as LLVM names it.
        by_column: whether a panel holds each column's operands together, for plain loops that sum along them.
        native: whether the tile uses the instruction itself; otherwise plain vector arithmetic of the same shape,
            which any machine runs (the tests' way to check packing and folding).
    """

    name: str
    lanes: int
    vectors: int
    rows: int
    fours: bool = False
    signed_fours: bool = False
    features: tuple[str, ...] = ()
    by_column: bool = False
    native: bool = True

    @property
    def columns(self) -> int:
        """Output channels in one tile."""
        return self.lanes * self.vectors

    @property
    def bytes_through_halves(self) -> bool:
        """Whether 8-bit products are summed through 16 bits, which saturate, and so only where none can."""
        return self.name == "avx2"

    @property
    def transforms(self) -> bool:
        """Whether Winograd's transforms pay: their operands take 16 bits, where four 8-bit products would cost two."""
        return self.lanes > 1 and not self.fours


# From the best to the one that always works. Tiles fill the registers: 16, 16, 32 and 32 of them.
ISAS = {
    isa.name: isa
    for isa in (
        Isa(
            name="avx512vnni",
            lanes=16,
            vectors=4,
            rows=6,
            fours=True,
            features=("avx512f", "avx512bw", "avx512vl", "avx512vnni"),
        ),
        Isa(
            name="avxvnni",
            lanes=8,
            vectors=2,
            rows=6,
            fours=True,
            features=("avx2", "avxvnni"),
        ),
        Isa(name="avx2", lanes=8, vectors=2, rows=6, features=("avx2",)),
        Isa(
            name="neon",
            lanes=4,
            vectors=4,
            rows=6,
            fours=True,
            signed_fours=True,
            features=("neon", "dotprod"),
        ),
        Isa(name="portable", lanes=1, vectors=16, rows=6, by_column=True),
    )
}


@cache
def host_features() -> frozenset[str]:
    """Return what LLVM says of this processor."""
    features = llvmlite.binding.get_host_cpu_features()
    return frozenset(name for name, present in features.items() if present)


def available_isas() -> tuple[str, ...]:
    """Return the names of the instruction sets that this machine runs, the best first."""
    return tuple(isa.name for isa in ISAS.values() if host_features().issuperset(isa.features))


def host_isa(name: str | None = None) -> Isa:
    """Return the instruction set to use: the one named, else that of INTLOWER_ISA, else the best.

    Raises:
        ValueError: there is none of that name, or this machine does not run it.
    """
    wanted = name or os.environ.get("INTLOWER_ISA") or available_isas()[0]
    if wanted not in ISAS:
        raise ValueError(f"unknown instruction set {wanted!r}; known: {', '.join(ISAS)}")
    if wanted not in available_isas():
        raise ValueError(
            f"this machine does not run {wanted!r}; it runs: {', '.join(available_isas())}"
        )
    return ISAS[wanted]


class IsaType(types.Type):  # type: ignore[misc]  # Numba's types are not read here
    """The Numba type of an `Isa`: kernels are compiled once for each, which chooses their instructions."""

    def __init__(self, isa: Isa) -> None:
        self.isa = isa
        super().__init__(name=f"Isa({isa.name},{isa.native})")


register_model(IsaType)(models.OpaqueModel)
