"""`intlower synthesize`: one set of calibration inputs for several models, without data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intlower.commands.engines import engine_options, named_engine
from intlower.commands.options import (
    FILE,
    examples,
    input_options,
    output_options,
    refuse_output,
)
from intlower.terminal import (
    percent_text,
    print_facts,
    print_json,
    print_table,
    print_warning,
    progress,
    shape_text,
)

if TYPE_CHECKING:
    from intlower.compiler.synthesis.shared import SharedSet
    from intlower.jobs import Engine
    from intlower.school import ModelFile
    from intlower.school_report import Labelled, Quality, ReportRow

TEACHERS = ("model", "sees", "noise off", "set off", "alike")
COLUMNS = ("model", "calibrated with", "off", "KL alone", "KL", "SQNR dB", "drop")


@click.command(
    short_help="Make one calibration set for several models.",
    epilog=examples(
        "intlower synthesize a.onnx b.onnx c.onnx -o set.npz",
        "intlower synthesize a.onnx b.onnx -o set.npz --target tensorrt --data a.npz --data b.npz",
        "intlower compile a.onnx --target tensorrt --samples set.npz",
    ),
)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, type=FILE)
@click.option(
    "-o", "--output", type=FILE, required=True, help="The set to write, an .npz file."
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="How many inputs to make.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of every random choice.",
)
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="The longest that one set may take. Where it is cut short, two runs may differ.",
)
@click.option(
    "--target",
    help="Also report, for each model, how this target's program fares with the shared set, its own, noise, moments, and the "
    "set of the other models. As many further sets are made as there are models, twice or three times.",
)
@click.option(
    "--data",
    type=FILE,
    multiple=True,
    help="Labelled samples to measure the report on, as 'evaluate' takes them, once for each model in their order. The first "
    "--count of them calibrate too, for comparison. Without it the report measures on inputs made from another seed.",
)
@input_options
@engine_options(
    os.cpu_count() or 1,
    "How many teachers work at the same time on this machine. The set is the same whatever the number.",
    "one for each core",
)
@output_options
def synthesize(
    models: tuple[Path, ...],
    output: Path,
    count: int,
    seed: int,
    budget: float | None,
    target: str | None,
    data: tuple[Path, ...],
    input_ranges: dict[str, tuple[float, float]],
    shapes: dict[str, tuple[int | None, ...]],
    jobs: int,
    engine: str,
    scheduler: str | None,
    as_json: bool,
) -> None:
    """Make one set of inputs on which every MODEL's layers show the statistics that batch norm recorded.

    The models see the set each in its own size, channels and range: 'compile', 'ablate' and 'compare' take it for any of them,
    and for others that take images, with --samples. The same models, options and seed give the same bytes.
    """
    from intlower.compiler.discovery import load_target
    from intlower.compiler.synthesis.view import CANVAS
    from intlower.data_files import write_npz
    from intlower.school import model_files, shared_set
    from intlower.school_report import report

    if data and target is None:
        raise click.UsageError(
            "--data measures for --target, which is not given", click.get_current_context()
        )
    if data and len(data) != len(models):
        raise click.UsageError(
            f"--data is given {len(data)} times for {len(models)} models: give it once for each",
            click.get_current_context(),
        )
    if target is not None:
        load_target(target)
    refuse_output(output, *models, *data)
    rows: list[ReportRow] = []
    with ExitStack() as stack:
        shown = stack.enter_context(progress(f"reading {len(models)} models"))
        files = model_files(models, shapes=shapes, input_ranges=input_ranges)
        labelled = _labelled(data, files, count)
        workers = _workers(engine, scheduler, jobs, stack)
        made = shared_set(
            files,
            count=count,
            seed=seed,
            engine=workers,
            budget_seconds=budget,
            progress=shown.stage,
        )
        shown.stage(f"writing {output.name}")
        write_npz(output, {CANVAS: made.canvas})
        if target is not None:
            rows = report(
                files,
                made.canvas,
                target=target,
                seed=seed,
                data=labelled,
                engine=workers,
                budget_seconds=budget,
                threads=os.cpu_count() or 1,
                progress=shown.stage,
            )
    if made.shortened:
        print_warning(
            "the time budget left out steps: another run may give another set",
            "raise --budget, or make fewer inputs with --count",
        )
    if as_json:
        print_json(_document(output, made, target, rows))
        return
    _print_set(output, files, made)
    if target is not None:
        measured = "labelled samples" if data else "other synthetic inputs"
        cells = [_cells(row) for row in rows]
        kept = [i for i in range(len(COLUMNS)) if any(line[i] for line in cells)]
        print_table(
            [COLUMNS[i] for i in kept],
            [[line[i] for i in kept] for line in cells],
            title=f"calibration for {target}, on {measured}",
            numeric=COLUMNS[2:],
        )


def _workers(name: str, scheduler: str | None, jobs: int, stack: ExitStack) -> Engine | None:
    """Return what runs the teachers' steps; None for this process."""
    if name == "local" and jobs == 1 and scheduler is None:
        return None
    found = named_engine(name, scheduler, jobs)
    if name == "local":
        return found
    from intlower.jobs.cluster import DaskEngine

    assert isinstance(found, DaskEngine)
    return stack.enter_context(found.connected())


