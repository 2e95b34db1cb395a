"""What a processor's dot-product instruction can do at most: a loop of it on registers alone."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from intlower.kernels.compiled import compile_entry
from intlower.kernels.isa import Isa, IsaType
from intlower.kernels.vectors import INDEX, WORD, constant, emitter, sum_products

# Independent sums in one turn of the loop: more than latency times throughput of the instruction on any processor
# known, and few enough for 16 registers.
CHAINS = 12

# How an assembler operand names a vector register.
_REGISTER = {"avx2": "x", "avxvnni": "x", "avx512vnni": "v", "neon": "w"}


def measurable(isa: Isa) -> bool:
    """Return whether an instruction set has a dot-product instruction; plain loops have none."""
    return isa.name in _REGISTER


def multiply_accumulates(isa: Isa, rounds: int) -> int:
    """Return how many products `spin` sums in a number of turns."""
    return rounds * CHAINS * isa.lanes * (4 if isa.fours else 2)


@emitter
def _spin(typing_context: Any, isa: Any, rounds: Any) -> Any:
    """Emit the loop; its result depends on every instruction, and is of no other use.

    An empty piece of assembler between two instructions may have changed an operand, as far as LLVM knows, so that it
    neither merges them nor moves them out of the loop.
    """
    signature = types.int32(isa, types.int64)
    described: Isa = isa.isa

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(WORD, described.lanes)
        register = _REGISTER[described.name]
        unknown = ir.InlineAsm(
            ir.FunctionType(vector, [vector]), "", f"={register},0", side_effect=True
        )
        start = builder.block
        loop = builder.append_basic_block("spin")
        end = builder.append_basic_block("spin_done")
        builder.branch(loop)
        builder.position_at_end(loop)
        turn, operand = builder.phi(INDEX), builder.phi(vector)
        sums = [builder.phi(vector) for _ in range(CHAINS)]
        turn.add_incoming(arguments[1], start)
        operand.add_incoming(constant(0x01020304, WORD, described.lanes), start)
        value, results = operand, []
        for chain in sums:
            value = builder.call(unknown, [value])
            results.append(
                sum_products(builder, described, described.fours, chain, value, value)
            )
        operand.add_incoming(value, loop)
        for chain, result in zip(sums, results, strict=True):
            chain.add_incoming(constant(0, WORD, described.lanes), start)
            chain.add_incoming(result, loop)
        following = builder.sub(turn, INDEX(1))
        turn.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed(">", following, INDEX(0)), loop, end)
        builder.position_at_end(end)
        total = results[0]
        for result in results[1:]:
            total = builder.add(total, result)
        return builder.extract_element(total, WORD(0))

    return signature, generate


def spin_entry(isa: Any, rounds: Any) -> Any:
    """Run the loop."""
    return _spin(isa, rounds)


def spinner(isa: Isa) -> Callable[[int], int]:
    """Return a function that runs the instruction CHAINS times in each of a number of turns.

    Args:
        isa: whose instruction runs; `measurable`.
    """
    entry = compile_entry(spin_entry, types.int32(IsaType(isa), types.int64))
    prototype = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64)

    def spin(rounds: int) -> int:
        function = prototype(entry.address)  # the entry lives as long as this function
        return int(function(None, rounds)) if rounds > 0 else 0

    return spin
