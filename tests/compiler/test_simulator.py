from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import strategies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intlower.compiler.errors import DataError, IntlowerError
from intlower.compiler.execution import Execution
from intlower.compiler.plan import make_plan
from intlower.compiler.program import HostStep, IntegerProgram
from intlower.compiler.simulator import (
    Simulator,
    dequantize_outputs,
    open_program,
    quantize_inputs,
    run_host_steps,
    run_reference,
    simulate,
    simulate_integers,
)
from intlower.kernels.isa import ISAS, Isa, available_isas, host_isa
from intlower.kernels.signature import ElementType

WIDE = (ElementType.INT8, ElementType.UINT8, ElementType.INT16, ElementType.UINT16)
# Instruction sets that this machine lacks, their tiles in plain vector arithmetic.
EMULATED = [replace(isa, native=False) for isa in ISAS.values() if isa.fours]


def tried(examples: int) -> settings:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(deadline=None, max_examples=examples, suppress_health_check=checks)


def assert_equal_to_oracle(
    program: IntegerProgram, codes: dict[str, Any], isa: Isa, threads: int = 1
) -> None:
    expected = run_reference(program, codes)
    actual = Simulator(program, make_plan(program, isa, threads)).run(codes)
    assert set(actual) == set(expected)
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype
        assert np.array_equal(actual[name], array)


@pytest.mark.parametrize("operator", strategies.INTEGER_OPERATORS)
@pytest.mark.parametrize("isa", available_isas())
@tried(30)
@given(data=st.data())
def test_an_operator_equals_the_oracle(isa: str, operator: str, data: st.DataObject) -> None:
    program = data.draw(strategies.instructions(operator))
    assert_equal_to_oracle(program, data.draw(strategies.codes_for(program)), ISAS[isa])


@pytest.mark.parametrize("isa", available_isas())
@tried(60)
@given(data=st.data())
def test_a_program_equals_the_oracle(isa: str, data: st.DataObject) -> None:
    program = data.draw(strategies.programs())
    assert_equal_to_oracle(program, data.draw(strategies.codes_for(program)), ISAS[isa])


@pytest.mark.slow
@tried(80)
@given(data=st.data())
def test_a_program_with_16_bit_codes_equals_the_oracle(data: st.DataObject) -> None:
    program = data.draw(strategies.programs(elements=WIDE))
    assert_equal_to_oracle(program, data.draw(strategies.codes_for(program)), host_isa())


@pytest.mark.slow
@pytest.mark.parametrize("isa", EMULATED, ids=lambda isa: isa.name)
@tried(40)
@given(data=st.data())
def test_tiles_of_other_machines_equal_the_oracle(isa: Isa, data: st.DataObject) -> None:
    operator = data.draw(st.sampled_from(["conv2d", "gemm"]))
    program = data.draw(strategies.instructions(operator, largest_side=12))
    assert_equal_to_oracle(program, data.draw(strategies.codes_for(program)), isa)


@tried(30)
@given(data=st.data())
def test_run_all_gives_every_tensor(data: st.DataObject) -> None:
    program = data.draw(strategies.programs())
    codes = data.draw(strategies.codes_for(program))
    expected = run_reference(program, codes, keep_all=True)
    actual = open_program(program).run_all(codes)
    assert set(actual) == set(program.tensors)
    assert all(np.array_equal(actual[name], expected[name]) for name in expected)


@tried(20)
@given(data=st.data(), threads=st.integers(2, 3))
def test_threads_that_share_a_sample_equal_the_oracle(
    data: st.DataObject, threads: int
) -> None:
    program = data.draw(strategies.programs())
    codes = data.draw(strategies.codes_for(program))
    plan = make_plan(program, host_isa(), threads)
    actual = Execution(plan, work=1 << 40).run(codes)
    expected = run_reference(program, codes)
    assert all(np.array_equal(actual[name], expected[name]) for name in expected)


@tried(5)
@given(program=strategies.programs(), seed=st.integers(0, 1000))
def test_calls_from_several_threads_do_not_meet(program: IntegerProgram, seed: int) -> None:
    simulator = open_program(program, threads=2)
    inputs = [strategies.draw_codes(program, seed + i, 0) for i in range(16)]
    expected = [run_reference(program, codes) for codes in inputs]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(simulator.run, inputs))
    for result, wanted in zip(results, expected, strict=True):
        assert all(np.array_equal(result[name], wanted[name]) for name in wanted)


@pytest.fixture
def program() -> IntegerProgram:
    """A program of one input [N, 3, 5, 4] of int8, of any batch."""
    strategy = strategies.instructions("max_pool", elements=(ElementType.INT8,))
    found: list[IntegerProgram] = []

    @settings(database=None, deadline=None, max_examples=20, derandomize=True)
    @given(strategy)
    def look(candidate: IntegerProgram) -> None:
        found.append(candidate)

    look()
    return next(p for p in found if p.tensors["input_0"].shape[0] is None)


