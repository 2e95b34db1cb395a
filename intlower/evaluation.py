"""Accuracy on labelled samples, of integer programs and of float models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from intlower.compiler.artifact_metadata import METADATA_KEY
from intlower.compiler.divergence import kl_divergence, sqnr_db
from intlower.compiler.errors import DataError, ModelError
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import (
    dequantize_outputs,
    open_program,
    quantize_inputs,
    run_host_steps,
)

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Shape = tuple[int | None, ...]
Count = Callable[[int, int], None]

# Samples in one call: enough for every thread, small enough for the activations of a 224x224 network.
BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Runnable:
    """A network opened for running: real numbers in, real numbers out.

    Attributes:
        inputs: shape of each input, None where the size is free.
        run: from one float32 array for each input to one for each output, in order.
        step: distance of neighbouring numbers of the first output; 0 where they are not on a grid.
    """

    inputs: Mapping[str, Shape]
    run: Callable[[Arrays], dict[str, Array]]
    step: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How often a network is right, and how near the float model it stays.

    Attributes:
        count: number of samples.
        top1: share whose greatest output is the label's.
        float_top1: the same of the float model, where there is one.
        agreement: share on which both give the same class.
        kl: mean divergence of the class probabilities, see `kl_divergence`.
        sqnr_db: signal to noise of the outputs in decibels; None also where they are equal.
    """

    count: int
    top1: float
    float_top1: float | None = None
    agreement: float | None = None
    kl: float | None = None
    sqnr_db: float | None = None

    def document(self) -> dict[str, int | float | None]:
        """Return the figures by name; those that compare with a float model only where there is one."""
        figures: dict[str, int | float | None] = {"count": self.count, "top1": self.top1}
        if self.float_top1 is not None:
            figures |= {
                "float_top1": self.float_top1,
                "agreement": self.agreement,
                "kl": self.kl,
                "sqnr_db": self.sqnr_db,
            }
        return figures


def is_artifact(path: Path) -> bool:
    """Return whether a file says that it is an artifact; whether it is a sound one, `open_artifact` tells.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError:
        raise
    except Exception:  # DecodeError of protobuf, which onnx does not pass on by name
        return False
    return any(entry.key == METADATA_KEY for entry in model.metadata_props)


def open_integer_program(program: IntegerProgram, threads: int = 1) -> Runnable:
    """Return a program that takes and gives real numbers, host steps included."""
    simulator = open_program(program, threads=threads)

    def run(inputs: Arrays) -> dict[str, Array]:
        codes = simulator.run(quantize_inputs(program, inputs))
        return dict(run_host_steps(program, dequantize_outputs(program, codes)))

    shapes = {name: program.tensors[name].shape for name in program.inputs}
    first = program.outputs[0]
    on_host = any(step.input == first for step in program.host)
    step = 0.0 if on_host else program.tensors[first].grid.step
    return Runnable(inputs=shapes, run=run, step=step)


def open_codes(program: IntegerProgram, threads: int = 1) -> Runnable:
    """Return a program that gives integer codes, and takes codes or real numbers; no host steps."""
    simulator = open_program(program, threads=threads)

    def run(inputs: Arrays) -> dict[str, Array]:
        codes = {
            name: array
            if array.dtype == program.tensors[name].grid.dtype
            else program.tensors[name].grid.quantize(array)
            for name, array in inputs.items()
        }
        return dict(simulator.run(codes))

    shapes = {name: program.tensors[name].shape for name in program.inputs}
    return Runnable(inputs=shapes, run=run)


def open_float_model(path: Path, threads: int = 0) -> Runnable:
    """Return a float model, run by onnxruntime.

    Args:
        path: of the ONNX file.
        threads: of onnxruntime; 0 leaves the choice to it.

    Raises:
        ModelError: onnxruntime cannot load the file.
    """
    session = open_session(str(path), threads=threads, what=str(path))
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Arrays) -> dict[str, Array]:
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    shapes = {
        value.name: tuple(size if isinstance(size, int) else None for size in value.shape)
        for value in session.get_inputs()
    }
    return Runnable(inputs=shapes, run=run)


def open_session(
    model: str | bytes, *, threads: int, what: str, exact: bool = True
) -> onnxruntime.InferenceSession:
    """Return an onnxruntime session on the CPU with default optimizations.

    Args:
        model: path or bytes of an ONNX model.
        threads: within one operator; 0 leaves the choice to onnxruntime.
        what: the model's name, for messages.
        exact: forbid the kernels for quantized models whose 16-bit sums saturate (x86 without VNNI); onnxruntime's
            default is to use them. Of no matter for float models.

    Raises:
        ModelError: it cannot be loaded.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "1" if exact else "0")
    options.log_severity_level = 4  # errors arrive as exceptions; nothing else on the screen
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes have no common public root
        raise ModelError(
            f"onnxruntime cannot load {what}: {error}",
            "check that the file is a complete ONNX model",
        ) from None


