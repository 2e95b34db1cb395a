"""`intlower compare`: every target beside the float model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intlower.commands.engines import engine_options
from intlower.commands.engines import named_engine as _engine
from intlower.commands.options import (
    FILE,
    examples,
    input_options,
    output_options,
    refuse_output,
)
from intlower.failures import CHECK_FAILED
from intlower.terminal import (
    percent_text,
    print_error,
    print_json,
    print_line,
    print_table,
    progress,
    size_text,
)

if TYPE_CHECKING:
    from intlower.comparison import ComparisonRow

MARK = "compare"
COLUMNS = (
    "model",
    "target",
    "samples",
    "float top-1",
    "top-1",
    "drop",
    "agreement",
    "SQNR dB",
    "KL",
    "artifact",
    "compile s",
    "simulate ms",
)
REMARK = "remark"


@click.command(
    short_help="Compare targets: accuracy, size, times.",
    epilog=examples(
        "intlower compare model.onnx --targets all --data test.npz",
        "intlower compare a.onnx b.onnx --targets snpe,tensorrt --data a.npz --data b.npz --jobs 2",
        "intlower compare model.onnx --targets all --data test.npz --write README.md",
        "intlower compare model.onnx --data test.npz --engine dask --scheduler tcp://host:8786",
    ),
)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, type=FILE)
@click.option(
    "--targets",
    default="all",
    show_default=True,
    metavar="all|NAME,...",
    help="Names of targets, separated by commas, or every installed one.",
)
@click.option(
    "--data",
    type=FILE,
    required=True,
    multiple=True,
    help="Labelled samples as 'evaluate' takes them: once for all models, or once for each in their order.",
)
@click.option(
    "--samples",
    type=FILE,
    multiple=True,
    help="Typical inputs for calibration, an .npz file; once, or once for each model. Without it no data is used.",
)
@click.option("--count", type=click.IntRange(min=1), help="Use the first samples only.")
@input_options
@engine_options(
    1,
    "How many run at the same time on this machine. Several share the cores, and take longer each.",
)
@click.option(
    "--write",
    type=FILE,
    metavar="FILE.md",
    help=f"Also write the table into this file, between <!-- {MARK} --> and <!-- /{MARK} -->.",
)
@output_options
def compare(
    models: tuple[Path, ...],
    targets: str,
    data: tuple[Path, ...],
    samples: tuple[Path, ...],
    count: int | None,
    input_ranges: dict[str, tuple[float, float]],
    shapes: dict[str, tuple[int | None, ...]],
    jobs: int,
    engine: str,
    scheduler: str | None,
    write: Path | None,
    as_json: bool,
) -> None:
    """Compile each MODEL for each target and measure it beside the float model, one job for each pair.

    Top-1, agreement, SQNR and KL as in 'evaluate'; simulate ms is the median time of one sample on one thread. A pair
    that a target does not run, or that fails, keeps its line and says why. Exits with 1 where one failed.
    """
    from intlower.comparison import ComparisonJob
    from intlower.comparison import compare as measure_all
    from intlower.markdown import read_marked, write_marked

    names = _target_names(targets)
    if write is not None:
        refuse_output(write, *models, *data, *samples)
        read_marked(write, MARK)  # before anything that takes time
    for path in (*models, *data, *samples):
        path.stat()
    # One job has the machine to itself; several share it, and so do the workers of a cluster.
    threads = (os.cpu_count() or 1) if engine == "local" and jobs == 1 else 1
    todo = [
        ComparisonJob(
            model=model.resolve(),
            target=name,
            data=labelled.resolve(),
            samples=None if typical is None else typical.resolve(),
            count=count,
            input_ranges=input_ranges,
            shapes=shapes,
            threads=threads,
        )
        for model, labelled, typical in zip(
            models,
            _for_each(data, len(models), "--data"),
            _for_each(samples, len(models), "--samples") if samples else [None] * len(models),
            strict=True,
        )
        for name in names
    ]
    rows: dict[int, ComparisonRow] = {}
    with progress(f"comparing {len(todo)} pairs") as shown:
        shown.count(0, len(todo))
        for index, row in measure_all(todo, _engine(engine, scheduler, jobs)):
            rows[index] = row
            shown.note(_said(row))
            shown.count(len(rows), len(todo))
    ordered = [rows[index] for index in range(len(todo))]
    if write is not None:
        write_marked(write, MARK, _markdown(ordered))
    if as_json:
        print_json({"rows": [row.document() for row in ordered]})
    else:
        print_table(COLUMNS, [_cells(row) for row in ordered], numeric=COLUMNS[2:])
        for row in ordered:
            if row.remark:  # too long for a column of a terminal
                print_line(f"{row.model} on {row.target}: {row.remark}")
    failures = [row for row in ordered if row.failure is not None]
    for row in failures:
        if row.failure is not None:
            print_error(f"{row.model} on {row.target}: {row.failure.message}", row.failure.hint)
    if failures:
        raise click.exceptions.Exit(CHECK_FAILED)


def _target_names(text: str) -> tuple[str, ...]:
    """Return the names in a list, each proved to be installed.

    A target's options may hold commas too: what has a "=" but no ":" goes on with the name before it.
    """
    from intlower.compiler.discovery import load_target, target_names

    if text == "all":
        return target_names()
    names: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        if names and "=" in part and ":" not in part:
            names[-1] += f",{part}"
        else:
            names.append(part)
    for name in names:
        load_target(name)
    return tuple(dict.fromkeys(names))


def _for_each(paths: Sequence[Path], count: int, option: str) -> list[Path]:
    """Return one path for each model."""
    if len(paths) not in (1, count):
        raise click.UsageError(
            f"{option} is given {len(paths)} times for {count} models: once for all, or once for each",
            click.get_current_context(),
        )
    return list(paths) * (count if len(paths) == 1 else 1)


def _said(row: ComparisonRow) -> str:
    """The line that tells that a row is there."""
    if row.figures is None:
        return f"{row.model} on {row.target}: {row.remark}"
    found = row.figures.evaluation
    return (
        f"{row.model} on {row.target}: top-1 {percent_text(found.top1)}, drop {_drop(row)}, "
        f"compiled in {row.figures.compile_seconds:.1f} s"
    )


def _drop(row: ComparisonRow) -> str:
    """Points of top-1 that the target loses; below 0 where it gains."""
    assert row.figures is not None
    found = row.figures.evaluation
    assert found.float_top1 is not None
    # Adding 0 turns the -0.0 of a float into 0.0.
    return f"{round(100 * (found.float_top1 - found.top1), 1) + 0.0:.1f}"


def _cells(row: ComparisonRow) -> list[str]:
    if row.figures is None:
        status = "unsupported" if row.unsupported else "failed"
        return [row.model, row.target, status, *[""] * (len(COLUMNS) - 3)]
    figures, found = row.figures, row.figures.evaluation
    assert found.float_top1 is not None
    assert found.agreement is not None
    assert found.kl is not None
    return [
        row.model,
        row.target,
        str(found.count),
        percent_text(found.float_top1),
        percent_text(found.top1),
        _drop(row),
        percent_text(found.agreement),
        "equal" if found.sqnr_db is None else f"{found.sqnr_db:.1f}",
        f"{found.kl:.4f}",
        size_text(figures.size_bytes),
        f"{figures.compile_seconds:.1f}",
        f"{figures.simulate_ms:.3g}",
    ]


def _table(rows: Sequence[ComparisonRow]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return headings and cells of the Markdown table; the remarks have a column where there are any."""
    cells = [_cells(row) for row in rows]
    if not any(row.remark for row in rows):
        return COLUMNS, cells
    return (*COLUMNS, REMARK), [
        [*line, row.remark] for line, row in zip(cells, rows, strict=True)
    ]


