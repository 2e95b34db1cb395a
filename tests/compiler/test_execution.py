"""Threads: samples in parallel, one sample shared, and both at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from small_programs import classifier

from intlower.compiler.crosscheck import random_inputs
from intlower.compiler.execution import WORTH_SHARING, Execution
from intlower.compiler.plan import make_plan
from intlower.compiler.simulator import run_reference
from intlower.kernels.isa import host_isa

PROGRAM = classifier()


def large(threads: int) -> Execution:
    """An execution that shares each sample among its threads, as those of large programs do."""
    return Execution(make_plan(PROGRAM, host_isa(), threads), WORTH_SHARING)


@pytest.mark.parametrize("samples", [1, 2, 3, 7])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_samples_on_any_number_of_threads_equals_the_oracle(
    threads: int, samples: int
) -> None:
    codes = random_inputs(PROGRAM, samples, seed=samples)
    expected = run_reference(PROGRAM, codes)
    for name, array in large(threads).run(codes).items():
        assert np.array_equal(array, expected[name])


def test_calls_of_one_and_of_many_samples_at_the_same_time_end() -> None:
    execution = large(2)
    batches = [random_inputs(PROGRAM, count, seed=count) for count in (1, 5, 1, 4, 1, 3)]
    with ThreadPoolExecutor(3) as callers:
        results = list(callers.map(execution.run, batches))
    for codes, outputs in zip(batches, results, strict=True):
        expected = run_reference(PROGRAM, codes)
        assert all(np.array_equal(outputs[name], expected[name]) for name in outputs)
