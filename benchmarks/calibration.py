"""What each method of calibration is worth on a network: top-1 and KL, with samples and without.

    python benchmarks/calibration.py NAME MODEL.onnx LABELLED.npz [--target NAME]... [--samples 32] [--count 200]

The first samples calibrate, the next ones measure; the same Markdown rows as in docs/calibration.md are printed.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

import click

from intlower import api
from intlower.commands.options import CALIBRATION_METHODS, FILE
from intlower.compiler.errors import CalibrationWarning
from intlower.data_files import fit_inputs, fit_labels, read_data
from intlower.evaluation import class_scores, open_float_model, open_integer_program, summarise


@click.command()
@click.argument("name")
@click.argument("model", type=FILE)
@click.argument("data", type=FILE)
@click.option("--target", "targets", multiple=True, default=("tensorrt", "snpe"))
@click.option("--samples", type=click.IntRange(min=1), default=32, show_default=True)
@click.option(
    "--count", type=click.IntRange(min=1), help="Samples to measure on; else all others."
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
def measure(
    name: str,
    model: Path,
    data: Path,
    targets: tuple[str, ...],
    samples: int,
    count: int | None,
    threads: int,
) -> None:
    """Print a Markdown row for each method: drop of top-1 in points / KL, for each target with samples and without."""
    reference = open_float_model(model, threads)
    arrays = read_data(data)
    inputs = fit_inputs(arrays, reference.inputs, str(data))
    labels = fit_labels(arrays, len(next(iter(inputs.values()))), str(data))
    kept = slice(samples, None if count is None else samples + count)
    measured = {key: array[kept] for key, array in inputs.items()}
    calibrating = {key: array[:samples] for key, array in inputs.items()}
    labels = labels[kept]
    float_scores = class_scores(reference, measured, labels)
    top1 = float((float_scores.argmax(axis=1) == labels).mean())
    columns = [f"{target}, {way}" for target in targets for way in ("samples", "no data")]
    print(f"\n### {name} (float {100 * top1:.1f} % of {len(labels)})\n")
    print(f"| method | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 1) + "|", flush=True)
    for method in CALIBRATION_METHODS:
        cells = []
        for target in targets:
            for given in (calibrating, None):
                begin = time.perf_counter()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", CalibrationWarning)
                    program = api.compile(
                        model, target=target, samples=given, calibration=method
                    )
                seconds = time.perf_counter() - begin
                network = open_integer_program(program, threads)
                scores = class_scores(network, measured, labels)
                found = summarise(scores, labels, float_scores, step=network.step)
                cells.append(f"{100 * (top1 - found.top1):.1f} / {found.kl:.4f}")
                print(f"{method} {target}: {seconds:.1f} s", file=sys.stderr)
        print(f"| {method} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    measure()