def _overview(rows: Sequence[ComparisonRow]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return headings and cells of the table of targets by models: points of top-1 lost, and KL."""
    models = tuple(dict.fromkeys(row.model for row in rows))
    targets = tuple(dict.fromkeys(row.target for row in rows))
    found = {(row.target, row.model): _loss(row) for row in rows}
    floats = {
        row.model: percent_text(row.figures.evaluation.float_top1)
        for row in rows
        if row.figures is not None and row.figures.evaluation.float_top1 is not None
    }
    return ("target", *models), [
        ["*float top-1*", *(floats.get(model, "") for model in models)],
        *(
            [target, *(found.get((target, model), "") for model in models)]
            for target in targets
        ),
    ]


def _loss(row: ComparisonRow) -> str:
    """A cell of the overview."""
    if row.figures is None:
        return "unsupported" if row.unsupported else "failed"
    assert row.figures.evaluation.kl is not None
    return f"{_drop(row)} / {row.figures.evaluation.kl:.4f}"


def _markdown(rows: Sequence[ComparisonRow]) -> str:
    """Return what is written into a file: an overview of several models, the table, and how it was made."""
    from intlower.benchmarking import machine
    from intlower.markdown import folded, markdown_table

    columns, cells = _table(rows)
    table = markdown_table(columns, cells, COLUMNS[2:])
    made = (
        "Made by `intlower compare`. Drop: points of top-1 below the float model; KL: mean divergence of the outputs from "
        "the float model's, in nats. Simulate: median of one sample on one thread of "
        f"{machine()['processor']}."
    )
    headings, losses = _overview(rows)
    if len(headings) < 3:  # a single model: the table says it all
        return f"{table}\n\n{made}"
    overview = markdown_table(headings, losses, headings[1:])
    meaning = "Points of top-1 lost / KL of the outputs:"
    return f"{meaning}\n\n{overview}\n\n{folded('Every figure', table)}\n\n{made}"