def _labelled(
    data: Sequence[Path], files: Sequence[ModelFile], count: int
) -> list[Labelled] | None:
    """Return what to measure each model on, proved to fit and to leave something behind the calibration."""
    from intlower.compiler.errors import DataError
    from intlower.data_files import fit_inputs, fit_labels, read_data
    from intlower.school import graph_of
    from intlower.school_report import Labelled

    found = []
    for path, file in zip(data, files, strict=False):
        arrays = read_data(path)
        expected = {value.name: value.shape for value in graph_of(file).inputs}
        inputs = fit_inputs(arrays, expected, str(path))
        labels = fit_labels(arrays, len(next(iter(inputs.values()))), str(path))
        if len(labels) <= count:
            raise DataError(
                f"{path}: {len(labels)} samples are not more than the {count} that calibrate",
                "give more samples, or make fewer inputs with --count",
            )
        found.append(Labelled(inputs=inputs, labels=labels))
    return found or None


def _print_set(output: Path, files: Sequence[ModelFile], made: SharedSet) -> None:
    from intlower.school import graph_of

    facts: dict[str, object] = {
        "set": output,
        "inputs": shape_text(made.canvas.shape),
        "level of real data": f"{made.level:.3f}",
    }
    if made.agreement is not None:
        facts["same class"] = percent_text(made.agreement)
    print_facts(facts | {"steps": made.steps, "seconds": f"{made.seconds:.1f}"})
    print_table(
        TEACHERS,
        [
            (
                teacher.name,
                shape_text(graph_of(file).inputs[0].shape[1:]),
                f"{teacher.noise:.3f}",
                f"{teacher.matching:.3f}",
                f"{teacher.similarity + 0.0:.2f}",
            )
            for file, teacher in zip(files, made.teachers, strict=True)
        ],
        numeric=TEACHERS[2:],
    )


def _document(
    output: Path, made: SharedSet, target: str | None, rows: Sequence[ReportRow]
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "set": str(output),
        "shape": list(made.canvas.shape),
        "level": made.level,
        "agreement": made.agreement,
        "steps": made.steps,
        "seconds": round(made.seconds, 3),
        "shortened": made.shortened,
        "teachers": [
            {
                "name": teacher.name,
                "noise": teacher.noise,
                "matching": teacher.matching,
                "similarity": teacher.similarity,
            }
            for teacher in made.teachers
        ],
    }
    if target is not None:
        document |= {"target": target, "rows": [row.document() for row in rows]}
    return document


def _cells(row: ReportRow) -> tuple[str, ...]:
    main = row.combined or row.alone
    return (
        row.model,
        row.source,
        "" if row.matching is None else f"{row.matching:.3f}",
        _kl(row.alone),
        _kl(row.combined),
        "" if main is None or main.sqnr_db is None else f"{main.sqnr_db:.1f}",
        "" if main is None or main.drop is None else f"{100 * main.drop + 0.0:.1f}",
    )


def _kl(quality: Quality | None) -> str:
    return "" if quality is None or quality.kl is None else f"{quality.kl:.4f}"
