"""`intlower compare`, with worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from networks import NetworkBuilder

from intlower.commands import compare as command
from intlower.comparison import ComparisonJob, compare
from intlower.jobs import Outcome
from intlower.jobs.engine import attempt

MARKED = "before\n<!-- compare -->\nold\n<!-- /compare -->\nafter\n"


class HereEngine:
    """Runs jobs in this process, the last one first."""

    def run(
        self, function: Callable[[Any], Any], jobs: Sequence[Any]
    ) -> Iterator[Outcome[Any]]:
        for index in reversed(range(len(jobs))):
            yield attempt(function, index, jobs[index])


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command run its jobs in this process."""
    monkeypatch.setattr(command, "_engine", lambda *_: HereEngine())


@pytest.fixture
def wide_model(tmp_path: Path) -> Path:
    """A classifier whose accumulators leave 32 bits on every target that proves them: it cannot be lowered."""
    b = NetworkBuilder()
    size = 200_000
    flat = b.node("Flatten", b.node("Concat", *["image"] * (size // 64), axis=1))
    weights = b.constant(np.ones((2, size)))
    x = b.node("Gemm", flat, weights, b.constant(np.zeros(2)), transB=1)
    path = tmp_path / "wide.onnx"
    onnx.save(b.model({"image": ["N", 1, 8, 8]}, x), path)
    return path


@pytest.mark.slow
def test_two_workers_compare_and_write_a_table(cli: Any) -> None:
    Path("table.md").write_text(MARKED)
    options = ("--targets", "tensorrt,snpe", "--data", cli.data, "--count", 40, "--jobs", 2)
    run = cli("compare", cli.model, *options, "--write", "table.md", "--json")
    assert run.code == 0, run.err
    rows = run.document["rows"]
    assert [row["target"] for row in rows] == ["tensorrt", "snpe"]  # as they were named
    for row in rows:
        assert row["status"] == "measured"
        assert row["count"] == 40
        assert row["float_top1"] - row["top1"] < 0.05
        assert row["sqnr_db"] > 20
        assert row["size_bytes"] > 10_000
        assert row["compile_seconds"] > 0
        assert row["simulate_ms"] > 0
    assert "digits.onnx on snpe: top-1" in run.err
    text = Path("table.md").read_text()
    assert text.startswith("before\n<!-- compare -->\n| model | target |")
    assert text.endswith("\n<!-- /compare -->\nafter\n")
    assert "| digits.onnx | snpe |" in text
    assert "old" not in text


@pytest.mark.usefixtures("here")
def test_a_pair_that_a_target_does_not_run_keeps_its_line(cli: Any, wide_model: Path) -> None:
    options = ("--targets", "snpe", "--data", cli.data, "--count", 4)
    Path("table.md").write_text(MARKED)
    run = cli("compare", wide_model, cli.model, *options, "--write", "table.md", "--json")
    assert run.code == 0, run.err
    overview, full = Path("table.md").read_text().split("<details>")
    assert "| target | wide.onnx | digits.onnx |" in overview
    assert "| snpe | unsupported | " in overview
    assert "| *float top-1* |  | " in overview  # of a model that was not run, unknown
    assert "| digits.onnx | snpe | 4 |" in full
    first, second = run.document["rows"]
    assert first["status"] == "unsupported"
    assert "accumulator" in first["reason"]
    assert second["status"] == "measured"
    shown = cli("compare", wide_model, *options).out
    assert "unsupported: " in shown
    assert "accumulator" in shown


@pytest.mark.usefixtures("here")
def test_a_pair_that_fails_is_reported_and_the_others_are_measured(cli: Any) -> None:
    Path("broken.onnx").write_bytes(b"no model")
    options = ("--targets", "snpe", "--data", cli.data, "--count", 4)
    run = cli("compare", "broken.onnx", cli.model, *options, "--json")
    assert run.code == 1
    first, second = run.document["rows"]
    assert first["status"] == "failed"
    assert first["error"]["message"]
    assert second["status"] == "measured"
    assert "error: broken.onnx on snpe" in run.err


def test_an_engine_that_answers_nothing_is_a_failure_too(tmp_path: Path) -> None:
    class Silent:
        def run(
            self, function: Callable[[Any], Any], jobs: Sequence[Any]
        ) -> Iterator[Outcome[Any]]:
            yield Outcome(index=0)

    job = ComparisonJob(model=tmp_path / "m.onnx", target="snpe", data=tmp_path)
    ((index, row),) = compare([job], Silent())
    assert index == 0
    assert row.failure is not None
    assert row.remark == "failed: the worker gave no answer"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--targets", "snpe,nosuch"), "unknown target 'nosuch'"),
        (("--write", "unmarked.md"), "there is not one place between"),
        (("--engine", "dask"), "--scheduler"),
        (("--scheduler", "tcp://here:1"), "--engine dask"),
        (("--data", "labelled.npz", "--data", "labelled.npz"), "3 times for 1 models"),
        (("--samples", "nosuch.npz"), "nosuch.npz"),
    ],
)
def test_what_cannot_work_is_refused_before_the_work(
    cli: Any, arguments: tuple[str, ...], message: str
) -> None:
    Path("unmarked.md").write_text("no marks here\n")
    Path("labelled.npz").write_bytes(cli.data.read_bytes())
    assert message in cli.refuse("compare", cli.model, "--data", cli.data, *arguments)


def test_options_of_a_target_may_hold_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intlower.compiler.discovery.load_target", lambda name: name)
    assert command._target_names("a:x=1,y=2, b,a:x=1,y=2") == ("a:x=1,y=2", "b")
