"""A few of the random networks, through everything; `python -m fuzz.differ` runs thousands."""

from __future__ import annotations

import pytest
from fuzz.differ import TARGETS, try_seed
from fuzz.random_graphs import random_network

FLOAT_SEEDS = range(40)
# Even seeds are of all operators, odd ones of what every target runs.
INTEGER_SEEDS = range(100, 104)
# What went wrong once: names of sizes in a Scan's body; shifts of means through a Concat of rows.
FOUND = ((9, ("nnie",)), (1213, ("vitis", "espdl:chip=s3")))


@pytest.mark.crosscheck
@pytest.mark.filterwarnings("ignore::intlower.compiler.errors.CalibrationWarning")
def test_random_networks_evaluate_as_in_onnxruntime() -> None:
    results = [try_seed(seed, ())[0] for seed in FLOAT_SEEDS]
    assert results.count("float: compared") > len(results) // 2


@pytest.mark.crosscheck
@pytest.mark.filterwarnings("ignore::intlower.compiler.errors.CalibrationWarning")
def test_random_networks_give_the_same_integers_three_times() -> None:
    results = [result for seed in INTEGER_SEEDS for result in try_seed(seed, TARGETS)]
    for target in TARGETS:
        assert f"{target}: compared" in results


@pytest.mark.crosscheck
@pytest.mark.filterwarnings("ignore::intlower.compiler.errors.CalibrationWarning")
@pytest.mark.parametrize(("seed", "targets"), FOUND)
def test_networks_that_were_computed_wrong_once_are_right(
    seed: int, targets: tuple[str, ...]
) -> None:
    results = try_seed(seed, targets)
    assert [f"{target}: compared" for target in ("float", *targets)] == results


def test_the_same_seed_gives_the_same_network() -> None:
    assert random_network(4) == random_network(4)
    assert random_network(4) != random_network(6)
