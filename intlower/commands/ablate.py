"""`intlower ablate`: what each step of a recipe is worth on a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intlower.commands.options import (
    FILE,
    examples,
    input_options,
    output_options,
)
from intlower.terminal import percent_text, print_json, print_table, progress

if TYPE_CHECKING:
    from intlower.ablation import AblationRow

COLUMNS = ("recipe", "top-1", "drop", "agreement", "KL", "SQNR dB", "seconds")


@click.command(
    short_help="Measure what each step of a recipe is worth.",
    epilog=examples(
        "intlower ablate model.onnx --target snpe --data test.npz --count 200",
        "intlower ablate model.onnx --target tensorrt --data test.npz --with equalize --json",
    ),
)
@click.argument("model", type=FILE)
@click.option("--target", required=True, help="The target's name; see 'intlower targets'.")
@click.option(
    "--data",
    type=FILE,
    required=True,
    help="An .npz file with one array for each input and an integer array 'labels', or a folder of such files.",
)
@click.option("--count", type=click.IntRange(min=1), help="Use the first samples only.")
@click.option(
    "--with",
    "added",
    metavar="STEP",
    multiple=True,
    help="A step to measure that the default recipe does not take. Repeatable.",
)
@click.option(
    "--samples",
    type=FILE,
    help="Typical inputs for calibration, an .npz file. Without it the ranges come from the model.",
)
@input_options
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    show_default="one for each core",
    help="To use.",
)
@output_options
def ablate(
    model: Path,
    target: str,
    data: Path,
    count: int | None,
    added: tuple[str, ...],
    samples: Path | None,
    input_ranges: dict[str, tuple[float, float]],
    shapes: dict[str, tuple[int | None, ...]],
    threads: int,
    as_json: bool,
) -> None:
    """Compile MODEL with the target's default recipe grown step by step, then without each step, and evaluate each.

    The first row takes no step: batch norm folded, everything rounded to nearest. "no change" tells that a step leaves
    every integer as it is. KL is the mean divergence from the float model's class probabilities; it tells small
    differences apart where the few samples of top-1 do not.
    """
    from intlower import ablation
    from intlower.compiler.discovery import load_target
    from intlower.data_files import fit_inputs, fit_labels, fit_samples, read_data
    from intlower.evaluation import class_scores, open_float_model

    load_target(target).recipe("default", added=added)  # before anything that takes time
    with progress(f"evaluating {model.name}") as shown:
        float_model = open_float_model(model, threads)
        arrays = read_data(data)
        inputs = fit_inputs(arrays, float_model.inputs, str(data))
        labels = fit_labels(arrays, len(next(iter(inputs.values()))), str(data))[:count]
        inputs = {name: array[:count] for name, array in inputs.items()}
        typical = None if samples is None else fit_samples(read_data(samples), str(samples))
        float_scores = class_scores(float_model, inputs, labels, shown.count)

        def say(label: str, done: int, total: int) -> None:
            shown.stage(label)
            shown.count(done, total)

        rows = ablation.ablate(
            model,
            target,
            inputs,
            labels,
            float_scores,
            added=added,
            samples=typical,
            options={"input_ranges": input_ranges, "shapes": shapes},
            threads=threads,
            progress=say,
        )
    float_top1 = float((float_scores.argmax(axis=1) == labels).mean())
    if as_json:
        print_json(
            {
                "target": target,
                "count": len(labels),
                "float_top1": float_top1,
                "rows": [row.document() for row in rows],
            }
        )
        return
    print_table(
        COLUMNS,
        [_cells(row, float_top1) for row in rows],
        title=f"{model.name} on {target}, {len(labels)} samples, float top-1 {percent_text(float_top1)}",
        numeric=COLUMNS[1:],
    )


def _cells(row: AblationRow, float_top1: float) -> tuple[str, ...]:
    found = row.evaluation
    if row.unchanged:
        return (row.label, "no change", "", "", "", "", f"{row.seconds:.1f}")
    if found is None:
        return (row.label, row.failure, "", "", "", "", f"{row.seconds:.1f}")
    return (
        row.label,
        percent_text(found.top1),
        f"{100 * (float_top1 - found.top1):.1f}",
        "" if found.agreement is None else percent_text(found.agreement),
        "" if found.kl is None else f"{found.kl:.4f}",
        "" if found.sqnr_db is None else f"{found.sqnr_db:.1f}",
        f"{row.seconds:.1f}",
    )