def run_in_batches(
    network: Runnable, inputs: Arrays, progress: Count | None = None, batch: int = BATCH
) -> dict[str, Array]:
    """Return the outputs of all samples, computed a few at a time.

    Args:
        network: what to run.
        inputs: one array for each input, batch first.
        progress: called with the number of samples done and of all.
        batch: samples in one call, where the network does not fix it.

    Raises:
        DataError: the network fixes its batch, and the number of samples is no multiple of it.
    """
    fixed = next((shape[0] for shape in network.inputs.values() if shape and shape[0]), None)
    step = fixed or batch
    count = len(next(iter(inputs.values())))
    if fixed is not None and count % fixed:
        raise DataError(
            f"the network takes {fixed} samples at a time, and {count} are no multiple of it",
            "give more or fewer samples, for example with --count",
        )
    parts: list[dict[str, Array]] = []
    for start in range(0, count, step):
        parts.append(
            network.run({name: array[start : start + step] for name, array in inputs.items()})
        )
        if progress is not None:
            progress(min(start + step, count), count)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def class_scores(
    network: Runnable, inputs: Arrays, labels: NDArray[np.int64], progress: Count | None = None
) -> Array:
    """Return the first output, one number for each class: [count, classes].

    Args:
        network: a classifier.
        inputs: one float32 array for each input, batch first.
        labels: int64 [count], to prove that they are classes of this network.
        progress: see `run_in_batches`.

    Raises:
        DataError: the output has no classes, or a label is none of them.
    """
    scores = next(iter(run_in_batches(network, inputs, progress).values()))
    scores = scores.reshape(len(scores), -1)
    if scores.shape[0] != len(labels) or scores.shape[1] < 2:
        raise DataError(
            f"the first output has {scores.shape[1]} numbers for each of {scores.shape[0]} "
            f"samples, which are not the classes of {len(labels)} labels",
            "evaluate takes a classifier whose first output has one number for each class",
        )
    if int(labels.max()) >= scores.shape[1]:
        raise DataError(
            f"the labels go up to {int(labels.max())}, but the network has {scores.shape[1]} "
            "classes",
            "count classes from 0, in the network's order",
        )
    return scores


def summarise(
    scores: Array,
    labels: NDArray[np.int64],
    float_scores: Array | None = None,
    *,
    step: float = 0.0,
) -> Evaluation:
    """Return the figures of an evaluation.

    A sample's class is the index of its greatest number, the first of equals.

    Args:
        scores: [count, classes], what the network gives.
        labels: int64 [count], what is true.
        float_scores: [count, classes], what the float model gives.
        step: distance of neighbouring scores, see `Runnable`.

    Raises:
        DataError: the two networks do not have the same classes.

    >>> scores = np.array([[4.0, 1.0], [0.0, 2.0]])
    >>> found = summarise(scores, np.array([0, 0]), scores)
    >>> found.top1, found.float_top1, found.agreement, found.kl
    (0.5, 0.5, 1.0, 0.0)
    """
    classes = scores.argmax(axis=1)
    count, top1 = len(labels), float((classes == labels).mean())
    if float_scores is None:
        return Evaluation(count=count, top1=top1)
    if float_scores.shape != scores.shape:
        raise DataError(
            f"the float model has {float_scores.shape[1]} classes, the network {scores.shape[1]}",
            "compare with the model from which the artifact was compiled",
        )
    float_classes = float_scores.argmax(axis=1)
    return Evaluation(
        count=count,
        top1=top1,
        float_top1=float((float_classes == labels).mean()),
        agreement=float((classes == float_classes).mean()),
        kl=kl_divergence(float_scores, scores, step),
        sqnr_db=sqnr_db(float_scores, scores),
    )
