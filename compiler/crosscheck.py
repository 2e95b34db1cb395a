"""Proving that other executions of a program give the same integers, bit for bit.

The engine under test is the Numba one (`simulator.py`). Its yardsticks: onnxruntime, which runs the artifact's own ONNX
functions, and the NumPy oracle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from intlower.compiler.artifact import open_artifact, parse, to_model
from intlower.compiler.errors import ArtifactError, IntlowerError, SimulationMismatch
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import check_codes, open_program, run_reference

Codes = NDArray[Any]
Engine = Callable[[Mapping[str, Codes]], Mapping[str, Codes]]

YARDSTICKS = ("onnxruntime", "reference")

# The elements of one activation that a batch may hold: onnxruntime keeps several int64 copies of one.
_BATCH_ELEMENTS = 1 << 22
_LARGEST_BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """The first differing integer, in program order.

    Attributes:
        engine: who differs from the oracle: "numba", "onnxruntime" or what `compare` was told.
        instruction: name of the first instruction whose output differs.
        index: of the first differing element of that output.
        expected: the oracle's code there (the bits, where codes are floats).
        actual: the engine's.
    """

    engine: str
    instruction: str
    index: tuple[int, ...]
    expected: int
    actual: int

    def error(self) -> SimulationMismatch:
        """Return the mismatch as an error to raise."""
        return SimulationMismatch(
            instruction=self.instruction,
            index=self.index,
            expected=self.expected,
            actual=self.actual,
            against=self.engine,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How many integers of two executions were compared, and how many differ.

    Attributes:
        against: who was compared with.
        compared: number of integers compared.
        mismatches: number of those that differ.
        first: the first difference inside the program, where there is one.
    """

    against: str
    compared: int
    mismatches: int
    first: Mismatch | None = None


def run_onnxruntime(
    program: IntegerProgram | Path | bytes,
    inputs: Mapping[str, Codes],
    *,
    optimize: bool = True,
    keep_all: bool = False,
) -> dict[str, Codes]:
    """Return the integers that onnxruntime computes from the program's ONNX functions.

    Args:
        program: an integer program, the path of an artifact, or its bytes.
        inputs: one array of codes for each input, batch first.
        optimize: with onnxruntime's graph optimizations, or without any.
        keep_all: return every tensor, not only the outputs.

    Raises:
        ArtifactError: the file is not an artifact, or onnxruntime cannot run it.
        DataError: an input is missing or has the wrong shape, type or range.
    """
    if isinstance(program, Path):
        program = open_artifact(program)
    elif isinstance(program, bytes):
        program = parse(program)
    return OnnxruntimeWitness(program, optimize=optimize, keep_all=keep_all).run(inputs)


class OnnxruntimeWitness:
    """A program opened in onnxruntime on the CPU."""

    def __init__(
        self, program: IntegerProgram, *, optimize: bool = True, keep_all: bool = False
    ) -> None:
        self.program = program
        self.keep_all = keep_all
        model = to_model(program)
        if keep_all:
            model.graph.output.extend(model.graph.value_info)
            del model.graph.value_info[:]
        self.outputs = [value.name for value in model.graph.output]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = (
            levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
        )
        try:
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions have no public base class
            raise ArtifactError(f"onnxruntime cannot load the program: {error}") from error

    def run(self, inputs: Mapping[str, Codes]) -> dict[str, Codes]:
        """Return the codes of the outputs (of every tensor, if so opened).

        Raises:
            ArtifactError: onnxruntime fails.
            DataError: an input is missing or has the wrong shape, type or range.
        """
        codes = check_codes(self.program, inputs)
        pieces = [self._run(piece) for piece in _pieces(self.program, codes, _samples(codes))]
        results = {
            name: np.concatenate([piece[name] for piece in pieces]) for name in self.outputs
        }
        return {**codes, **results} if self.keep_all else results

    def _run(self, codes: Mapping[str, Codes]) -> dict[str, Codes]:
        try:
            arrays = self._session.run(self.outputs, dict(codes))
        except Exception as error:  # as above
            raise ArtifactError(f"onnxruntime cannot run the program: {error}") from error
        return dict(zip(self.outputs, arrays, strict=True))


def compare(
    program: IntegerProgram,
    inputs: Mapping[str, Codes],
    actual: Engine | Mapping[str, Codes],
    against: str,
) -> Comparison:
    """Return how somebody's integers differ from the oracle's.

    Args:
        program: what was run.
        inputs: the codes that it was run on.
        actual: the results by tensor name, or a function of the inputs that gives them. The program's outputs must be
            among them; with all its tensors, the first difference is found where it arises.
        against: whose integers they are.
    """
    expected = run_reference(program, inputs, keep_all=True)
    results = actual(inputs) if callable(actual) else actual
    mismatches = _differing(program.outputs, expected, results)
    return Comparison(
        against=against,
        compared=sum(expected[name].size for name in program.outputs),
        mismatches=mismatches,
        first=_first_mismatch(program, expected, results, against) if mismatches else None,
    )


