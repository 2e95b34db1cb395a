from __future__ import annotations

import llvmlite.binding as llvm
import pytest
from llvmlite import ir

from intlower.kernels.isa import ISAS, Isa, available_isas, host_isa
from intlower.kernels.vectors import WORD, sum_products

MACHINES = {
    "avx512vnni": ("x86_64-unknown-linux-gnu", "+avx512f,+avx512bw,+avx512vl,+avx512vnni"),
    "avxvnni": ("x86_64-unknown-linux-gnu", "+avx2,+avxvnni"),
    "avx2": ("x86_64-unknown-linux-gnu", "+avx2"),
    "neon": ("aarch64-unknown-linux-gnu", "+neon,+dotprod"),
}


def assembly_of(isa: Isa, fours: bool) -> str:
    """Return what LLVM makes of one sum of products for the machine of an instruction set."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple, features = MACHINES[isa.name]
    vector = ir.VectorType(WORD, isa.lanes)
    module = ir.Module()
    module.triple = triple
    function = ir.Function(module, ir.FunctionType(vector, [vector] * 3), "f")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(sum_products(builder, isa, fours, *function.args))
    machine = llvm.Target.from_triple(triple).create_target_machine(features=features, opt=3)
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    return str(machine.emit_assembly(parsed))


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
    lines = [
        line for line in assembly_of(ISAS[name], fours).splitlines() if instruction in line
    ]
    assert len(lines) == 1
    assert register in lines[0]


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
