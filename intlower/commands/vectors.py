"""`intlower vectors`: every integer of an artifact, step by step, for an implementation elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from intlower.commands.options import FILE, examples, output_options, refuse_output
from intlower.terminal import print_facts, print_json, progress, size_text


@click.command(
    short_help="Write every integer of a run, step by step.",
    epilog=examples(
        "intlower vectors model.tensorrt.onnx -o vectors",
        "intlower vectors model.tensorrt.onnx -o vectors --samples test.npz --count 4 --force",
    ),
)
@click.argument("artifact", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="The folder to make.")
@click.option(
    "--samples",
    type=FILE,
    help="Inputs, an .npz file of real numbers or of integer codes. Without it random codes are used, with extremes.",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="How many samples: the first of the file, or as many random ones.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of the random codes.")
@click.option("--force", is_flag=True, help="Replace a folder of vectors that is there.")
@output_options
def vectors(
    artifact: Path,
    output: Path,
    samples: Path | None,
    count: int,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Write the inputs, constants and every intermediate tensor of ARTIFACT as .npy files, with an index.json.

    The index lists the instructions in program order, each with its kernel, attributes and files. Nothing is written
    unless the oracle, the Numba kernels and onnxruntime agree on every integer.
    """
    from intlower.compiler.artifact import open_artifact
    from intlower.compiler.crosscheck import random_inputs
    from intlower.data_files import fit_inputs, read_data
    from intlower.vectors import check_folder, make_vectors, write_vectors

    check_folder(output, force=force)
    if not output.exists():
        refuse_output(output, artifact)
    program = open_artifact(artifact)
    grids = {name: program.tensors[name].grid for name in program.inputs}
    if samples is None:
        codes = random_inputs(program, count, seed)
    else:
        arrays = fit_inputs(
            read_data(samples),
            {name: program.tensors[name].shape for name in program.inputs},
            str(samples),
            codes={name: grid.dtype for name, grid in grids.items()},
        )
        codes = {
            name: array[:count]
            if array.dtype == grids[name].dtype
            else grids[name].quantize(array[:count])
            for name, array in arrays.items()
        }
    with progress(f"running {artifact.name}"):
        made = make_vectors(program, codes)
        size_bytes = write_vectors(made, output, force=force)
    facts = {
        "folder": str(output),
        "target": program.target,
        "instructions": len(program.instructions),
        "samples": made.index["samples"],
        "files": len(made.arrays) + 1,
    }
    if as_json:
        print_json(facts | {"size_bytes": size_bytes})
    else:
        print_facts(facts | {"size": size_text(size_bytes)})
