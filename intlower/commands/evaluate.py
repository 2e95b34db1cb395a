"""`intlower evaluate`: accuracy on labelled samples."""

from __future__ import annotations

import os
from pathlib import Path

import click

from intlower.commands.options import FILE, examples, output_options
from intlower.terminal import percent_text, print_facts, print_json, progress


@click.command(
    short_help="Measure accuracy on labelled samples.",
    epilog=examples(
        "intlower evaluate model.tensorrt.onnx --data test.npz",
        "intlower evaluate model.tensorrt.onnx --data test.npz --float model.onnx",
        "intlower evaluate model.onnx --data folder/ --count 500",
    ),
)
@click.argument("subject", metavar="ARTIFACT|MODEL", type=FILE)
@click.option(
    "--data",
    type=FILE,
    required=True,
    help="An .npz file with one array for each input and an integer array 'labels', or a folder of such files.",
)
@click.option(
    "--float",
    "float_model",
    type=FILE,
    help="The float model to compare with, run by onnxruntime.",
)
@click.option("--count", type=click.IntRange(min=1), help="Use the first samples only.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    show_default="one for each core",
    help="To use.",
)
@output_options
def evaluate(
    subject: Path,
    data: Path,
    float_model: Path | None,
    count: int | None,
    threads: int,
    as_json: bool,
) -> None:
    """Measure the top-1 accuracy of an integer artifact, or of a float model, on labelled samples.

    The first output decides: its greatest number is the class, the first one of equals. With --float also the divergence
    KL of the class probabilities (after a softmax where the network ends in logits) and the outputs' signal to noise.
    """
    from intlower.compiler.artifact import open_artifact
    from intlower.data_files import fit_inputs, fit_labels, read_data
    from intlower.evaluation import (
        class_scores,
        is_artifact,
        open_float_model,
        open_integer_program,
        summarise,
    )

    with progress(f"evaluating {subject.name}") as shown:
        if is_artifact(subject):
            network = open_integer_program(open_artifact(subject), threads)
        else:
            network = open_float_model(subject, threads)
        reference = None if float_model is None else open_float_model(float_model, threads)
        arrays = read_data(data)
        inputs = fit_inputs(arrays, network.inputs, str(data))
        labels = fit_labels(arrays, len(next(iter(inputs.values()))), str(data))[:count]
        inputs = {name: array[:count] for name, array in inputs.items()}
        scores = class_scores(network, inputs, labels, shown.count)
        float_scores = None
        if reference is not None and float_model is not None:
            shown.stage(f"evaluating {float_model.name}")
            float_inputs = fit_inputs(inputs, reference.inputs, str(data))
            float_scores = class_scores(reference, float_inputs, labels, shown.count)
    result = summarise(scores, labels, float_scores, step=network.step)
    if as_json:
        print_json(result.document())
        return
    facts: dict[str, object] = {"samples": result.count, "top-1": percent_text(result.top1)}
    if result.float_top1 is not None:
        facts |= {
            "float top-1": percent_text(result.float_top1),
            "agreement": "" if result.agreement is None else percent_text(result.agreement),
            "KL": f"{result.kl:.4f}",
            "SQNR": "equal" if result.sqnr_db is None else f"{result.sqnr_db:.1f} dB",
        }
    print_facts(facts)
