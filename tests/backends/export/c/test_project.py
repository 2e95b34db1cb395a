"""The C project computes the oracle's integers, for every operator, rule and type."""

from __future__ import annotations

import functools
import itertools
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_compiler import differences, needs_compiler, sanitizing, write
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from shared_data import evalsets, model_path, needs_shared_data
from small_programs import ORIGIN, classifier, grid, instruction
from strategies import UNIFORM_OPERATORS, draw_codes, fans, instructions, programs

import intlower
from intlower.backends.export.c.elements import NoCForm
from intlower.backends.export.c.emitters import EMITTERS
from intlower.backends.export.c.names import in_comment
from intlower.backends.export.c.project import export_c
from intlower.backends.export.c.rules import RULES
from intlower.backends.export.c.vectors import GoldenVectors, golden_vectors
from intlower.compiler.constant import Constant
from intlower.compiler.grids import HalfGrid
from intlower.compiler.program import IntegerProgram, Tensor
from intlower.compiler.simulator import quantize_inputs, run_reference
from intlower.kernels.signature import ElementType, Requantize

ELEMENTS = (ElementType.INT8, ElementType.UINT8, ElementType.INT16, ElementType.UINT16)
OPERATORS = sorted(set(UNIFORM_OPERATORS) & set(EMITTERS))
SLICE_OF_ALL = {"starts": (0,), "ends": (2,), "axes": (1,), "steps": (1,)}

