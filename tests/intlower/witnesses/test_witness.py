from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import small_programs

from intlower.compiler.crosscheck import random_inputs
from intlower.compiler.errors import IntlowerError
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import open_program
from intlower.witnesses.witness import Codes, Run, Variant, Witness, compare_with


def liar(name: str, by: int, at: tuple[int, ...]) -> Variant:
    """Return a witness that differs in one code of one tensor."""

    def opened(program: IntegerProgram, every_tensor: bool) -> Run:
        simulator = open_program(program)

        def run(codes: Codes) -> Codes:
            results = dict(simulator.run_all(codes) if every_tensor else simulator.run(codes))
            if name in results:
                wrong = results[name].astype(np.int64)
                wrong[at] += by
                results[name] = wrong
            return results

        return run

    return Variant(name="liar", open=opened)


def test_an_honest_witness_agrees() -> None:
    program = small_programs.classifier()
    codes = random_inputs(program, 10)
    honest = liar("none of the program's", 1, (0,))
    found = compare_with(honest, program, codes, bisect=True)
    assert (found.compared, found.mismatches, found.max_difference) == (10 * (3 + 36), 0, 0)
    assert found.top1_agreement == 1
    assert found.first is None


def test_differences_are_counted_and_located() -> None:
    program = small_programs.classifier()
    codes = random_inputs(program, 3)
    found = compare_with(liar("sum", -300, (1, 2, 0, 1)), program, codes, bisect=True)
    assert found.mismatches == 0  # no output of the program
    assert found.first is not None
    assert (found.first.instruction, found.first.index) == ("residual", (1, 2, 0, 1))
    assert found.first.actual == found.first.expected - 300
    found = compare_with(liar("logits", 300, (2, 1)), program, codes)
    assert (found.mismatches, found.max_difference, found.first) == (1, 300, None)
    assert found.document()["max_difference"] == 300


def test_classes_are_compared_with_labels() -> None:
    program = small_programs.classifier()
    codes = random_inputs(program, 4)
    logits = open_program(program).run(codes)["logits"]
    labels = logits.argmax(axis=1)
    changed = liar("logits", 300, (2, (int(labels[2]) + 1) % 3))
    found = compare_with(changed, program, codes, labels=labels)
    assert found.top1_agreement == 0.75
    assert found.top1 == (1.0, 0.75)
    assert found.document()["top1"] == {"program": 1.0, "witness": 0.75}


def test_outputs_that_are_no_classes_have_no_top1() -> None:
    program = replace(small_programs.classifier(), outputs=("pooled", "logits"))
    found = compare_with(liar("none", 0, (0,)), program, random_inputs(program, 2))
    assert found.top1_agreement is None
    assert "top1_agreement" not in found.document()


def test_a_witness_of_another_batch_is_refused() -> None:
    program = small_programs.classifier(batch=2)
    single = replace(liar("none", 0, (0,)), batch=1)
    with pytest.raises(IntlowerError, match="runs batches of 1, and the program fixes 2"):
        compare_with(single, program, random_inputs(program, 2))


def test_progress_counts_samples() -> None:
    program = small_programs.classifier()
    seen: list[Any] = []
    compare_with(
        replace(liar("none", 0, (0,)), batch=2),
        program,
        random_inputs(program, 5),
        progress=lambda *counts: seen.append(counts),
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_what_is_not_there_is_not_installed() -> None:
    witness = Witness(
        name="w", meaning="", modules=("no_such_module",), install="", variants=()
    )
    assert not witness.installed()
    assert replace(witness, modules=("json",)).installed()
