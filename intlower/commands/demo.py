"""`intlower demo`: the whole way, on a network that comes with the package."""

from __future__ import annotations

import importlib.resources
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intlower.commands.options import examples, output_options
from intlower.failures import CHECK_FAILED
from intlower.terminal import (
    Progress,
    percent_text,
    print_error,
    print_json,
    print_table,
    progress,
    size_text,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from intlower.compiler.program import IntegerProgram

# Samples that onnxruntime and the reference run as well; every sample takes part in the accuracies.
VERIFIED = 32


@click.command(
    short_help="Go the whole way on a network in the package.",
    epilog=examples("intlower demo", "intlower demo --target tensorrt --json"),
)
@click.option("--target", help="One target instead of all that are installed.")
@output_options
def demo(target: str | None, as_json: bool) -> None:
    """Compile a small network for handwritten digits, verify every bit and measure its accuracy.

    The network and the held-out digits are in the package: no file is needed. "naive" is the same target without the
    passes that keep accuracy. Exits with 1 where any integer differs.
    """
    from intlower.compiler.discovery import load_target, target_names
    from intlower.data_files import fit_inputs, fit_labels, read_npz
    from intlower.evaluation import class_scores, open_float_model

    names = target_names() if target is None else (load_target(target).spec.name,)
    package = importlib.resources.files("intlower.demo")
    begin = time.perf_counter()
    with (
        importlib.resources.as_file(package / "digits.onnx") as model,
        importlib.resources.as_file(package / "digits.npz") as data,
        progress("float model") as shown,
    ):
        float_model = open_float_model(model)
        arrays = read_npz(data)
        inputs = fit_inputs(arrays, float_model.inputs, data.name)
        labels = fit_labels(arrays, len(arrays["labels"]), data.name)
        float_scores = class_scores(float_model, inputs, labels)
        results = {
            name: _run_target(name, model, inputs, labels, float_scores, shown)
            for name in names
        }
    seconds = time.perf_counter() - begin
    if as_json:
        print_json({"count": len(labels), "targets": results, "seconds": round(seconds, 3)})
    else:
        _print(results, len(labels), seconds)
    failed = [
        (name, against)
        for name, result in results.items()
        for against, mismatches in result["mismatches"].items()
        if mismatches
    ]
    for name, against in failed:
        print_error(
            f"{name}: {against} gives other integers",
            f"see 'intlower verify' on an artifact for {name}, and report it",
        )
    if failed:
        raise click.exceptions.Exit(CHECK_FAILED)


def _run_target(
    name: str,
    model: Path,
    inputs: dict[str, NDArray[Any]],
    labels: NDArray[np.int64],
    float_scores: NDArray[Any],
    shown: Progress,
) -> dict[str, Any]:
    """Compile the model for one target, verify and evaluate it; return its line of the table."""
    from intlower import api
    from intlower.compiler import crosscheck
    from intlower.compiler.errors import CalibrationWarning
    from intlower.compiler.simulator import quantize_inputs
    from intlower.evaluation import class_scores, open_integer_program, summarise

    def compiled(recipe: str) -> IntegerProgram:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CalibrationWarning)  # the accuracy tells
            return api.compile(
                model,
                target=name,
                recipe=recipe,
                progress=lambda stage: shown.stage(f"{name}: {stage}"),
            )

    naive = open_integer_program(compiled("none"))
    naive_scores = class_scores(naive, inputs, labels, shown.count)
    program = compiled("default")
    with tempfile.TemporaryDirectory() as folder:
        size_bytes = api.save(program, Path(folder) / "digits.onnx")
    shown.stage(f"{name}: evaluate")
    network = open_integer_program(program)
    scores = class_scores(network, inputs, labels, shown.count)
    shown.stage(f"{name}: verify")
    some = {key: array[:VERIFIED] for key, array in inputs.items()}
    comparisons = crosscheck.verify(program, quantize_inputs(program, some))
    return {
        **summarise(scores, labels, float_scores, step=network.step).document(),
        "naive_top1": summarise(naive_scores, labels).top1,
        "mismatches": {key: comparison.mismatches for key, comparison in comparisons.items()},
        "compared": {key: comparison.compared for key, comparison in comparisons.items()},
        "size_bytes": size_bytes,
        "instructions": len(program.instructions),
    }


def _print(results: dict[str, dict[str, Any]], count: int, seconds: float) -> None:
    columns = (
        "target",
        "float top-1",
        "naive top-1",
        "integer top-1",
        "agreement",
        "differing integers",
        "artifact",
        "instructions",
    )
    rows = [
        (
            name,
            percent_text(result["float_top1"]),
            percent_text(result["naive_top1"]),
            percent_text(result["top1"]),
            percent_text(result["agreement"]),
            ", ".join(f"{n} ({against})" for against, n in result["mismatches"].items()),
            size_text(result["size_bytes"]),
            result["instructions"],
        )
        for name, result in results.items()
    ]
    print_table(
        columns,
        rows,
        title=f"Handwritten digits, {count} held-out images, in {seconds:.1f} s",
        numeric=columns[1:5] + columns[6:],
    )
