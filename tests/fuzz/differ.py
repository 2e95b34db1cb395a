"""A random network through everything: our float evaluator, integer program and artifact against onnxruntime.

    PYTHONPATH=tests python -m fuzz.differ FIRST COUNT [--float-only]

Seeds FIRST, FIRST + 1, ... are run and every difference is printed with its seed; a line at the end says how many networks
were compared, and why others were refused.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from fuzz.random_graphs import random_network
from networks import onnxruntime_outputs, random_inputs
from numpy.typing import NDArray

from intlower.compiler.crosscheck import random_inputs as random_codes
from intlower.compiler.crosscheck import verify
from intlower.compiler.errors import ArtifactError, IntlowerError, ModelError
from intlower.compiler.evaluate import evaluate
from intlower.compiler.importer import import_model
from intlower.compiler.pipeline import compile_model

TARGETS = ("tensorrt", "snpe", "vitis", "nnie", "litert", "adreno", "espdl:chip=s3")
# Of the largest number of an output. Both sum in float32, in different orders.
TOLERANCE = 1e-4


class Difference(Exception):
    """Two executions of one network gave different numbers."""


def expected_outputs(model: onnx.ModelProto, seed: int) -> Mapping[str, NDArray[Any]] | None:
    """Return onnxruntime's outputs; None where it refuses the network, which is then not valid after all."""
    try:
        return onnxruntime_outputs(model, random_inputs(model, seed=seed))
    except Exception:  # onnxruntime's exceptions have no public base class
        return None


def compare_floats(
    model: onnx.ModelProto, expected: Mapping[str, NDArray[Any]], seed: int
) -> None:
    """Prove that our float evaluator gives onnxruntime's numbers.

    Raises:
        Difference: it does not.
        IntlowerError: the network is refused.
    """
    actual = evaluate(import_model(model), random_inputs(model, seed=seed))
    for name, theirs in expected.items():
        ours = actual[name]
        if ours.shape != theirs.shape:
            raise Difference(f"{name} is {ours.shape} instead of {theirs.shape}")
        # A number past float32 somewhere: what becomes of it is not defined. onnxruntime's MaxPool of one element makes
        # the lowest float32 of a NaN.
        if not (np.abs(theirs) < np.finfo(np.float32).max).all():
            continue
        largest = max(1.0, float(np.abs(theirs).max()))
        error = float(np.abs(ours - theirs).max()) / largest
        if not error <= TOLERANCE:
            raise Difference(f"{name} differs by {error:.3g} of its largest number")


def compare_integers(model: onnx.ModelProto, target: str, seed: int) -> None:
    """Prove that a program's engine, oracle and artifact give the same integers.

    Raises:
        Difference: they do not.
        IntlowerError: the network is refused: by the target, or its numbers do not fit.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        try:
            program = compile_model(
                path, target=target, samples=random_inputs(model, batch=4, seed=seed)
            )
            comparisons = verify(program, random_codes(program, 4, seed))
        except (ModelError, ArtifactError) as error:  # it could be imported: our doing
            raise Difference(f"{target}: {type(error).__name__}: {error}") from error
    for comparison in comparisons.values():
        if comparison.mismatches:
            raise Difference(f"{target}: {comparison}")


def try_seed(seed: int, targets: tuple[str, ...]) -> list[str]:
    """Return what became of a seed: "compared", or why it was refused, for the floats and each target.

    Raises:
        Difference: see above; any other error is a defect as well.
    """
    model = random_network(seed)
    expected = expected_outputs(model, seed)
    if expected is None:
        return ["onnxruntime refuses it"]
    results = []
    for target in ("float", *targets):
        try:
            if target == "float":
                compare_floats(model, expected, seed)
            else:
                compare_integers(model, target, seed)
            results.append(f"{target}: compared")
        except IntlowerError as error:
            results.append(f"{target}: {type(error).__name__}")
            if target == "float":
                break
    return results


def main() -> None:
    """Run the seeds that the command line names; Ctrl-C ends the run with what was found so far."""
    first, count = int(sys.argv[1]), int(sys.argv[2])
    targets = () if "--float-only" in sys.argv else TARGETS
    warnings.simplefilter("ignore")
    onnxruntime.set_default_logger_severity(4)
    found: Counter[str] = Counter()
    begin, done, failures = time.process_time(), 0, 0
    try:
        for seed in range(first, first + count):
            try:
                found.update(try_seed(seed, targets))
            except Exception as error:
                failures += 1
                print(f"seed {seed}: {type(error).__name__}: {str(error)[:300]}", flush=True)
            done += 1
    except KeyboardInterrupt:
        print("interrupted")
    for result, times in found.most_common():
        print(f"{times:6} {result}")
    seconds = time.process_time() - begin
    print(f"{done} seeds from {first}, {failures} failures, {seconds:.0f} s of processor time")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
