"""Commands on programs that are not of uniform grids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def half_artifact(cli: Any, tmp_path: Path) -> Path:
    path = tmp_path / "half.onnx"
    run = cli("compile", cli.model, "--target", "ascend310", "-o", path)
    assert run.code == 0, run.err
    return path


def test_bench_goes_without_a_peer_that_has_no_such_program(
    cli: Any, half_artifact: Path
) -> None:
    run = cli("bench", half_artifact, "--repeats", 1, "--json")
    assert run.code == 0, run.err
    assert run.document["ratio"] == {}
    assert "half grid" in run.document["absent"]["onnxruntime"]
    assert "onnxruntime has no such program" in cli("bench", half_artifact, "--repeats", 1).out


def test_inspect_sums_up_scales_by_channel(cli: Any, half_artifact: Path) -> None:
    run = cli("inspect", half_artifact)
    assert run.code == 0, run.err
    assert "by channel" in run.out
    assert "[" not in run.out.partition("grid")[2].partition("Softmax")[0]


def test_verify_counts_no_mismatch(cli: Any, half_artifact: Path) -> None:
    run = cli("verify", half_artifact, "--json")
    assert run.code == 0, run.err