# One example is a whole build, so a smaller one is not looked for: the failing project's name says its number.
few_builds = functools.partial(
    settings,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


def by_the_oracle(program: IntegerProgram, seed: int, mode: int) -> GoldenVectors:
    codes = draw_codes(program, seed, mode)
    return GoldenVectors(inputs=codes, outputs=run_reference(program, codes))


def differing(cases: Sequence[IntegerProgram], folder: Path, seed: int) -> dict[str, int]:
    """Return the projects with differing integers."""
    projects = {
        f"case{i}": export_c(
            program, name=f"case{i}", vectors=by_the_oracle(program, seed + i, i % 4)
        )
        for i, program in enumerate(cases)
    }
    found = differences(projects, folder, ("-O0", *sanitizing(folder)))
    assert all(compared for compared, _ in found.values())
    return {name: different for name, (_, different) in found.items() if different}


@needs_compiler
@pytest.mark.parametrize("rule", list(RULES))
def test_every_operator_and_rule_gives_the_oracles_integers(
    rule: Requantize, tmp_path: Path
) -> None:
    @few_builds(max_examples=1)
    @given(
        st.tuples(*[fans(ELEMENTS, [rule], operators=OPERATORS)] * 2),
        st.integers(0, 2**32 - 99),
    )
    def check(cases: tuple[IntegerProgram, ...], seed: int) -> None:
        assert differing(cases, tmp_path, seed) == {}

    check()


@needs_compiler
def test_every_operator_by_itself_gives_the_oracles_integers(tmp_path: Path) -> None:
    @few_builds(max_examples=2)
    @given(
        st.tuples(*(instructions(name, ELEMENTS) for name in OPERATORS)),
        st.integers(0, 2**32 - 99),
    )
    def check(cases: tuple[IntegerProgram, ...], seed: int) -> None:
        assert differing(cases, tmp_path, seed) == {}

    check()


@needs_compiler
def test_programs_of_many_instructions_give_the_oracles_integers(tmp_path: Path) -> None:
    @few_builds(max_examples=2)
    @given(
        st.tuples(*[programs(ELEMENTS, operators=OPERATORS)] * 5), st.integers(0, 2**32 - 99)
    )
    def check(cases: tuple[IntegerProgram, ...], seed: int) -> None:
        assert differing(cases, tmp_path, seed) == {}

    check()


def wide_program(operator: str, rule: Requantize, seed: int, groups: int = 1) -> IntegerProgram:
    """Return one product of 16-bit codes and weights, many of them extreme, whose sums need 64 bits."""
    generator = np.random.default_rng(seed)
    int16 = ElementType.INT16
    least, greatest = int16.limits
    shape = (6, 6 // groups, 3, 3) if operator == "conv2d" else (5, 70)
    weights = generator.choice([least, greatest, -3, 0, 11], shape)
    outputs = shape[0]
    scale = 1 << 14 if rule.power_of_two else 12345
    constants = {
        "weights": Constant.of(weights, np.int16),
        "bias": Constant.of(generator.integers(-(1 << 41), 1 << 41, outputs), np.int64),
        "multiplier": Constant.of(np.full(outputs, scale), np.int32),
        "shift": Constant.of(generator.integers(30, 36, outputs), np.int32),
        "minimum": Constant.of(np.full(outputs, least), np.int32),
        "maximum": Constant.of(np.full(outputs, greatest), np.int32),
    }
    attributes: dict[str, Any] = {
        "input_zero_point": int(generator.choice([least, 0, 7])),
        "weight_zero_point": int(generator.choice([0, -5])),
        "output_zero_point": 3,
    }
    if operator == "conv2d":
        attributes |= {"strides": (1, 2), "dilations": (1, 1), "groups": groups}
        attributes["pads"] = (1, 0, 0, 2)
    shapes = ((6, 5, 7), (6, 4, 4)) if operator == "conv2d" else ((70,), (5,))
    return IntegerProgram(
        target="test",
        inputs=("x",),
        outputs=("y",),
        tensors={
            name: Tensor(name=name, shape=(None, *sizes), grid=grid(1.0, int16))
            for name, sizes in zip(("x", "y"), shapes, strict=True)
        },
        instructions=(
            instruction(
                f"{operator}_s16_s16_s16__{rule.value}",
                "product",
                ("x",),
                "y",
                constants=constants,
                weight_grid=grid(1.0, int16),
                **attributes,
            ),
        ),
        origin=ORIGIN,
    )


@needs_compiler
def test_sums_of_64_bits_give_the_oracles_integers(tmp_path: Path) -> None:
    rules = [Requantize.MUL31SINGLE, Requantize.POWERUP, Requantize.POWEREVEN]
    kinds = [("conv2d", 1), ("conv2d", 2), ("conv2d", 6), ("gemm", 1)]
    cases = [
        wide_program(operator, rule, seed, groups)
        for seed, (rule, (operator, groups)) in enumerate(itertools.product(rules, kinds))
    ]
    files = export_c(cases[0], vectors=by_the_oracle(cases[0], 0, 0))
    assert "int64_t totals[4]" in files["model_kernels.h"].decode()
    assert differing(cases, tmp_path, 1) == {}


@needs_compiler
def test_the_generated_test_reports_a_wrong_integer(tmp_path: Path) -> None:
    program = classifier()
    vectors = by_the_oracle(program, 5, 0)
    wrong = {name: codes.copy() for name, codes in vectors.outputs.items()}
    wrong["logits"][0, 1] ^= 1
    altered = GoldenVectors(inputs=vectors.inputs, outputs=wrong)
    files = export_c(program, name="net", vectors=altered)
    compared = sum(codes.size for codes in wrong.values())
    assert differences({"net": files}, tmp_path) == {"net": (compared, 1)}


@needs_compiler
@pytest.mark.skipif(shutil.which("make") is None, reason="there is no command make")
def test_the_makefile_of_a_fixed_batch_runs_vectors_made_by_the_simulator(
    tmp_path: Path,
) -> None:
    write(export_c(classifier(batch=2), name="net"), tmp_path)
    run = subprocess.run(["make", "test"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "net: 156 integers compared, 0 differ" in run.stdout


@needs_compiler
def test_names_of_any_kind_compile_and_are_told_in_comments(tmp_path: Path) -> None:
    hostile = [
        "int",
        "*/ int main(",
        "a\nb",
        "??/",
        "\\",
        "名",
        "a.b",
        "a b",
        "memcpy",
        "x" * 300,
    ]
    program = classifier()
    tensors = dict(zip(program.tensors, hostile, strict=False))
    nodes = dict(zip((i.name for i in program.instructions), reversed(hostile), strict=False))
    renamed = replace(
        program,
        target="../*/",
        inputs=tuple(tensors[name] for name in program.inputs),
        outputs=tuple(tensors[name] for name in program.outputs),
        tensors={
            tensors[name]: replace(tensor, name=tensors[name])
            for name, tensor in program.tensors.items()
        },
        instructions=tuple(
            replace(
                instruction,
                name=nodes[instruction.name],
                inputs=tuple(tensors[name] for name in instruction.inputs),
                output=tensors[instruction.output],
            )
            for instruction in program.instructions
        ),
        host=(),
    )
    files = export_c(renamed, vectors=by_the_oracle(renamed, 0, 0))
    assert all("/" not in name for name in files)
    source = files["model.c"].decode()
    assert all(in_comment(name) in source for name in nodes.values())
    ((_, different),) = differences({"model": files}, tmp_path).values()
    assert different == 0


def test_constants_that_are_equal_for_all_channels_are_stored_once() -> None:
    source = export_c(classifier(), vectors=by_the_oracle(classifier(), 0, 0))[
        "model.c"
    ].decode()
    for name in ("multiplier", "minimum", "maximum"):
        assert f"{name}_conv[1]" in source
    assert "bias_conv[4]" in source


def test_the_same_program_gives_the_same_bytes() -> None:
    vectors = by_the_oracle(classifier(), 0, 0)
    assert export_c(classifier(), vectors=vectors) == export_c(classifier(), vectors=vectors)


def test_the_network_takes_no_float_and_no_library() -> None:
    files = export_c(classifier(), vectors=by_the_oracle(classifier(), 0, 0))
    text = "".join(files[name].decode() for name in ("model.c", "model.h", "model_kernels.h"))
    assert set(re.findall(r"#include <(.*)>", text)) <= {"stdint.h", "string.h"}
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    assert re.findall(r"\b(float|double|malloc|printf|[0-9]+\.[0-9]*)\b", code) == []


def test_the_readme_tells_the_contract() -> None:
    text = export_c(classifier(), vectors=by_the_oracle(classifier(), 0, 0))[
        "README.txt"
    ].decode()
    for line in (
        "Input input_image",
        "shape                [6, 6, 2]",
        "type                 int8, codes -128 to 127",
        "rounded to nearest, ties to even",
        "scale                0.017",
        "make test",
    ):
        assert line in text
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize(
    ("table", "missing", "named"),
    [
        (RULES, Requantize.F32EVEN, "conv (conv2d_s8_s8c_s8__f32even)"),
        (EMITTERS, "max_pool", "pool (max_pool_s8)"),
    ],
)
def test_what_has_no_c_form_is_refused_by_name(
    table: dict[Any, Any], missing: Any, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(table, missing)
    with pytest.raises(NoCForm, match=re.escape(named)) as caught:
        export_c(classifier())
    assert caught.value.hint


def test_codes_of_another_type_are_refused_by_name() -> None:
    program = IntegerProgram(
        target="test",
        inputs=("x",),
        outputs=("y",),
        tensors={
            name: Tensor(name=name, shape=(None, 2), grid=HalfGrid()) for name in ("x", "y")
        },
        instructions=(instruction("slice_f16", "cut", ("x",), "y", **SLICE_OF_ALL),),
        origin=ORIGIN,
    )
    with pytest.raises(NoCForm, match=r"'x'.*float16"):
        export_c(program)


@needs_compiler
@needs_shared_data
@pytest.mark.slow
@pytest.mark.crosscheck
@pytest.mark.parametrize("target", ["snpe", "tensorrt"])
@pytest.mark.parametrize("network", ["mlperf_ic_resnet8", "mlperf_kws_ds_cnn"])
def test_real_networks_give_the_simulators_integers(
    network: str, target: str, tmp_path: Path
) -> None:
    program = intlower.compile(model_path(network), target=target)
    samples, _ = evalsets().load(network, 3)
    real = golden_vectors(program, quantize_inputs(program, {program.inputs[0]: samples}))
    projects = {
        "real": export_c(program, name="real", vectors=real),
        "random": export_c(program, name="random"),
    }
    found = differences(projects, tmp_path, ("-O2",))
    assert all(compared > 0 and different == 0 for compared, different in found.values())
