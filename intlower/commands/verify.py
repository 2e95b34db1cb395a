"""`intlower verify`: other executions of the same artifact, compared integer by integer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intlower.commands.options import FILE, comma_list, examples, output_options
from intlower.failures import CHECK_FAILED
from intlower.terminal import (
    percent_text,
    print_error,
    print_json,
    print_line,
    print_table,
    progress,
)

if TYPE_CHECKING:
    from intlower.compiler.crosscheck import Comparison, Mismatch
    from intlower.witnesses.witness import Testimony

# What runs the artifact itself and must give the same integers.
PROOFS = ("onnxruntime", "reference")
# The program's C export, built by the system's compiler: it must give the same integers, too.
C_WITNESS = "c"
# Runtimes with an arithmetic of their own, `intlower.witnesses.registry`: their differences are counted.
WITNESSES = ("onnxruntime-qdq", "openvino", "qnn-htp", "litert", "tflite-micro")


@click.command(
    short_help="Prove an artifact's integers in other runtimes.",
    epilog=examples(
        "intlower verify model.tensorrt.onnx",
        "intlower verify model.tensorrt.onnx --against onnxruntime --samples test.npz --count 8",
        "intlower verify model.tensorrt.onnx --against c",
        "intlower verify model.snpe.onnx --against onnxruntime-qdq,openvino,qnn-htp --bisect",
        "intlower verify --list",
    ),
)
@click.argument("artifact", type=FILE, required=False)
@click.option(
    "--against",
    metavar="NAMES",
    callback=comma_list((*PROOFS, C_WITNESS, *WITNESSES)),
    default=",".join(PROOFS),
    show_default=True,
    help="Who else runs it: onnxruntime and the NumPy reference run the artifact itself, c its C export, built with this "
    "machine's cc; others, see --list, its exported form, in an arithmetic of their own.",
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
@click.option(
    "--bisect",
    is_flag=True,
    help="Name the first instruction in which another runtime differs, the index and both codes.",
)
@click.option(
    "--list", "list_witnesses", is_flag=True, help="List the runtimes to compare with."
)
@output_options
def verify(
    artifact: Path | None,
    against: tuple[str, ...],
    samples: Path | None,
    count: int | None,
    seed: int,
    bisect: bool,
    list_witnesses: bool,
    as_json: bool,
) -> None:
    """Run ARTIFACT in Numba and in other runtimes, in onnxruntime and the NumPy reference unless told otherwise, and count differing integers.

    Exits with 1 where any integer of these differs, and names the first differing instruction. Runtimes with an arithmetic of
    their own may differ by steps: how far, is counted.
    """
    if list_witnesses:
        _print_witnesses(as_json)
        return
    if artifact is None:
        raise click.UsageError("give an artifact, or --list", click.get_current_context())
    from intlower.compiler import crosscheck
    from intlower.compiler.artifact import open_artifact
    from intlower.compiler.simulator import quantize_inputs
    from intlower.data_files import LABELS, fit_inputs, fit_labels, read_data
    from intlower.witnesses.c import CWitness
    from intlower.witnesses.registry import find_witness
    from intlower.witnesses.witness import compare_with

    witnesses = [find_witness(name) for name in against if name in WITNESSES]
    program = open_artifact(artifact)
    labels = None
    if samples is None:
        codes = crosscheck.random_inputs(program, count or 4, seed)
    else:
        shapes = {name: program.tensors[name].shape for name in program.inputs}
        arrays = read_data(samples)
        inputs = fit_inputs(arrays, shapes, str(samples))
        if LABELS in arrays:
            labels = fit_labels(arrays, len(next(iter(inputs.values()))), str(samples))[:count]
        codes = quantize_inputs(program, {name: x[:count] for name, x in inputs.items()})
    comparisons: dict[str, Comparison] = {}
    testimonies: dict[str, Testimony] = {}
    with ExitStack() as opened, progress(f"verifying {artifact.name}") as shown:
        proofs = [name for name in against if name in PROOFS]
        others = {}
        if C_WITNESS in against:
            shown.stage("compiling the C export")
            witness = opened.enter_context(CWitness(program, keep_all=True))
            others[C_WITNESS] = witness.run
            shown.stage(f"verifying {artifact.name}")
        if proofs or others:
            comparisons = crosscheck.verify(program, codes, proofs, shown.count, others)
        for variant in [variant for witness in witnesses for variant in witness.variants]:
            shown.stage(f"running {variant.name}")
            testimonies[variant.name] = compare_with(
                variant, program, codes, labels=labels, bisect=bisect, progress=shown.count
            )
    if as_json:
        print_json(_document(comparisons, testimonies))
    else:
        _print_results(comparisons, testimonies)
    failed = [comparison for comparison in comparisons.values() if comparison.mismatches]
    for comparison in failed:
        if comparison.first is not None:
            error = comparison.first.error()
            print_error(str(error), error.hint)
    if failed:
        raise click.exceptions.Exit(CHECK_FAILED)


def _document(
    comparisons: Mapping[str, Comparison], testimonies: Mapping[str, Testimony]
) -> dict[str, Any]:
    document: dict[str, dict[str, Any]] = {}
    for name, comparison in comparisons.items():
        document[name] = {
            "compared": comparison.compared,
            "mismatches": comparison.mismatches,
        }
        if comparison.first is not None:
            document[name]["first"] = _first_document(comparison.first)
    for name, testimony in testimonies.items():
        document[name] = testimony.document()
        if testimony.first is not None:
            document[name]["first"] = _first_document(testimony.first)
    return document


def _first_document(first: Mismatch) -> dict[str, Any]:
    return {
        "engine": first.engine,
        "instruction": first.instruction,
        "index": list(first.index),
        "expected": first.expected,
        "actual": first.actual,
    }


def _print_results(
    comparisons: Mapping[str, Comparison], testimonies: Mapping[str, Testimony]
) -> None:
    if comparisons:
        print_table(
            ("against", "integers compared", "mismatches"),
            [(name, f"{c.compared:_}", f"{c.mismatches:_}") for name, c in comparisons.items()],
            numeric=("integers compared", "mismatches"),
        )
    if not testimonies:
        return
    if comparisons:
        click.echo()
    columns = ("another arithmetic", "outputs compared", "differ", "by at most", "same top-1")
    rows = [
        (
            name,
            f"{t.compared:_}",
            f"{t.mismatches:_} ({percent_text(t.mismatches / t.compared)})",
            f"{t.max_difference}",
            "" if t.top1_agreement is None else percent_text(t.top1_agreement),
        )
        for name, t in testimonies.items()
    ]
    print_table(columns, rows, numeric=columns[1:])
    for name, testimony in testimonies.items():
        if testimony.top1 is not None:
            ours, theirs = testimony.top1
            print_line(f"top-1 {percent_text(ours)} here, {percent_text(theirs)} in {name}")
        if testimony.first is not None:
            first = testimony.first
            print_line(
                f"{name} differs first at {first.instruction}{list(first.index)}: "
                f"{first.actual} instead of {first.expected}"
            )


def _print_witnesses(as_json: bool) -> None:
    from intlower.witnesses.registry import WITNESSES as KNOWN

    if as_json:
        documents = [
            {
                "name": witness.name,
                "meaning": witness.meaning,
                "installed": witness.installed(),
                "install": witness.install,
            }
            for witness in KNOWN.values()
        ]
        print_json({"proofs": list(PROOFS), "witnesses": documents})
        return
    rows = [
        ("onnxruntime", "the artifact itself in onnxruntime: must be equal", "yes"),
        ("reference", "the artifact itself in the NumPy reference: must be equal", "yes"),
    ]
    rows += [(w.name, w.meaning, "yes" if w.installed() else w.install) for w in KNOWN.values()]
    print_table(("name", "what it runs", "installed"), rows)