def verify(
    program: IntegerProgram,
    inputs: Mapping[str, Codes],
    against: Sequence[str] = YARDSTICKS,
    progress: Callable[[int, int], None] | None = None,
    others: Mapping[str, Engine] | None = None,
) -> dict[str, Comparison]:
    """Return how the Numba engine's integers, those of every tensor, differ from each yardstick's.

    The engine runs twice: once keeping every tensor, once as it does otherwise, with buffers that tensors share; outputs
    in which the two runs differ count as mismatches as well. Batches are a few samples, so that memory stays bounded.

    Args:
        program: what to run.
        inputs: one array of codes for each input, batch first.
        against: "onnxruntime", "reference", or both.
        progress: called with the numbers of samples done and of all.
        others: further yardsticks by name, that give every tensor.

    Raises:
        IntlowerError: a yardstick of another name.
        DataError: an input is missing or has the wrong shape, type or range.
    """
    for name in against:
        if name not in YARDSTICKS:
            raise IntlowerError(
                f"nothing called {name!r} to verify against",
                f"choose from {', '.join(YARDSTICKS)}",
            )
    codes = check_codes(program, inputs)
    simulator = open_program(program)
    engines: dict[str, Engine] = {}
    if "onnxruntime" in against:
        engines["onnxruntime"] = OnnxruntimeWitness(program, keep_all=True).run
    if "reference" in against:
        engines["reference"] = lambda batch: run_reference(program, batch, keep_all=True)
    engines |= others or {}
    tensors = [instruction.output for instruction in program.instructions]
    results = {name: Comparison(against=name, compared=0, mismatches=0) for name in engines}
    done, total = 0, _samples(codes)
    for batch in _pieces(program, codes, _batch_size(program)):
        ours = simulator.run_all(batch)
        unstable = _differing(program.outputs, ours, simulator.run(batch))
        for name, engine in engines.items():
            theirs = engine(batch)
            mismatches = unstable + _differing(tensors, ours, theirs)
            first = results[name].first
            if mismatches and first is None:
                first = _located(program, batch, ours, theirs, name)
            results[name] = Comparison(
                against=name,
                compared=results[name].compared + sum(ours[tensor].size for tensor in tensors),
                mismatches=results[name].mismatches + mismatches,
                first=first,
            )
        done += _samples(batch)
        if progress is not None:
            progress(done, total)
    return results


def random_inputs(program: IntegerProgram, count: int, seed: int = 0) -> dict[str, Codes]:
    """Return random codes for every input: all codes alike likely, in every fourth sample only the two extremes.

    Args:
        program: whose inputs to make.
        count: number of samples, rounded up to whole batches where the batch is fixed.
        seed: of the random choice.
    """
    generator = np.random.default_rng(seed)
    inputs = {}
    for name in program.inputs:
        tensor = program.tensors[name]
        batch = tensor.shape[0] or 1
        shape = (-(-count // batch) * batch, *(d for d in tensor.shape[1:] if d is not None))
        codes = tensor.grid.random_codes(generator, shape, extreme=False)
        codes[3::4] = tensor.grid.random_codes(generator, codes[3::4].shape, extreme=True)
        inputs[name] = codes
    return inputs


def _differing(
    tensors: Sequence[str], expected: Mapping[str, Codes], actual: Mapping[str, Codes]
) -> int:
    """The number of integers that differ."""
    return sum(
        int(np.count_nonzero(_unequal(name, expected[name], actual[name]))) for name in tensors
    )


def _unequal(name: str, expected: Codes, actual: Codes) -> NDArray[np.bool_]:
    """Where two arrays of one tensor differ.

    Raises:
        ArtifactError: they do not even have the same shape and type.
    """
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        raise ArtifactError(
            f"tensor {name!r} is {actual.dtype}{list(actual.shape)} instead of "
            f"{expected.dtype}{list(expected.shape)}"
        )
    if expected.dtype.kind == "f":  # bits are compared, not numbers: -0 is not 0
        bits = f"u{expected.dtype.itemsize}"
        expected, actual = expected.view(bits), actual.view(bits)
    different: NDArray[np.bool_] = expected != actual
    return different


def _located(
    program: IntegerProgram,
    batch: Mapping[str, Codes],
    ours: Mapping[str, Codes],
    theirs: Mapping[str, Codes],
    against: str,
) -> Mismatch | None:
    """Return where the Numba engine leaves the oracle, or if it does not, where the yardstick does."""
    expected = run_reference(program, batch, keep_all=True)
    return _first_mismatch(program, expected, ours, "numba") or _first_mismatch(
        program, expected, theirs, against
    )


def _first_mismatch(
    program: IntegerProgram,
    expected: Mapping[str, Codes],
    actual: Mapping[str, Codes],
    engine: str,
) -> Mismatch | None:
    for instruction in program.instructions:
        name = instruction.output
        if name not in actual:
            continue
        places = np.argwhere(_unequal(name, expected[name], actual[name]))
        if places.size:
            index = tuple(int(i) for i in places[0])
            return Mismatch(
                engine=engine,
                instruction=instruction.name,
                index=index,
                expected=_integer(expected[name][index]),
                actual=_integer(actual[name][index]),
            )
    return None


def _integer(code: np.generic) -> int:
    """Return a code as an integer; a float's bits, since -0 and NaN have no other."""
    return int(code.view(f"u{code.itemsize}") if code.dtype.kind == "f" else code)


def _batch_size(program: IntegerProgram) -> int:
    largest = max(
        math.prod(d for d in tensor.shape[1:] if d is not None)
        for tensor in program.tensors.values()
    )
    return min(max(_BATCH_ELEMENTS // largest, 1), _LARGEST_BATCH)


def _pieces(
    program: IntegerProgram, codes: Mapping[str, Codes], size: int
) -> Iterator[dict[str, Codes]]:
    """Yield the samples in order, a fixed batch or else `size` at a time."""
    step = program.tensors[program.inputs[0]].shape[0] or size
    for start in range(0, _samples(codes), step):
        yield {name: array[start : start + step] for name, array in codes.items()}


def _samples(codes: Mapping[str, Codes]) -> int:
    return len(next(iter(codes.values())))
