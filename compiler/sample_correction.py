"""Bias correction by running the integer program on samples: what rounding and clipping do to each channel's mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.divergence import kl_divergence
from intlower.compiler.errors import DataError
from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph
from intlower.compiler.grids import ChannelGrid, uniform
from intlower.compiler.program import Instruction, IntegerProgram
from intlower.compiler.simulator import open_program, quantize_inputs, simulate

Arrays = Mapping[str, NDArray[Any]]

# Samples evaluated in float at once: every layer's output is held for so many.
BATCH = 4

# A layer's bias moves its mean only where its activation lets values through; where that is nowhere near, a bias that made
# up for it would be far too large.
LEAST_ACTIVE = 0.2

# The correction is kept where it lowers the divergence on samples that it has not seen to this share. Below a tenth it is
# within what 16 samples can tell.
GATE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleCorrection:
    """A program and what became of its correction.

    Attributes:
        program: corrected, or as it was where the gate refused.
        before: divergence from the float model on held-out samples.
        after: the same with the correction.
    """

    program: IntegerProgram
    before: float
    after: float

    @property
    def kept(self) -> bool:
        """Whether the gate let the correction through."""
        return self.after < GATE * self.before

    def describe(self) -> str:
        """Return the verdict in words."""
        verdict = "kept" if self.kept else "dropped"
        return (
            f"bias correction on samples {verdict}: held-out divergence {self.before:.4g} "
            f"to {self.after:.4g}"
        )


def correct_on_samples(
    program: IntegerProgram,
    graph: Graph,
    samples: Arrays,
    progress: Callable[[str], None] | None = None,
) -> SampleCorrection:
    """Return the program with biases that keep each channel's mean over samples, if that helps on other samples.

    Half of the samples correct, the other half judges. Layer by layer, on the outputs of those already corrected, with d
    the difference of a channel's mean (integer less float) over each sample, of mean m and squared standard error e:

        b -= m * max(0, 1 - e / m^2) / max(share of codes strictly inside the activation's bounds, LEAST_ACTIVE)

    The shrinking factor (James and Stein 1961, positive part) leaves alone what few samples do not show.
    Source: Nagel et al. 2019, Data-Free Quantization, appendix D (empirical bias correction); gate and shrinking are ours.

    Args:
        program: lowered from `graph`, with 32-bit biases in units of input scale times weight scale.
        graph: the prepared float network.
        samples: for each graph input, [N, ...] float32, N at least 2.
        progress: called with a line now and then.

    Raises:
        DataError: there are fewer than 2 samples, or the network fixes its batch.
    """
    count = min(len(array) for array in samples.values())
    if count < 2 or any(value.shape[0] is not None for value in graph.inputs):
        raise DataError(
            "bias correction on samples takes 2 samples at least, and a network with a free batch",
            "leave out the step 'correct_on_samples'",
        )
    seen = {name: array[: count // 2] for name, array in samples.items()}
    held_out = {name: array[count // 2 : count] for name, array in samples.items()}
    corrected = _corrected(program, _float_means(graph, seen), seen, progress)
    expected = evaluate(graph, held_out, batch_size=BATCH)
    before, after = (_divergence(graph, p, held_out, expected) for p in (program, corrected))
    found = SampleCorrection(program=corrected, before=before, after=after)
    return found if found.kept else replace(found, program=program)


def _corrected(
    program: IntegerProgram,
    float_means: Arrays,
    samples: Arrays,
    progress: Callable[[str], None] | None,
) -> IntegerProgram:
    """Return the program with every bias corrected, whatever it does to other samples."""
    codes = dict(quantize_inputs(program, samples))
    last = {
        name: i
        for i, instruction in enumerate(program.instructions)
        for name in instruction.inputs
    }
    corrected: list[Instruction] = []
    for i, instruction in enumerate(program.instructions):
        if progress is not None:
            progress(f"correct on samples, {i} of {len(program.instructions)}")
        output = _run(program, instruction, codes)
        if "bias" in instruction.constants and instruction.output in float_means:
            instruction = _with_correction(
                program, instruction, output, float_means[instruction.output]
            )
            output = _run(program, instruction, codes)
        corrected.append(instruction)
        codes[instruction.output] = output
        codes = {name: array for name, array in codes.items() if last.get(name, -1) > i}
    return replace(program, instructions=tuple(corrected))


def _run(program: IntegerProgram, instruction: Instruction, codes: Arrays) -> NDArray[Any]:
    """Return what one instruction computes."""
    inputs = tuple(dict.fromkeys(instruction.inputs))
    alone = replace(
        program,
        inputs=inputs,
        outputs=(instruction.output,),
        tensors={name: program.tensors[name] for name in (*inputs, instruction.output)},
        instructions=(instruction,),
        host=(),
    )
    return open_program(alone).run({name: codes[name] for name in inputs})[instruction.output]


def _with_correction(
    program: IntegerProgram,
    instruction: Instruction,
    codes: NDArray[Any],
    float_means: NDArray[np.float64],
) -> Instruction:
    grid = program.tensors[instruction.output].grid
    difference = _channel_means(grid.dequantize(codes)) - float_means
    mean = difference.mean(axis=0)
    squared_error = difference.var(axis=0) / max(len(difference) - 1, 1)
    trust = np.maximum(0.0, 1 - squared_error / np.maximum(mean**2, 1e-30))
    column = (1, -1, *(1,) * (codes.ndim - 2))
    low, high = (
        instruction.constants[name].array.reshape(column) for name in ("minimum", "maximum")
    )
    active = _channel_means(((codes > low) & (codes < high)).astype(np.float32)).mean(axis=0)
    change = -mean * trust / np.maximum(active, LEAST_ACTIVE)
    weight_grid = instruction.weight_grid
    assert weight_grid is not None  # an instruction with a bias has weights
    source = uniform(program.tensors[instruction.inputs[0]].grid, instruction.inputs[0])
    if not isinstance(weight_grid, ChannelGrid):
        weight_grid = uniform(weight_grid, instruction.name)
    scales = weight_grid.scale.array
    unit = scales.astype(np.float64) * float(source.scale.array)
    bias = instruction.constants["bias"].array.astype(np.int64)
    bias = bias + np.rint(change / unit).astype(np.int64)
    constants = {**instruction.constants, "bias": Constant.of(bias, np.int32)}
    return replace(instruction, constants=constants)


def _float_means(graph: Graph, samples: Arrays) -> dict[str, NDArray[np.float64]]:
    """Return the mean of each channel of each value over each sample: [N, C]."""
    values = [node.output for node in graph.nodes if len(node.inputs) > 1]
    parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in values}
    for start in range(0, len(next(iter(samples.values()))), BATCH):
        batch = {name: array[start : start + BATCH] for name, array in samples.items()}
        for name, array in evaluate(graph, batch, keep=set(values)).items():
            parts[name].append(_channel_means(array))
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def _channel_means(array: NDArray[Any]) -> NDArray[np.float64]:
    """[N, C, ...] to [N, C]."""
    flat = array.reshape(*array.shape[:2], -1)
    return np.asarray(flat.mean(axis=2, dtype=np.float64))


def _divergence(
    graph: Graph, program: IntegerProgram, samples: Arrays, expected: Arrays
) -> float:
    found = simulate(program, samples)
    name = graph.outputs[0]
    scores = expected[name].reshape(len(expected[name]), -1)
    # A softmax in integers gives probabilities on a grid; one on the host does not, and its name is no tensor's.
    step = program.tensors[name].grid.step if name in program.tensors else 0.0
    return kl_divergence(scores, found[name].reshape(scores.shape), step)
