"""Makes the golden vectors: `PYTHONPATH=tests python -m golden.make_golden [TARGET...]`.

TARGET.npz holds what `intlower vectors` writes as a folder, for a small network with every operator that the target runs.
"index" is its index.json as UTF-8 bytes: the instructions in order, each with its kernel, attributes, constants and
tensors, which are the other arrays. Sample by sample the inputs are
    0, 1  the codes of the real numbers in "real.INPUT": midpoints between codes, which are ties of rounding, and the least
          and the greatest numbers and what is far outside of them;
    2..4  random codes;
    5     the least and the greatest code only.
Weights and inputs are small multiples of powers of two, so that the float network's sums, and with them the ranges, are
the same on every machine and in every order. Nothing here is trained and nothing is anybody's data.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from networks import NetworkBuilder
from numpy.typing import NDArray

from intlower.compiler.crosscheck import random_inputs
from intlower.compiler.discovery import load_target, target_names
from intlower.compiler.errors import CalibrationWarning
from intlower.compiler.grids import Grid
from intlower.compiler.pipeline import compile_model
from intlower.compiler.program import IntegerProgram
from intlower.data_files import write_npz
from intlower.vectors import file_name, index_text, make_vectors

FOLDER = Path(__file__).resolve().parent
COMMAND = "PYTHONPATH=tests python -m golden.make_golden"

SIZE = 8
INPUT = ("N", 2, SIZE, SIZE)
RANDOM_SAMPLES = 4  # the last one of which has extremes only
# Of operators that need some, beside the network below.
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "DepthToSpace": {"blocksize": 2},
    "SpaceToDepth": {"blocksize": 2},
    "Transpose": {"perm": [0, 2, 3, 1]},
}


class GoldenNetwork(NetworkBuilder):
    """A network of dyadic numbers, drawn from the operators that are allowed.

    Attributes:
        drawn: names of the operators in it.
    """

    def __init__(self, operators: Collection[str]) -> None:
        super().__init__(seed=1)
        self.operators = operators
        self.drawn: set[str] = set()

    def node(
        self, operator: str, *inputs: str, name: str | None = None, **attributes: Any
    ) -> str:
        self.drawn.add(operator)
        return super().node(operator, *inputs, name=name, **attributes)

    def normal(self, *shape: int, scale: float = 1.0) -> str:
        """Add random multiples of 1/2 from -1 to 1, in the place of normal values."""
        return self.constant(self.random.integers(-2, 3, shape) / 2)

    def has(self, *operators: str) -> bool:
        return set(operators) <= set(self.operators)

    def bounded(self, x: str) -> str:
        """Bound a value to 0..6, or at least from below."""
        if self.has("Clip"):
            return self.clip(x, 0.0, 6.0)
        return self.relu(x) if self.has("Relu") else x


def _batch_norm(b: NetworkBuilder, x: str) -> str:
    numbers = (b.constant([value] * 4) for value in (0.5, 0.25, 1.0, 4.0))
    return b.node("BatchNormalization", x, *numbers, epsilon=0.0)


def _resize(b: NetworkBuilder, x: str) -> str:
    nearest = b.node("Resize", x, "", b.constant([1, 1, 2, 1]), mode="nearest")
    return b.node("Resize", nearest, "", b.constant([1, 1, 1, 2]), mode="linear")


# Float operators of the graph that several ONNX operators become, or that need constants: from a value to another.
PARTS: dict[str, Callable[[NetworkBuilder, str], str]] = {
    "BatchNormalization": _batch_norm,
    "Elementwise": lambda b, x: b.node("LeakyRelu", x, alpha=0.5),
    # So many that they are no slices.
    "Gather": lambda b, x: b.node("Gather", x, b.integers(*[0, 2] * 33), axis=1),
    "Maximum": lambda b, x: b.node("Max", x, b.constant(1.5)),
    "Minimum": lambda b, x: b.node("Min", x, b.constant(1.5)),
    "PRelu": lambda b, x: b.node("PRelu", x, b.constant([[[-0.5]], [[0]], [[0.5]], [[2]]])),
    "Reduce": lambda b, x: b.node("ReduceMean", x, axes=[1]),
    "Resize": _resize,
}


# Ranges after a division or a root come from float32, whose last bit may differ from machine to machine: those who test
# these operators compare executions with one another.
LEFT_OUT = frozenset({"Div", "InstanceNormalization", "LRN", "LayerNormalization"})


def golden_network(operators: Collection[str]) -> tuple[onnx.ModelProto, set[str]]:
    """Return a classifier with the operators of a target, and the names of those that are in it."""
    b = GoldenNetwork(operators)
    first = b.bounded(b.conv("image", 2, 4, 3, pads=[0, 1, 2, 1]))
    x = b.conv(first, 4, 4, 3, group=4, pads=[2, 2, 2, 2], dilations=[2, 2])
    x = b.relu(x) if b.has("Relu") else x
    x = b.conv(x, 4, 4, 1)
    if b.has("Add"):
        x = b.node("Add", x, first)
    x = residual = b.bounded(x)
    branches = [b.conv(x, 4, 4, 2, strides=[2, 2])]
    if b.has("MaxPool"):
        window = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]}
        branches.append(b.node("MaxPool", x, **window))
    if b.has("AveragePool"):
        branches.append(b.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2]))
    channels = 4
    x = branches[-1]
    if b.has("Concat"):
        x, channels = b.node("Concat", *branches, axis=1), 4 * len(branches)
    if b.has("Slice"):
        x = b.slice(x, [1, 0], [channels, 4], [1, 3], [3, 1])
        channels = len(range(1, channels, 3))
    if b.has("Pad"):
        x = b.pad(x, [0, 0, 1, 0, 0, 0, 1, 2])
    if b.has("Identity"):
        x = b.node("Identity", x)
    x = b.conv(x, channels, 4, 2, strides=[2, 2], pads=[0, 0, 0, 0])
    height, width = (3, 3) if b.has("Pad") else (2, 2)
    scores = []
    if b.has("Flatten", "Gemm"):
        flat = b.node("Flatten", x)
        scores.append(b.gemm(flat, 4 * height * width, 5))
    if b.has("GlobalAveragePool", "Reshape", "Gemm"):
        mean = b.node("GlobalAveragePool", residual)
        scores.append(b.gemm(b.node("Reshape", mean, b.integers(0, 4)), 4, 5))
    outputs = scores or [x]
    if len(scores) == 2 and b.has("Add"):
        outputs = [b.node("Add", *scores)]
    if scores and b.has("Softmax"):
        outputs[0] = b.node("Softmax", outputs[0], axis=1)
    # Whatever else the target runs, each on its own: by what is said of it, or as ONNX knows it by the same name.
    for name in sorted(set(operators) - b.drawn - LEFT_OUT):
        if name in PARTS:
            b.drawn.add(name)
            outputs.append(PARTS[name](b, residual))
        elif onnx.defs.has(name):
            arity = onnx.defs.get_schema(name).min_input
            if arity <= 2:
                operands = [first, residual][:arity]
                outputs.append(b.node(name, *operands, **ATTRIBUTES.get(name, {})))
    return b.model({"image": INPUT}, *outputs), b.drawn


def golden_program(target: str) -> IntegerProgram:
    """Return the network compiled for a target: the bare recipe, ranges from dyadic samples."""
    model, _ = golden_network(load_target(target).spec.operators)
    shape = (4, *(int(size) for size in INPUT[1:]))
    samples = np.random.default_rng(2).integers(-64, 65, shape) / np.float32(16)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # Four samples of noise: what a vendor's rule makes of them does not matter.
        warnings.simplefilter("ignore", CalibrationWarning)
        path = Path(folder) / "golden.onnx"
        onnx.save(model, path)
        return compile_model(
            path, target=target, samples={"image": samples.astype(np.float32)}, recipe="none"
        )


def midpoints(program: IntegerProgram, name: str) -> NDArray[np.float32]:
    """Return two samples of real numbers of an input: midpoints between levels, the ends, and past them."""
    tensor = program.tensors[name]
    shape = (2, *(size for size in tensor.shape[1:] if size is not None))
    levels = grid_levels(tensor.grid)
    places = np.linspace(0, len(levels) - 2, int(np.prod(shape))).round().astype(int)
    both = levels[places] / 2 + levels[places + 1] / 2
    reals = both.astype(np.float32)
    reals[:4] = (levels[0], levels[-1], -1e30, 1e30)
    return reals.reshape(shape)


def grid_levels(grid: Grid) -> NDArray[np.float64]:
    """Return the numbers of a grid in order; of 32-bit codes, some of them that follow one another."""
    if grid.dtype.itemsize > 2:
        codes = np.arange(-(1 << 15), 1 << 15).astype(grid.dtype)
    else:
        bits = np.arange(1 << (8 * grid.dtype.itemsize))
        codes = bits.astype(f"u{grid.dtype.itemsize}").view(grid.dtype)
    with np.errstate(invalid="ignore"):
        levels = np.unique(grid.dequantize(codes).astype(np.float64))
    low, high = grid.real_limits
    return levels[(levels >= low) & (levels <= high) & np.isfinite(levels)]


def golden_arrays(target: str) -> dict[str, NDArray[Any]]:
    """Return what a target's file holds, by name; see the top of this file."""
    program = golden_program(target)
    reals = {name: midpoints(program, name) for name in program.inputs}
    others = random_inputs(program, RANDOM_SAMPLES, seed=3)
    inputs = {
        name: np.concatenate([program.tensors[name].grid.quantize(reals[name]), others[name]])
        for name in program.inputs
    }
    vectors = make_vectors(program, inputs)
    return {
        "index": np.frombuffer(index_text(vectors.index).encode(), np.uint8),
        **{f"real.{file_name(name)}": array for name, array in reals.items()},
        **vectors.arrays,
    }


def golden_targets() -> tuple[str, ...]:
    """Return the targets that have a file: every installed one, and members of families with numbers of another kind."""
    return (*target_names(), "ristretto:precision=minifloat")


def golden_path(target: str) -> Path:
    """Return the path of a target's file."""
    return FOLDER / f"{file_name(target)}.npz"


def main(names: Sequence[str]) -> None:
    """Write the files of the named targets, or of all that have one."""
    for name in names or golden_targets():
        path = golden_path(name)
        write_npz(path, golden_arrays(name), compress=True)
        print(f"{path.name}: {path.stat().st_size:_} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
