"""Cross-checking: every execution agrees, and where one does not, the first difference is found and named."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_programs import classifier
from strategies import codes_for, programs

from intlower.compiler import artifact, crosscheck
from intlower.compiler.constant import Constant
from intlower.compiler.crosscheck import (
    Comparison,
    compare,
    random_inputs,
    run_onnxruntime,
    verify,
)
from intlower.compiler.errors import ArtifactError, DataError, IntlowerError
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import Simulator, run_reference

pytestmark = pytest.mark.crosscheck

PROGRAM = classifier()
INPUTS = random_inputs(PROGRAM, 5, seed=1)

Codes = NDArray[Any]


def with_another_bias(program: IntegerProgram, name: str) -> IntegerProgram:
    """The program with a larger bias in one instruction's last channel."""

    def change(bias: Codes) -> Constant:
        changed = bias.copy()
        changed[-1] += 3000
        return Constant.of(changed)

    return dataclasses.replace(
        program,
        instructions=tuple(
            dataclasses.replace(
                step,
                constants={
                    **step.constants,
                    "bias": change(step.constants["bias"].array),
                },
            )
            if step.name == name
            else step
            for step in program.instructions
        ),
    )


# onnxruntime.


@pytest.mark.parametrize("optimize", [True, False])
def test_onnxruntime_gives_the_oracles_integers(optimize: bool) -> None:
    expected = run_reference(PROGRAM, INPUTS)
    actual = run_onnxruntime(PROGRAM, INPUTS, optimize=optimize)
    assert actual.keys() == expected.keys()
    assert all(np.array_equal(actual[name], expected[name]) for name in expected)
    assert len(np.unique(actual["logits"])) > 2


def test_every_tensor_may_be_kept() -> None:
    kept = run_onnxruntime(PROGRAM, INPUTS, keep_all=True)
    expected = run_reference(PROGRAM, INPUTS, keep_all=True)
    assert kept.keys() == expected.keys() == PROGRAM.tensors.keys()
    assert all(np.array_equal(kept[name], expected[name]) for name in expected)


def test_a_file_and_its_bytes_run_as_the_program(tmp_path: Path) -> None:
    path = tmp_path / "program.onnx"
    artifact.save(PROGRAM, path)
    expected = run_onnxruntime(PROGRAM, INPUTS)["logits"]
    assert np.array_equal(run_onnxruntime(path, INPUTS)["logits"], expected)
    assert np.array_equal(run_onnxruntime(path.read_bytes(), INPUTS)["logits"], expected)


def test_a_fixed_batch_runs_in_pieces() -> None:
    fixed = classifier(batch=2)
    inputs = {name: codes[:4] for name, codes in INPUTS.items()}
    expected = run_onnxruntime(PROGRAM, inputs)
    actual = run_onnxruntime(fixed, inputs)
    assert np.array_equal(actual["logits"], expected["logits"])


def test_wrong_inputs_are_refused() -> None:
    with pytest.raises(DataError):
        run_onnxruntime(PROGRAM, {"image": INPUTS["image"].astype(np.uint8)})
    with pytest.raises(DataError):
        run_onnxruntime(PROGRAM, {})
    with pytest.raises(DataError):
        verify(PROGRAM, {"image": INPUTS["image"][:, :1]})


# Comparing with the oracle.


def test_equal_integers_are_counted_and_have_no_first_difference() -> None:
    found = compare(PROGRAM, INPUTS, run_reference(PROGRAM, INPUTS), "somebody")
    assert found == Comparison(against="somebody", compared=5 * (3 + 36), mismatches=0)


def test_the_first_difference_is_where_it_arises() -> None:
    other = with_another_bias(PROGRAM, "conv")

    def somebody(codes: Mapping[str, Codes]) -> dict[str, Codes]:
        return run_onnxruntime(other, codes, keep_all=True)

    found = compare(PROGRAM, INPUTS, somebody, "somebody")
    assert found.mismatches > 0
    assert found.first is not None
    assert (found.first.engine, found.first.instruction) == ("somebody", "conv")
    expected = run_reference(PROGRAM, INPUTS, keep_all=True)["features"]
    actual = somebody(INPUTS)["features"]
    index = found.first.index
    assert index[1] == 3  # the last channel
    assert (expected[index], actual[index]) == (found.first.expected, found.first.actual)
    assert not np.any((expected != actual)[: index[0]])
    assert "somebody differs first at conv[" in str(found.first.error())


def test_outputs_alone_are_located_at_the_instruction_that_gives_them() -> None:
    results = run_reference(PROGRAM, INPUTS)
    logits = results["logits"].copy()
    logits[2, 1] ^= 1
    logits[4, 0] ^= 1
    found = compare(PROGRAM, INPUTS, {**results, "logits": logits}, "golden file")
    assert found.mismatches == 2
    assert found.first is not None
    assert (found.first.instruction, found.first.index) == ("classify", (2, 1))


