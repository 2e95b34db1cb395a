"""`intlower verify`: other executions of the same artifact, compared integer by integer."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from intlower.commands.options import FILE, comma_list, examples, output_options
from intlower.failures import CHECK_FAILED
from intlower.terminal import print_error, print_json, print_table, progress

WITNESSES = ("onnxruntime", "reference")
C_WITNESS = "c"


@click.command(
    short_help="Prove an artifact's integers in other runtimes.",
    epilog=examples(
        "intlower verify model.tensorrt.onnx",
        "intlower verify model.tensorrt.onnx --against onnxruntime --samples test.npz --count 8",
        "intlower verify model.tensorrt.onnx --against c",
    ),
)
@click.argument("artifact", type=FILE)
@click.option(
    "--against",
    metavar="NAMES",
    callback=comma_list((*WITNESSES, C_WITNESS)),
    default=",".join(WITNESSES),
    show_default=True,
    help="Who else runs the artifact: onnxruntime, the NumPy reference; c, its C export, built with this machine's cc.",
)
@click.option(
    "--samples",
    type=FILE,
    help="Inputs to run on, an .npz file. Without it random codes are used, the extreme ones among them.",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    help="Number of samples.  [default: 4 random ones, or all of the file]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random codes.")
@output_options
def verify(
    artifact: Path,
    against: tuple[str, ...],
    samples: Path | None,
    count: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Run ARTIFACT in Numba and in other runtimes, in onnxruntime and the NumPy reference unless told otherwise, and count differing integers.

    Exits with 1 where any integer differs, and names the first differing instruction.
    """
    from intlower.compiler import crosscheck
    from intlower.compiler.artifact import open_artifact
    from intlower.compiler.simulator import quantize_inputs
    from intlower.data_files import fit_inputs, read_data
    from intlower.witnesses.c import CWitness

    program = open_artifact(artifact)
    if samples is None:
        codes = crosscheck.random_inputs(program, count or 4, seed)
    else:
        shapes = {name: program.tensors[name].shape for name in program.inputs}
        arrays = fit_inputs(read_data(samples), shapes, str(samples))
        codes = quantize_inputs(program, {name: x[:count] for name, x in arrays.items()})
    with ExitStack() as opened, progress(f"verifying {artifact.name}") as shown:
        others = {}
        if C_WITNESS in against:
            shown.stage("compiling the C export")
            witness = opened.enter_context(CWitness(program, keep_all=True))
            others[C_WITNESS] = witness.run
            shown.stage(f"verifying {artifact.name}")
        yardsticks = [name for name in against if name in WITNESSES]
        comparisons = crosscheck.verify(program, codes, yardsticks, shown.count, others)
    document: dict[str, dict[str, Any]] = {}
    for name, comparison in comparisons.items():
        document[name] = {
            "compared": comparison.compared,
            "mismatches": comparison.mismatches,
        }
        if comparison.first is not None:
            document[name]["first"] = {
                "engine": comparison.first.engine,
                "instruction": comparison.first.instruction,
                "index": list(comparison.first.index),
                "expected": comparison.first.expected,
                "actual": comparison.first.actual,
            }
    if as_json:
        print_json(document)
    else:
        print_table(
            ("against", "integers compared", "mismatches"),
            [(name, f"{c.compared:_}", f"{c.mismatches:_}") for name, c in comparisons.items()],
            numeric=("integers compared", "mismatches"),
        )
    failed = [comparison for comparison in comparisons.values() if comparison.mismatches]
    for comparison in failed:
        if comparison.first is not None:
            error = comparison.first.error()
            print_error(str(error), error.hint)
    if failed:
        raise click.exceptions.Exit(CHECK_FAILED)
