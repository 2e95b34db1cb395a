"""Hostile models end in one sentence, within seconds and without taking memory; strange ones run right."""

from __future__ import annotations

import time
import tracemalloc
import warnings
from pathlib import Path

import onnx
import pytest
from fuzz.hostile_models import REFUSED, STRANGE

from intlower.compiler.crosscheck import random_inputs, verify
from intlower.compiler.errors import IntlowerError
from intlower.compiler.pipeline import compile_model

TARGETS = ("tensorrt", "snpe", "nnie", "vitis", "litert", "adreno", "tensorrt_fp16")
MOST_SECONDS = 10
MOST_BYTES = 1 << 28


@pytest.mark.filterwarnings("ignore::intlower.compiler.errors.CalibrationWarning")
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_hostile_model_is_refused_before_memory_is_asked_for(
    name: str, tmp_path: Path
) -> None:
    make, part = REFUSED[name]
    path = tmp_path / "model.onnx"
    path.write_bytes(make().SerializeToString())
    begin = time.perf_counter()
    tracemalloc.start()
    try:
        with pytest.raises(IntlowerError) as caught:
            compile_model(path, target="tensorrt")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert part in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert peak < MOST_BYTES
    assert time.perf_counter() - begin < MOST_SECONDS


@pytest.mark.parametrize("target", TARGETS)
def test_a_strange_model_runs_right_or_is_refused(target: str, tmp_path: Path) -> None:
    ran, refusals = 0, dict[str, str]()
    for name, make in STRANGE.items():
        path = tmp_path / "model.onnx"
        onnx.save(make(), path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                program = compile_model(path, target=target)
        except IntlowerError as error:
            refusals[name] = str(error)
            continue
        for comparison in verify(program, random_inputs(program, 3)).values():
            assert comparison.mismatches == 0, (name, comparison)
        ran += 1
    assert ran >= len(STRANGE) // 2
    assert all(len(refusal.splitlines()) == 1 for refusal in refusals.values())
    # Only numbers that are out of any range may be refused.
    assert all("1e" in name or "weight" in name for name in refusals), refusals