def zeros(program: IntegerProgram, samples: int = 1) -> Any:
    tensor = program.tensors["input_0"]
    return np.zeros((samples, *tensor.shape[1:]), tensor.grid.dtype)


def test_a_missing_or_unknown_input_is_named(program: IntegerProgram) -> None:
    simulator = open_program(program)
    with pytest.raises(DataError, match=r"input_0.*given: none"):
        simulator.run({})
    with pytest.raises(DataError, match=r"input_0.*given: image, input_0"):
        simulator.run({"input_0": zeros(program), "image": zeros(program)})


def test_a_wrong_type_is_refused(program: IntegerProgram) -> None:
    for array in (zeros(program).astype(np.float32), zeros(program).astype(np.uint8)):
        with pytest.raises(DataError, match=f"input_0.*int8.*{array.dtype}"):
            open_program(program).run({"input_0": array})
    with pytest.raises(DataError, match=r"input_0.*int8.*list"):
        open_program(program).run({"input_0": [1]})


def test_a_wrong_shape_is_refused(program: IntegerProgram) -> None:
    for array in (zeros(program)[0], zeros(program)[..., None], zeros(program)[:0]):
        with pytest.raises(DataError, match="input_0"):
            open_program(program).run({"input_0": array})


def test_a_fixed_batch_takes_multiples_of_it(program: IntegerProgram) -> None:
    tensors = {
        name: replace(tensor, shape=(2, *tensor.shape[1:]))
        for name, tensor in program.tensors.items()
    }
    fixed = replace(program, tensors=tensors)
    assert len(open_program(fixed).run({"input_0": zeros(program, 4)})["t0"]) == 4
    with pytest.raises(DataError, match="multiple of 2 samples, not 3"):
        open_program(fixed).run({"input_0": zeros(program, 3)})


def test_strided_inputs_are_taken(program: IntegerProgram) -> None:
    wide = np.repeat(zeros(program), 2, axis=3)
    wide[...] = np.arange(wide.size).reshape(wide.shape) % 100
    expected = run_reference(program, {"input_0": wide[..., ::2]})
    assert np.array_equal(
        simulate_integers(program, {"input_0": wide[..., ::2]})["t0"], expected["t0"]
    )


def test_codes_outside_a_narrow_grid_are_refused(program: IntegerProgram) -> None:
    tensor = program.tensors["input_0"]
    narrow = replace(tensor, grid=replace(tensor.grid, minimum=-127))
    program = replace(program, tensors={**program.tensors, "input_0": narrow})
    with pytest.raises(DataError, match=r"input_0.*-127\.\.127, not -128"):
        open_program(program).run({"input_0": zeros(program) - np.int8(-128)})


def test_nan_is_refused_by_name(program: IntegerProgram) -> None:
    values = np.full(zeros(program).shape, np.nan, np.float32)
    with pytest.raises(DataError, match="'input_0' contains NaN"):
        quantize_inputs(program, {"input_0": values})


def test_simulate_quantizes_runs_and_dequantizes(program: IntegerProgram) -> None:
    values = np.random.default_rng(0).normal(size=zeros(program, 2).shape).astype(np.float32)
    codes = run_reference(program, quantize_inputs(program, {"input_0": values}))
    expected = dequantize_outputs(program, codes)["t0"]
    assert np.array_equal(simulate(program, {"input_0": values})["t0"], expected)


def test_a_host_softmax_takes_the_place_of_its_input(program: IntegerProgram) -> None:
    step = HostStep(operator="Softmax", input="t0", output="probabilities", axis=1)
    program = replace(program, host=(step,))
    logits = np.array([[1.0, 2.0, 3.0]], np.float32)
    results = run_host_steps(program, {"t0": logits})
    assert set(results) == {"probabilities"}
    exact = np.exp(logits.astype(np.float64))
    assert np.array_equal(
        results["probabilities"], (exact / exact.sum()).astype(np.float32)
    ) or np.allclose(results["probabilities"], exact / exact.sum(), rtol=1e-6)
    assert set(simulate(program, {"input_0": zeros(program) / 1.0})) == {"probabilities"}


def test_kernels_are_named_with_their_variant(program: IntegerProgram) -> None:
    assert open_program(program).kernels == ("max_pool_s8__portable",)


def test_an_unknown_instruction_set_is_an_error_of_ours(
    program: IntegerProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(IntlowerError, match="'mmx'"):
        open_program(program, isa="mmx")
    monkeypatch.setenv("INTLOWER_ISA", "sse9")
    with pytest.raises(IntlowerError, match="'sse9'"):
        open_program(program)


def test_threads_must_be_positive(program: IntegerProgram) -> None:
    with pytest.raises(IntlowerError, match="threads is 0"):
        open_program(program, threads=0)
