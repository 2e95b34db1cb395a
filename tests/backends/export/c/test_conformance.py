"""Small networks of every installed target, under every option, as C: one build."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import networks
import onnx
import pytest
from c_compiler import differences, needs_compiler
from target_variants import TARGETS, variants

from intlower.backends.export.c.elements import NoCForm
from intlower.backends.export.c.emitters import EMITTERS
from intlower.backends.export.c.project import export_c
from intlower.backends.export.c.rules import RULES
from intlower.backends.export.c.vectors import GoldenVectors
from intlower.compiler.crosscheck import random_inputs
from intlower.compiler.pipeline import compile_model
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import run_reference
from intlower.kernels.signature import ElementType

Make = Callable[..., onnx.ModelProto]

ALL: tuple[Make, ...] = (
    networks.depthwise_separable,
    networks.residual_block,
    networks.classifier,
    networks.concat_network,
    networks.slice_pad_shortcut,
)


def covered(program: IntegerProgram) -> bool:
    """Whether a program is of integers alone, with operators and rules that the C export has."""
    elements = {tensor.grid.element for tensor in program.tensors.values()}
    kernels = [instruction.kernel for instruction in program.instructions]
    return (
        ElementType.FLOAT16 not in elements
        and all(kernel.operator in EMITTERS for kernel in kernels)
        and all(kernel.requantize in (None, *RULES) for kernel in kernels)
    )


@needs_compiler
@pytest.mark.slow
@pytest.mark.crosscheck
def test_every_target_and_option_gives_the_oracles_integers(tmp_path: Path) -> None:
    cases = [(target, make) for target in TARGETS for make in ALL]
    cases += [(target, make) for target in variants() for make in ALL[:3]]
    projects: dict[str, dict[str, bytes]] = {}
    bases = set()
    for number, (target, make) in enumerate(cases):
        model = make(seed=number)
        path = tmp_path / f"{number}.onnx"
        onnx.save(model, path)
        samples = networks.random_inputs(model, batch=4)
        program = compile_model(path, target=target, samples=samples)
        codes = random_inputs(program, 4)
        try:
            vectors = GoldenVectors(inputs=codes, outputs=run_reference(program, codes))
            name = f"case{number}"
            projects[name] = export_c(program, name=name, vectors=vectors)
        except NoCForm:
            assert not covered(program)
        else:
            bases.add(target.partition(":")[0])
    expected = {"ceva", "nart_arm", "nart_cuda", "nnie", "sigmastar", "snpe", "tensorrt"}
    assert expected <= bases
    found = differences(projects, tmp_path, ("-O0",))
    assert all(compared > 0 and different == 0 for compared, different in found.values())
