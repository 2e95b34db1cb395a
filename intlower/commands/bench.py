"""`intlower bench`: our engine beside other runtimes, on the same network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intlower.commands.bench_kernels import bench_kernels
from intlower.commands.options import FILE, comma_list, examples, output_options
from intlower.terminal import print_json, print_line, print_table, progress, size_text

if TYPE_CHECKING:
    from intlower.peers import Run

# The same network in other runtimes. The second is onnxruntime as it comes: on x86 without VNNI its 16-bit sums saturate,
# which is quicker, and wrong.
EXACT, SATURATING = "onnxruntime", "onnxruntime-saturating"
PEERS = (EXACT, SATURATING)
# What stands for our layers, not for a file.
KERNELS = "kernels"


@click.command(
    short_help="Time an artifact beside other runtimes.",
    epilog=examples(
        "intlower bench model.tensorrt.onnx",
        "intlower bench model.tensorrt.onnx --threads 2 --batch 8 --json",
        "intlower bench kernels",
    ),
)
@click.argument("artifact", type=FILE, metavar="ARTIFACT|kernels")
@click.option(
    "--against",
    metavar="NAMES",
    callback=comma_list(PEERS),
    default=EXACT,
    show_default=True,
    help="Peers, separated by commas. onnxruntime runs the same grids as a Q/DQ model in its int8 kernels; "
    "onnxruntime-saturating allows it inexact sums, its default, which are quicker on x86 without VNNI.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Of every contender.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    help="Samples in one run.  [default: 1, or the model's]",
)
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    help="Timed runs of each.  [default: as many as fit in about two seconds each, of layers a quarter]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random inputs.")
@output_options
def bench(
    artifact: Path,
    against: tuple[str, ...],
    threads: int,
    batch: int | None,
    repeats: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Time ARTIFACT from integer inputs to integer outputs, in turns with other runtimes.

    Compilation and warm-up are not timed. A ratio is ours divided by theirs, of the medians: below 1 ours is faster.

    The word `kernels` in the place of a file stands for single layers in the shapes of well-known networks, each beside
    the peak of this machine, which a loop of its dot-product instruction on registers alone measures in the same run.
    """
    if artifact == Path(KERNELS):
        if batch is not None:
            raise click.UsageError("--batch is of artifacts only", click.get_current_context())
        bench_kernels(against, EXACT, threads, repeats, seed, as_json)
        return
    from intlower.benchmarking import alternate
    from intlower.compiler.artifact import open_artifact
    from intlower.compiler.crosscheck import random_inputs
    from intlower.compiler.errors import UnsupportedByTarget
    from intlower.compiler.simulator import open_program
    from intlower.kernels.signature import KernelKey
    from intlower.peers import differing, onnxruntime_run

    program = open_artifact(artifact)
    fixed = program.tensors[program.inputs[0]].shape[0]
    size = batch or fixed or 1
    with progress(f"preparing {artifact.name}") as shown:
        simulator = open_program(program, threads=threads)
        codes = random_inputs(program, size, seed)
        contenders: dict[str, Run] = {"intlower": lambda: simulator.run(codes)}
        absent: dict[str, str] = {}
        for peer in against:
            try:
                contenders[peer] = onnxruntime_run(program, codes, threads, exact=peer == EXACT)
            except UnsupportedByTarget as error:  # no Q/DQ model has such grids
                absent[peer] = str(error)
        outputs = {name: run() for name, run in contenders.items()}
        shown.stage("timing")
        timings = alternate(contenders, repeats=repeats, progress=shown.count)
    ours = timings["intlower"].median_ms
    against = tuple(peer for peer in against if peer not in absent)
    ratios = {peer: round(ours / timings[peer].median_ms, 4) for peer in against}
    document: dict[str, Any] = {name: timing.document() for name, timing in timings.items()}
    unequal = {peer: differing(outputs["intlower"], outputs[peer]) for peer in against}
    isa = ", ".join(sorted({KernelKey.parse(name).variant for name in simulator.kernels}))
    document |= {
        "ratio": ratios,
        "differing_integers": unequal,
        "absent": absent,
        "threads": threads,
        "batch": size,
        "isa": isa,
        "kernels": sorted(set(simulator.kernels)),
        "peak_bytes": simulator.peak_bytes,
        "total_bytes": simulator.total_bytes,
    }
    if as_json:
        print_json(document)
        return
    print_table(
        ("engine", "median ms", "least ms", "ours / theirs", "differing integers"),
        [
            (
                name,
                f"{timing.median_ms:.3f}",
                f"{timing.min_ms:.3f}",
                f"{ratios[name]:.2f}" if name in ratios else "",
                unequal.get(name, ""),
            )
            for name, timing in timings.items()
        ],
        title=f"{artifact.name}, batch {size}, {threads} thread{'s' if threads > 1 else ''}",
        numeric=("median ms", "least ms", "ours / theirs", "differing integers"),
    )
    print_line(
        f"instruction set {isa}; activations take {size_text(simulator.peak_bytes)}, "
        f"of {size_text(simulator.total_bytes)} of all tensors"
    )
    for peer, reason in absent.items():
        print_line(f"{peer} has no such program: {reason}")
