"""`intlower simulate`: run an artifact on a data file."""

from __future__ import annotations

import time
from pathlib import Path

import click

from intlower.commands.options import FILE, examples, output_options, refuse_output
from intlower.terminal import print_json, print_line, print_table, progress, shape_text


@click.command(
    short_help="Run an artifact on a data file.",
    epilog=examples(
        "intlower simulate model.tensorrt.onnx --input test.npz --output answers.npz",
        "intlower simulate model.tensorrt.onnx --input test.npz --output codes.npz --integers",
    ),
)
@click.argument("artifact", type=FILE)
@click.option(
    "--input",
    "source",
    type=FILE,
    required=True,
    help="An .npz file with one array for each input of the model.",
)
@click.option("--output", type=FILE, help="The .npz file to write the outputs to.")
@click.option(
    "--integers",
    is_flag=True,
    help="Give the integer codes of the outputs, and take integer arrays of the input's own type as codes.",
)
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="To use."
)
@output_options
def simulate(
    artifact: Path,
    source: Path,
    output: Path | None,
    integers: bool,
    threads: int,
    as_json: bool,
) -> None:
    """Run ARTIFACT on the samples of a data file, bit for bit as the target would."""
    from intlower.compiler.artifact import open_artifact
    from intlower.data_files import fit_inputs, read_data, write_npz
    from intlower.evaluation import open_codes, open_integer_program, run_in_batches

    if output is not None:
        refuse_output(output, artifact, source)
    program = open_artifact(artifact)
    grids = {name: program.tensors[name].grid for name in program.inputs}
    arrays = fit_inputs(
        read_data(source),
        {name: program.tensors[name].shape for name in program.inputs},
        str(source),
        codes={name: grid.dtype for name, grid in grids.items()} if integers else None,
    )
    begin = time.perf_counter()
    with progress(f"simulating {artifact.name}") as shown:
        network = (open_codes if integers else open_integer_program)(program, threads)
        outputs = run_in_batches(network, arrays, shown.count)
    seconds = time.perf_counter() - begin
    if output is not None:
        write_npz(output, outputs)
    if as_json:
        print_json(
            {
                "output": None if output is None else str(output),
                "outputs": {
                    name: {"shape": list(array.shape), "dtype": str(array.dtype)}
                    for name, array in outputs.items()
                },
                "seconds": round(seconds, 3),
            }
        )
        return
    print_table(
        ("output", "shape", "dtype", "least", "greatest"),
        [
            (name, shape_text(array.shape), array.dtype, f"{array.min():g}", f"{array.max():g}")
            for name, array in outputs.items()
        ],
        numeric=("least", "greatest"),
    )
    if output is not None:
        print_line(f"written to {output}")