def test_results_of_another_shape_or_type_are_refused() -> None:
    results = run_reference(PROGRAM, INPUTS)
    for logits in (results["logits"][:1], results["logits"].astype(np.int16)):
        with pytest.raises(ArtifactError, match="logits"):
            compare(PROGRAM, INPUTS, {**results, "logits": logits}, "somebody")


# Verifying the Numba engine.


def integers(program: IntegerProgram) -> int:
    """How many integers a program computes for one sample."""
    return sum(
        math.prod(d for d in program.tensors[i.output].shape[1:] if d is not None)
        for i in program.instructions
    )


def test_the_engine_agrees_with_onnxruntime_and_with_the_oracle() -> None:
    calls: list[tuple[int, int]] = []
    inputs = random_inputs(PROGRAM, 300, seed=2)
    results = verify(PROGRAM, inputs, progress=lambda done, total: calls.append((done, total)))
    assert list(results) == ["onnxruntime", "reference"]
    for name, found in results.items():
        assert found == Comparison(against=name, compared=300 * integers(PROGRAM), mismatches=0)
    assert calls == [(256, 300), (300, 300)]


def test_a_fixed_batch_is_verified() -> None:
    program = classifier(batch=2)
    found = verify(program, random_inputs(program, 3), against=["reference"])
    # Three samples are rounded up to two batches of two.
    assert found["reference"] == Comparison(
        against="reference", compared=4 * integers(PROGRAM), mismatches=0
    )


def test_a_difference_between_the_two_runs_of_the_engine_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Simulator.run

    def unstable(self: Simulator, codes: Mapping[str, Codes]) -> dict[str, Codes]:
        results = run(self, codes)
        if set(results) == set(PROGRAM.outputs):  # `run_all` calls `run` too, for every tensor
            results = {name: array ^ 1 for name, array in results.items()}
        return results

    monkeypatch.setattr(Simulator, "run", unstable)
    for found in verify(PROGRAM, INPUTS).values():
        assert found.mismatches == sum(
            run_reference(PROGRAM, INPUTS)[name].size for name in PROGRAM.outputs
        )


@settings(deadline=None, max_examples=15, database=None)
@given(data=st.data())
def test_the_engine_agrees_on_any_program(data: st.DataObject) -> None:
    program = data.draw(programs())
    for found in verify(program, data.draw(codes_for(program))).values():
        assert found.mismatches == 0
        assert found.compared > 0


def test_an_engine_that_errs_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    open_program = crosscheck.open_program
    monkeypatch.setattr(
        crosscheck, "open_program", lambda p: open_program(with_another_bias(p, "conv"))
    )
    for found in verify(PROGRAM, INPUTS).values():
        assert found.mismatches > 0
        assert found.first is not None
        assert (found.first.engine, found.first.instruction) == ("numba", "conv")


def test_an_onnxruntime_that_errs_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    to_model = crosscheck.to_model
    monkeypatch.setattr(
        crosscheck, "to_model", lambda p: to_model(with_another_bias(p, "classify"))
    )
    results = verify(PROGRAM, INPUTS)
    assert results["reference"].mismatches == 0
    first = results["onnxruntime"].first
    assert first is not None
    assert (first.engine, first.instruction) == ("onnxruntime", "classify")
    assert results["onnxruntime"].mismatches > 0


def test_an_unknown_yardstick_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(IntlowerError, match="litert") as caught:
        verify(PROGRAM, INPUTS, against=["litert"])
    assert "onnxruntime, reference" in caught.value.hint


# Random inputs.


def test_random_inputs_are_the_same_for_a_seed_and_reach_every_code() -> None:
    first, second = (random_inputs(PROGRAM, 8, seed=3)["image"] for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, random_inputs(PROGRAM, 8, seed=4)["image"])
    assert first.shape == (8, 2, 6, 6)
    assert first.dtype == np.int8
    assert set(np.unique(first[3])) == {-128, 127}
    everything = random_inputs(PROGRAM, 64)["image"]
    assert np.array_equal(np.unique(everything), np.arange(-128, 128))


def test_random_inputs_fill_whole_batches_and_keep_to_the_grid() -> None:
    program = classifier(batch=4)
    narrow = dataclasses.replace(program.tensors["image"].grid, minimum=-127)
    image = dataclasses.replace(program.tensors["image"], grid=narrow)
    program = dataclasses.replace(program, tensors={**program.tensors, "image": image})
    codes = random_inputs(program, 5)["image"]
    assert codes.shape[0] == 8
    assert codes.min() == -127
