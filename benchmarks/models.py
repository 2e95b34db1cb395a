"""Whole networks beside other runtimes: latency in alternating runs, and memory.

    python benchmarks/models.py [NETWORK ...]

Writes benchmarks/results/networks.json; with names, measures those again and leaves the others as they are there. The networks are those of `make_networks.py` and, where they lie beside the
project, the real models of ../shared/data/models. All are compiled for one target without data; every int8 contender
but `quantize_static` runs that very program, integers to integers.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from make_networks import NETWORKS, write
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

import intlower
from intlower.backends.export.qdq import to_qdq
from intlower.backends.export.qdq_graph import to_unsigned
from intlower.benchmarking import Timing, alternate, machine
from intlower.compiler.crosscheck import random_inputs
from intlower.compiler.errors import IntlowerError
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import open_program
from intlower.evaluation import open_session
from intlower.kernels.isa import host_isa
from intlower.peers import Codes, Run, differing, onnxruntime_run
from intlower.profiling import giga_operations, peak_run, profile

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
REAL_MODELS = HERE.parents[1] / "shared" / "data" / "models"

TARGET = "tensorrt"
THREADS = (1, 2)
# Of wall-clock time and of processor time, for each contender.
SECONDS, PROCESSOR_SECONDS = 0.8, 0.4
# Before each run on several threads, in seconds.
PAUSE = 0.004
CALIBRATION_SAMPLES = 4

OURS = "intlower"
EXACT, SATURATING = "onnxruntime int8", "onnxruntime int8, saturating"
STATIC, FLOAT, OPENVINO = "onnxruntime quantize_static", "onnxruntime float32", "OpenVINO int8"

Contender = Callable[[], object]
Values = Mapping[str, np.ndarray[Any, Any]]


class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not typed
    """Feeds a few random samples to `quantize_static`."""

    def __init__(self, samples: list[Values]) -> None:
        self.samples = iter(samples)

    def get_next(self) -> Values | None:
        """Return the next sample, None after the last."""
        return next(self.samples, None)


def real_inputs(program: IntegerProgram, codes: Codes) -> Values:
    """Return the real numbers that input codes stand for."""
    return {
        name: program.tensors[name].grid.dequantize(codes[name]).astype(np.float32)
        for name in program.inputs
    }


def quantized(path: Path, samples: list[Values], folder: Path) -> Path:
    """Return the file that `quantize_static` makes of a float model: Q/DQ, one scale for each channel."""
    target = folder / f"{path.stem}.static.onnx"
    quantize_static(
        path,
        target,
        Reader(samples),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return target


def session_run(session: onnxruntime.InferenceSession, values: Values) -> Contender:
    """Return a run of a session."""
    return lambda: session.run(None, dict(values))


def openvino_run(program: IntegerProgram, codes: Codes, threads: int) -> Run | None:
    """Return a run of the Q/DQ model in OpenVINO; None where OpenVINO is not installed."""
    try:
        import openvino
    except ImportError:
        return None
    model = to_qdq(program, integer_edges=True, unsigned=True).SerializeToString()
    core = openvino.Core()
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = core.compile_model(core.read_model(model), "CPU", options).create_infer_request()
    feeds = {name: to_unsigned(array) for name, array in codes.items()}
    outputs = list(program.outputs)

    def run() -> Codes:
        request.infer(feeds, share_inputs=True, share_outputs=True)
        return {
            name: request.get_output_tensor(index).data for index, name in enumerate(outputs)
        }

    return run


def measure(path: Path, folder: Path) -> dict[str, Any]:
    """Return the figures of one network.

    Raises:
        IntlowerError: it cannot be compiled.
    """
    program = intlower.compile(path, target=TARGET)
    samples = [
        real_inputs(program, random_inputs(program, 1, seed))
        for seed in range(CALIBRATION_SAMPLES)
    ]
    static = quantized(path, samples, folder)
    codes = random_inputs(program, 1)
    figures: dict[str, Any] = {
        "multiply_accumulates": program.multiply_accumulates(),
        "threads": {},
    }
    for threads in THREADS:
        simulator = open_program(program, threads=threads)
        figures["peak_bytes"], figures["total_bytes"] = (
            simulator.peak_bytes,
            simulator.total_bytes,
        )
        programs: dict[str, Run | None] = {
            OURS: partial(simulator.run, codes),
            EXACT: onnxruntime_run(program, codes, threads, exact=True),
            SATURATING: onnxruntime_run(program, codes, threads, exact=False),
            OPENVINO: openvino_run(program, codes, threads),
        }
        present = {name: run for name, run in programs.items() if run is not None}
        expected = present[OURS]()
        floats = {STATIC: static, FLOAT: path}
        sessions = {
            name: session_run(
                open_session(str(file), threads=threads, what=name, exact=False), samples[0]
            )
            for name, file in floats.items()
        }
        contenders: dict[str, Contender] = {**present, **sessions}
        document = {
            "load": machine()["load"],
            "differing_integers": {
                name: differing(expected, run())
                for name, run in present.items()
                if name != OURS
            },
            "outputs": sum(array.size for array in expected.values()),
            "wall": documents(
                alternate(contenders, seconds=SECONDS, pause=PAUSE if threads > 1 else 0.0)
            ),
        }
        if threads == 1:
            document["processor"] = documents(processor_times(contenders))
        figures["threads"][str(threads)] = document
    figures["profile"] = profile_document(program)
    return figures


def processor_times(contenders: Mapping[str, Contender]) -> dict[str, Timing]:
    """Return the time that the processor spent on each, in which the runs of other programs do not count."""
    return alternate(contenders, seconds=PROCESSOR_SECONDS, clock=time.process_time)


def documents(timings: Mapping[str, Timing]) -> dict[str, dict[str, int | float]]:
    """Return timings as JSON has them."""
    return {name: timing.document() for name, timing in timings.items()}


def profile_document(program: IntegerProgram) -> list[dict[str, Any]]:
    """Return the least time of every kernel call, on one thread."""
    return [
        {
            "instruction": step.label,
            "kernel": step.entry,
            "multiply_accumulates": step.multiply_accumulates,
            "min_ms": round(timing.min_ms, 6),
        }
        for step, timing in profile(program, host_isa(), seconds=1.0)
    ]


def measured_peak() -> float | None:
    """Return GOP/s of the dot-product instruction on one thread; None where there is no such instruction."""
    peak = peak_run(host_isa())
    if peak is None:
        return None
    run, work = peak
    timing = alternate({"peak": run}, seconds=2.0)["peak"]
    return round(giga_operations(work, timing.min_ms), 1)


def main() -> None:
    """Measure every network and write the results."""
    logging.disable(
        logging.WARNING
    )  # quantize_static recommends a step that folds batch normalization itself
    results, wanted = RESULTS / "networks.json", sys.argv[1:]
    document: dict[str, Any] = {"networks": {}, "left_out": {}}
    if wanted:
        document |= json.loads(results.read_text(encoding="utf-8"))
    document |= {
        "machine": machine(),
        "isa": host_isa().name,
        "target": TARGET,
        "peak_gops": measured_peak(),
    }
    if importlib.util.find_spec("openvino") is None:
        document["left_out"][OPENVINO] = "not installed; pip install 'intlower[bench]'"
        print(f"{OPENVINO}: {document['left_out'][OPENVINO]}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [write(network, folder) for network in NETWORKS]
        paths += sorted(REAL_MODELS.glob("*.onnx"))
        for path in paths:
            if wanted and path.stem not in wanted:
                continue
            print(path.stem, file=sys.stderr, flush=True)
            try:
                document["networks"][path.stem] = measure(path, folder)
            except IntlowerError as error:
                document["left_out"][path.stem] = str(error)
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    results.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
