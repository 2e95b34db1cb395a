"""One network of the zoo, measured in a process of its own.

    python -m benchmarks.zoo.measure NAME FOLDER TARGET...

FOLDER/NAME.json has what is known so far: it is written after each step, so that nothing is lost when a limit ends the
process, and it names the step under way, so that the parent knows which one that was.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from benchmarks.zoo.catalogue import catalogue
from benchmarks.zoo.model import SAMPLES, ZooModel
from intlower.compiler.crosscheck import YARDSTICKS, random_inputs, verify
from intlower.compiler.divergence import sqnr_db
from intlower.compiler.errors import CalibrationWarning
from intlower.compiler.evaluate import evaluate
from intlower.compiler.files import write_atomically
from intlower.compiler.graph import Graph
from intlower.compiler.importer import import_model
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.standard import STANDARD_PASSES
from intlower.compiler.pipeline import compile_model
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import simulate
from intlower.failures import describe

MEMORY_BYTES = 4 << 30

# Of the largest number of an output, or of 1: a hundred layers in float32, summed in different orders.
FLOAT_TOLERANCE = 1e-3

# Multiply-accumulates of one sample up to which the oracle, in NumPy, runs as well as onnxruntime.
ORACLE_WORK = 1_000_000_000

# Samples of random codes whose every tensor is compared with onnxruntime and the oracle.
VERIFIED = 2

Arrays = Mapping[str, NDArray[Any]]
Document = dict[str, Any]


def sources_digest() -> str:
    """Return eight digits that change with any source of the compiler, the targets or the kernels."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parents[2]
    for folder in ("kernels", "compiler", "backends"):
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def record_path(folder: Path, name: str) -> Path:
    """Return where the results of a network are kept."""
    return folder / f"{name}.json"


def read_record(folder: Path, name: str) -> Document:
    """Return what is known of a network; empty where nothing is."""
    path = record_path(folder, name)
    document: Document = json.loads(path.read_text()) if path.exists() else {}
    return document


def write_record(folder: Path, name: str, record: Document) -> None:
    """Keep what is known of a network."""
    text = json.dumps(record, indent=1)
    write_atomically(record_path(folder, name), text.encode())


def is_complete(result: Mapping[str, Any]) -> bool:
    """Whether a target's result is final."""
    return bool({"mismatches", "failure", "reason"} & set(result))


def measure(entry: ZooModel, folder: Path, targets: tuple[str, ...]) -> None:
    """Fill a network's record: import, comparison in float, and every target that is not in it yet."""
    record = read_record(folder, entry.name)
    record["targets"] = {
        target: result
        for target, result in record.get("targets", {}).items()
        if is_complete(result)  # not one whose run was ended from outside
    }
    sources = sources_digest()

    def starts(step: str) -> None:
        record["step"] = step
        write_record(folder, entry.name, record)

    path = folder / f"{entry.name}.onnx"
    starts("export")
    record["version"] = entry.version
    if not path.exists():
        try:
            made = entry.make().SerializeToString()
        except Exception as error:  # of the exporter, or of the package
            record["exported"] = reason(error)
            starts("")
            return
        write_atomically(path, made)
        del made
    model = onnx.load(path)
    record["nodes"] = len(model.graph.node)
    kinds = Counter(node.op_type for node in model.graph.node)
    norms = kinds["BatchNormalization"] > 0.5 * kinds["Conv"]  # elsewhere they are folded away
    record["calibration"] = "moments" if norms else "samples"
    starts("import")
    try:
        graph = import_model(model, shapes=entry.shapes)
    except Exception as error:  # recorded, whatever it is
        record["imported"] = reason(error)
        starts("")
        return
    inputs = {value.name: entry.inputs(value.shape, SAMPLES, 2) for value in graph.inputs}
    starts("float")
    try:
        expected = float_outputs(model, graph, inputs)
    except Exception as error:  # onnxruntime's exceptions have no public base class
        record["exported"] = f"onnxruntime cannot run the file: {reason(error)}"
        starts("")
        return
    if "float_error" not in record:
        record["float_error"] = float_error(evaluated(graph, inputs), expected)
        simplified = run_passes(graph, STANDARD_PASSES)
        record["float_nodes"] = len(simplified.nodes)
        error = float_error(evaluated(simplified, inputs), expected)
        record["float_error"] = max(error, record["float_error"])
        del simplified
    record["imported"] = True
    del model, graph  # the compiler reads the file itself
    for target in targets:
        if target not in record["targets"]:
            starts(target)
            samples = None if norms else other_images(entry, inputs)
            result = compiled(path, entry, target, samples)
            result.document["sources"] = sources
            record["targets"][target] = result.document
            if result.program is not None:
                starts(target)  # kept already: verification may take too long
                result.document.update(verified(result.program, inputs, expected))
            del result  # its program, before the next is made
    starts("")


