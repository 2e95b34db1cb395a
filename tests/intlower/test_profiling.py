"""Layers and steps, as `intlower bench kernels` and the benchmarks of networks take them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from intlower import benchmarking, layers, profiling
from intlower.cli import main
from intlower.compiler.crosscheck import random_inputs
from intlower.compiler.simulator import open_program, run_reference
from intlower.kernels.isa import ISAS, available_isas, host_isa
from intlower.layers import LAYERS, Layer, layer_program
from intlower.peers import differing, onnxruntime_run

SMALL = (
    Layer(name="product", channels=64, outputs=24, size=5),
    Layer(name="window", channels=5, outputs=8, size=7, kernel=3, stride=2),
    Layer(
        name="depthwise", channels=16, outputs=16, size=6, kernel=5, stride=2, depthwise=True
    ),
)


@pytest.mark.parametrize("layer", SMALL, ids=lambda layer: layer.name)
def test_a_layer_is_the_same_in_the_engine_the_oracle_and_onnxruntime(layer: Layer) -> None:
    program = layer_program(layer)
    codes = random_inputs(program, 2)
    ours = open_program(program).run(codes)
    assert np.array_equal(ours["y"], run_reference(program, codes)["y"])
    assert differing(ours, onnxruntime_run(program, codes, 1, exact=True)()) == 0


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_a_layer_has_the_work_that_its_name_says(layer: Layer) -> None:
    reduced = replace(layer, size=max(layer.size // 7, 2 * layer.stride))
    work = reduced.outputs * reduced.terms * reduced.output_size**2
    assert layer_program(reduced).multiply_accumulates() == work


@pytest.mark.parametrize("threads", [1, 2])
def test_the_steps_of_a_program_are_all_of_its_work_and_run_alone(threads: int) -> None:
    program = layer_program(SMALL[0])
    steps = profiling.steps(program, host_isa(), threads)
    assert sum(step.multiply_accumulates for step in steps) == program.multiply_accumulates()
    assert [step.label for step in steps if step.sums_products] == ["layer"]
    for step in steps:
        step.run()


def test_a_profile_times_every_step() -> None:
    timed = profiling.profile(layer_program(SMALL[1]), host_isa(), seconds=0.01)
    assert all(0 < timing.min_ms <= timing.median_ms for _, timing in timed)
    assert {step.label for step, _ in timed} >= {"layer"}


@pytest.mark.parametrize("threads", [1, 2])
def test_the_peak_is_of_every_thread(threads: int) -> None:
    best = ISAS[available_isas()[0]]
    measured = profiling.peak_run(best, threads)
    if measured is None:
        assert best.by_column
        return
    run, work = measured
    run()
    assert work % threads == 0
    assert profiling.peak_run(ISAS["portable"], threads) is None


def test_the_machine_is_named_by_processor_and_cores_only() -> None:
    described = benchmarking.machine()
    assert set(described) == {"processor", "cores", "load"}
    assert described["processor"]
    assert described["cores"] >= 1


def bench_kernels(monkeypatch: pytest.MonkeyPatch, *options: str) -> Any:
    monkeypatch.setattr(layers, "LAYERS", SMALL[:2])
    return CliRunner().invoke(main, ["bench", "kernels", "--repeats", "2", *options])


def test_bench_kernels_reports_speed_peak_and_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = bench_kernels(monkeypatch)
    assert shown.exit_code == 0
    assert all(layer.name in shown.stdout for layer in SMALL[:2])
    assert "ours / onnxruntime" in shown.stdout


def test_bench_kernels_in_json_has_shares_of_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    run = bench_kernels(
        monkeypatch, "--json", "--against", "onnxruntime,onnxruntime-saturating"
    )
    document = json.loads(run.stdout)
    product, window = (document["layers"][layer.name] for layer in SMALL[:2])
    assert set(window["ratio"]) == {"onnxruntime", "onnxruntime-saturating"}
    assert "onnxruntime MatMulInteger" in product["ratio"]
    assert product["differing_integers"]["onnxruntime"] == 0
    if document["peak_gops"] is not None:
        share = product["gops"] / document["peak_gops"]
        assert math.isclose(product["share_of_peak"], share, rel_tol=0.05, abs_tol=1e-3)


def test_bench_kernels_takes_no_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    run = bench_kernels(monkeypatch, "--batch", "2")
    assert run.exit_code == 2
    assert "--batch" in run.stderr
