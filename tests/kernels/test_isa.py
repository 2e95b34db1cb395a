from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import pytest
from llvmlite import ir

from intlower.kernels.isa import ISAS, Isa, available_isas, host_isa
from intlower.kernels.simd_bytes import paired_products, widened_sum
from intlower.kernels.vectors import BYTE, INDEX, WORD, prefetch, sum_products

MACHINES = {
    "avx512vnni": ("x86_64-unknown-linux-gnu", "+avx512f,+avx512bw,+avx512vl,+avx512vnni"),
    "avxvnni": ("x86_64-unknown-linux-gnu", "+avx2,+avxvnni"),
    "avx2": ("x86_64-unknown-linux-gnu", "+avx2"),
    "neon": ("aarch64-unknown-linux-gnu", "+neon,+dotprod"),
}


def assembly_of(isa: Isa, emit: Callable[..., Any]) -> list[str]:
    """Return what LLVM makes of code of three vectors for the machine of an instruction set, line by line."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple, features = MACHINES[isa.name]
    vector = ir.VectorType(WORD, isa.lanes)
    module = ir.Module()
    module.triple = triple
    function = ir.Function(module, ir.FunctionType(vector, [vector] * 3), "f")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(emit(builder, isa, *function.args))
    machine = llvm.Target.from_triple(triple).create_target_machine(features=features, opt=3)
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    return str(machine.emit_assembly(parsed)).splitlines()


@pytest.mark.parametrize(
    ("name", "fours", "instruction", "register"),
    [
        ("avx512vnni", True, "vpdpbusd", "zmm"),
        ("avx512vnni", False, "vpdpwssd", "zmm"),
        ("avxvnni", True, "vpdpbusd", "ymm"),
        ("avxvnni", False, "vpdpwssd", "ymm"),
        ("avx2", False, "vpmaddwd", "ymm"),
        ("neon", True, "sdot", "v0.4s"),
    ],
)
def test_an_instruction_set_sums_products_with_its_own_instruction(
    name: str, fours: bool, instruction: str, register: str
) -> None:
    assembly = assembly_of(
        ISAS[name], lambda builder, isa, *vectors: sum_products(builder, isa, fours, *vectors)
    )
    lines = [line for line in assembly if instruction in line]
    assert len(lines) == 1
    assert register in lines[0]


def test_bytes_are_summed_through_16_bits_with_two_instructions_and_an_addition() -> None:
    def emit(builder: Any, isa: Isa, sums: Any, activations: Any, weights: Any) -> Any:
        halves = paired_products(builder, isa, activations, weights)
        return widened_sum(builder, isa, sums, halves)

    isa = ISAS["avx2"]
    assert isa.bytes_through_halves
    assembly = assembly_of(isa, emit)
    for instruction in ("vpmaddubsw", "vpmaddwd", "vpaddd"):
        assert sum(instruction in line for line in assembly) == 1


@pytest.mark.parametrize("name", sorted(MACHINES))
def test_weights_are_fetched_ahead_without_a_fault(name: str) -> None:
    def emit(builder: Any, isa: Isa, sums: Any, *others: Any) -> Any:
        prefetch(builder, builder.inttoptr(INDEX(1 << 40), BYTE.as_pointer()))
        return sums

    assembly = assembly_of(ISAS[name], emit)
    assert any("prefetch" in line or "prfm" in line for line in assembly)


def test_the_portable_set_is_always_available() -> None:
    assert available_isas()[-1] == "portable"
    assert host_isa("portable") is ISAS["portable"]


def test_the_environment_chooses_the_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTLOWER_ISA", "portable")
    assert host_isa().name == "portable"
    monkeypatch.delenv("INTLOWER_ISA")
    assert host_isa().name == available_isas()[0]


def test_an_unknown_instruction_set_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"'mmx'.*avx2.*portable"):
        host_isa("mmx")


def test_an_instruction_set_of_another_machine_is_refused() -> None:
    absent = next(name for name in ISAS if name not in available_isas())
    with pytest.raises(ValueError, match="does not run"):
        host_isa(absent)
