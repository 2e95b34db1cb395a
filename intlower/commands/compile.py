"""`intlower compile`: from a float model to an integer artifact."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import click

from intlower.commands.making import made_document, print_making
from intlower.commands.options import (
    CALIBRATION_METHODS,
    FILE,
    calibration_help,
    examples,
    input_options,
    names_of_values,
    output_options,
    refuse_output,
)
from intlower.terminal import (
    print_facts,
    print_json,
    print_warning,
    progress,
    size_text,
)


@click.command(
    "compile",
    short_help="Turn a float model into an integer artifact.",
    epilog=calibration_help()
    + examples(
        "intlower compile model.onnx --target tensorrt",
        "intlower compile model.onnx --target snpe --samples train.npz -o model.snpe.onnx",
        "intlower compile model.onnx --target tensorrt --calibration entropy",
        "intlower compile model.onnx --target tensorrt --synthesize 32 --budget 60",
        "intlower compile model.onnx --target tensorrt --shape input=N,3,224,224",
    ),
)
@click.argument("model", type=FILE)
@click.option("--target", required=True, help="The target's name; see 'intlower targets'.")
@click.option(
    "-o",
    "--output",
    type=FILE,
    help="The artifact to write.  [default: MODEL.TARGET.onnx in the current folder]",
)
@click.option(
    "--samples",
    type=FILE,
    help="Typical inputs, an .npz file with one float32 array for each input of the model. "
    "Without it the ranges come from the batch-norm statistics in the model.",
)
@click.option(
    "--synthesize",
    type=click.IntRange(min=1),
    metavar="N",
    help="Calibrate with N inputs made from the model's batch-norm statistics as well; in the place of --samples.",
)
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="The longest that making inputs may take. Where it is cut short, two runs may differ.",
)
@click.option(
    "--calibration",
    type=click.Choice(CALIBRATION_METHODS),
    metavar="METHOD",
    help="How ranges are taken from the samples, or without any from what batch norm tells; the methods are below. Without it "
    "the target's own for samples (see 'intlower targets NAME'), else mean and spread.",
)
@input_options
@click.option(
    "--outputs",
    metavar="NAME,...",
    callback=names_of_values,
    default="",
    help="End the network at these values, and leave what follows to the host: the non-maximum suppression of a detector, "
    "an ArgMax. A name that the model does not compute lists close ones.",
)
@click.option(
    "--recipe",
    default="default",
    show_default=True,
    help="What to run: default, the target's own; none, only what is needed to lower at all; data-free-strict, the "
    "default that refuses samples and ranges from noise; synthetic, the default with inputs made from the model's "
    "batch-norm statistics and what they allow (some minutes).",
)
@click.option(
    "--with",
    "added",
    metavar="STEP",
    multiple=True,
    help="A step that the recipe gets as well, by name; an unknown name lists them. Repeatable.",
)
@click.option(
    "--without",
    "removed",
    metavar="STEP",
    multiple=True,
    help="A step that the recipe goes without. Repeatable.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of every random choice.")
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Also show the recipe's steps, what each gate decided, and where every range came from.",
)
@output_options
def compile_model(
    model: Path,
    target: str,
    output: Path | None,
    samples: Path | None,
    synthesize: int | None,
    budget: float | None,
    calibration: str | None,
    input_ranges: dict[str, tuple[float, float]],
    shapes: dict[str, tuple[int | None, ...]],
    outputs: tuple[str, ...],
    recipe: str,
    added: tuple[str, ...],
    removed: tuple[str, ...],
    seed: int,
    verbose: bool,
    as_json: bool,
) -> None:
    """Compile the ONNX file MODEL to the integers of a target.

    The artifact is one ONNX file of standard integer operators. The same model, options and seed give the same bytes.
    """
    from intlower import api
    from intlower.compiler.discovery import load_target
    from intlower.compiler.errors import CalibrationWarning
    from intlower.compiler.segments import host_share, host_words
    from intlower.data_files import fit_samples, read_data

    # before anything that takes time
    if samples is not None and synthesize is not None:
        raise click.UsageError("--samples and --synthesize exclude each other")
    prepared = load_target(target).recipe(recipe, added=added, removed=removed)
    if budget is not None and synthesize is None and not prepared.synthesize:
        raise click.UsageError("--budget limits --synthesize, which is not given")
    artifact = Path(f"{model.stem}.{target}.onnx") if output is None else output
    refuse_output(artifact, model, *([samples] if samples else []))
    begin = time.perf_counter()
    with (
        progress(f"compiling {model.name}") as shown,
        warnings.catch_warnings(record=True) as raised,
    ):
        warnings.simplefilter("always", CalibrationWarning)
        arrays = None
        if samples is not None:
            arrays = fit_samples(read_data(samples), str(samples))
        program = api.compile(
            model,
            target=target,
            samples=arrays,
            synthesize=synthesize,
            budget_seconds=budget,
            calibration=calibration,
            input_ranges=input_ranges,
            shapes=shapes,
            outputs=outputs,
            seed=seed,
            recipe=recipe,
            added=added,
            removed=removed,
            progress=shown.stage,
        )
        shown.stage(f"writing {artifact.name}")
        size_bytes = api.save(program, artifact)
    seconds = time.perf_counter() - begin
    guesses = [w.message for w in raised if isinstance(w.message, CalibrationWarning)]
    for guess in guesses:
        print_warning(str(guess), guess.hint)
    inputs: dict[str, dict[str, Any]] = {}
    for name in program.inputs:
        grid = program.tensors[name].grid
        minimum, maximum = grid.real_limits
        inputs[name] = {
            "dtype": str(grid.dtype),
            **grid.numbers(),
            "minimum": minimum,
            "maximum": maximum,
        }
    if as_json:
        print_json(
            {
                "artifact": str(artifact),
                "target": program.target,
                "instructions": len(program.instructions),
                "host_segments": host_share(program).segments,
                "host_instructions": host_share(program).instructions,
                "parameters": program.parameters,
                "size_bytes": size_bytes,
                "seconds": round(seconds, 3),
                "calibration": program.origin.calibration,
                **made_document(program.origin),
                "inputs": inputs,
                "warnings": [{"message": str(guess), "hint": guess.hint} for guess in guesses],
            }
        )
        return
    print_facts(
        {
            "artifact": artifact,
            "target": program.target,
            "instructions": len(program.instructions),
            **({"on the host": host_words(program)} if host_share(program).segments else {}),
            "parameters": f"{program.parameters:_}",
            "size": size_text(size_bytes),
            "ranges": program.origin.calibration,
            **{
                f"input {name}": f"{grid['minimum']:.6g} to {grid['maximum']:.6g} as {grid['dtype']}"
                for name, grid in inputs.items()
            },
            "seconds": f"{seconds:.1f}",
        }
    )
    if verbose:
        print_making(program.origin)