def other_images(entry: ZooModel, inputs: Arrays) -> Arrays:
    """Return images to calibrate with, none of them among those of the comparison."""
    return {name: entry.inputs(array.shape, SAMPLES, 3) for name, array in inputs.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A program with what is known of it, or the reason why there is none."""

    document: Document
    program: IntegerProgram | None = None


def compiled(path: Path, entry: ZooModel, target: str, samples: Arrays | None) -> Compiled:
    """Compile a network for a target."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CalibrationWarning)
        start = time.perf_counter()
        try:
            program = compile_model(path, target=target, shapes=entry.shapes, samples=samples)
        except Exception as error:  # recorded, whatever it is
            return Compiled(document={"reason": reason(error)})
        seconds = time.perf_counter() - start
    document: Document = {
        "seconds": seconds,
        "instructions": len(program.instructions),
        "host": len(program.host),
        "warnings": [str(one.message) for one in caught if one.category is CalibrationWarning],
    }
    return Compiled(document=document, program=program)


def verified(program: IntegerProgram, inputs: Arrays, expected: Arrays) -> Document:
    """Return how near a program is to the float network, and whether its yardsticks agree."""
    yardsticks = YARDSTICKS if program.multiply_accumulates() <= ORACLE_WORK else YARDSTICKS[:1]
    batch = fixed_batch(program.tensors[program.inputs[0]].shape)
    try:
        actual = batched(lambda arrays: simulate(program, arrays), inputs, batch)
        found = verify(program, random_inputs(program, VERIFIED), yardsticks)
        return {
            "sqnr": least_sqnr(actual, expected),
            "logits_sqnr": logits_sqnr(program, inputs, expected),
            "compared": min(one.compared for one in found.values()),
            "mismatches": {name: one.mismatches for name, one in found.items()},
        }
    except Exception as error:  # recorded, whatever it is
        return {"failure": reason(error)}


def fixed_batch(shape: tuple[int | None, ...]) -> int:
    """Return the batch that a shape fixes, else one that holds all samples."""
    return shape[0] or SAMPLES


def batched(run: Any, inputs: Arrays, batch: int) -> Arrays:
    """Return the outputs of all samples, run `batch` at a time."""
    pieces = [
        run({name: array[i : i + batch] for name, array in inputs.items()})
        for i in range(0, SAMPLES, batch)
    ]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def float_outputs(model: onnx.ModelProto, graph: Graph, inputs: Arrays) -> Arrays:
    """Return what onnxruntime computes from the model as published."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    content, providers = model.SerializeToString(), ["CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(content, options, providers)
    except Exception:  # its optimizer may fail: it makes a Pad before a pool that pool's, which must not be as wide
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(content, options, providers)
    names = [output.name for output in session.get_outputs()]
    return batched(
        lambda batch: dict(zip(names, session.run(names, batch), strict=True)),
        inputs,
        fixed_batch(graph.inputs[0].shape),
    )


def evaluated(graph: Graph, inputs: Arrays) -> Arrays:
    """Return what the float evaluator computes from a graph."""
    return batched(
        lambda batch: evaluate(graph, batch), inputs, fixed_batch(graph.inputs[0].shape)
    )


def float_error(actual: Arrays, expected: Arrays) -> float:
    """Return the greatest difference of any output, relative to its largest number or 1."""
    return max(
        float(np.abs(actual[name] - array).max() / max(float(np.abs(array).max()), 1.0))
        for name, array in expected.items()
    )


def least_sqnr(actual: Arrays, expected: Arrays) -> float | None:
    """Return the signal to noise ratio of the worst output, in decibels; None where all are equal."""
    ratios = [
        sqnr_db(array.reshape(len(array), -1), actual[name].reshape(len(array), -1))
        for name, array in expected.items()
    ]
    return min((ratio for ratio in ratios if ratio is not None), default=None)


def logits_sqnr(program: IntegerProgram, inputs: Arrays, expected: Arrays) -> float | None:
    """Return `least_sqnr` of what final softmaxes read, less its mean; None where there is no softmax.

    Logarithms of float probabilities are the float logits but for what a softmax takes away, their common part.
    """
    axes = {
        one.output: (one.inputs[0], one.attributes["axis"])
        for one in program.instructions
        if one.kernel.operator.startswith("softmax")
    } | {one.output: (one.input, one.axis) for one in program.host if one.operator == "Softmax"}
    chosen = {
        name: axes[name] for name in expected if name in axes and (expected[name] > 0).all()
    }
    if not chosen:
        return None
    logits = replace(program, outputs=tuple({name for name, _ in chosen.values()}), host=())
    batch = fixed_batch(program.tensors[program.inputs[0]].shape)
    found = batched(lambda arrays: simulate(logits, arrays), inputs, batch)
    actual = {name: centred(found[source], axis) for name, (source, axis) in chosen.items()}
    wanted = {name: centred(np.log(expected[name]), axis) for name, (_, axis) in chosen.items()}
    return least_sqnr(actual, wanted)


def centred(array: NDArray[Any], axis: Any) -> NDArray[Any]:
    """Return numbers less their mean along an axis."""
    return np.asarray(array - array.mean(axis=axis, keepdims=True))


def reason(error: Exception) -> str:
    """Return an exception as one line."""
    failure = describe(error)
    return f"{failure.type}: {failure.message}"


def main() -> None:
    """Measure one network under a limit of memory."""
    name, folder, *targets = sys.argv[1:]
    # Of data, not of addresses: torch and Numba map much that they never touch.
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    entry = next(entry for entry in catalogue() if entry.name == name)
    measure(entry, Path(folder), tuple(targets))


if __name__ == "__main__":
    main()
