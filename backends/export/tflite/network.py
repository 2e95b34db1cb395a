"""A program's tensors and constants in a .tflite model: layout, names, clamps, padding of windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.export.tflite.model import (
    Activation,
    Builtin,
    ModelWriter,
    Options,
    Padding,
    Quantization,
    options,
)
from intlower.compiler.errors import ExportError
from intlower.compiler.grids import UniformGrid, uniform
from intlower.compiler.operators import Shape
from intlower.compiler.program import Instruction, IntegerProgram
from intlower.kernels.signature import ElementType

# The axes of a [N, C, H, W] tensor in the order in which TFLite stores them, and back.
TO_NHWC = (0, 2, 3, 1)
TO_NCHW = (0, 3, 1, 2)

# The version of each operator that first has int8, and int16. Source: GetBuiltinOperatorVersion,
# tensorflow/compiler/mlir/lite/tools/versioning/op_version.cc.
_VERSIONS = {
    Builtin.ADD: (2, 3),
    Builtin.AVERAGE_POOL_2D: (2, 3),
    Builtin.BATCH_MATMUL: (2, 3),
    Builtin.CAST: (1, 1),
    Builtin.CONCATENATION: (2, 3),
    Builtin.CONV_2D: (3, 4),
    Builtin.DEPTHWISE_CONV_2D: (3, 5),
    Builtin.GATHER: (2, 4),
    Builtin.MAX_POOL_2D: (2, 3),
    Builtin.MAXIMUM: (2, 4),
    Builtin.MINIMUM: (2, 4),
    Builtin.MUL: (2, 4),
    Builtin.PAD: (2, 3),
    Builtin.PADV2: (2, 3),
    Builtin.QUANTIZE: (1, 2),
    Builtin.RESHAPE: (1, 1),
    Builtin.SOFTMAX: (2, 3),
    Builtin.STRIDED_SLICE: (2, 1),
    Builtin.TRANSPOSE: (2, 5),
}

# That of operators on more than four axes.
_VERSION_FIVE_AXES = {Builtin.PAD: 4, Builtin.PADV2: 4, Builtin.STRIDED_SLICE: 4}


def refuse(where: str, what: str, hint: str = "") -> ExportError:
    """Return the error that TFLite cannot express an instruction or a tensor."""
    return ExportError(f"tflite: {where!r} {what}", hint)


def stored_axes(rank: int) -> tuple[int, ...]:
    """Return the program's axes in the order of the file: images are [N, H, W, C] there, all else is as it is."""
    return TO_NHWC if rank == 4 else tuple(range(rank))


def stored_shape(shape: Shape) -> tuple[int | None, ...]:
    """Return the shape of a tensor in the file."""
    return tuple(shape[axis] for axis in stored_axes(len(shape)))


class Network:
    """A .tflite model in the making, of one program.

    Attributes:
        program: what is written.
        writer: where to.
    """

    def __init__(self, program: IntegerProgram) -> None:
        self.program = program
        self.writer = ModelWriter()
        for name in program.inputs:
            self.define(name)

    def grid(self, name: str) -> UniformGrid:
        """Return the grid of a tensor of the program."""
        return uniform(self.program.tensors[name].grid, name)

    def define(self, name: str) -> int:
        """Add a tensor of the program; return its index."""
        shape = stored_shape(self.program.tensors[name].shape)
        return self.like(name, name, shape)

    def temporary(self, name: str, like: str, shape: Sequence[int | None]) -> int:
        """Add a tensor on the grid of one of the program, under a name that the program does not have."""
        return self.like(self.writer.unique(name, self.program.tensors), like, shape)

    def like(self, name: str, like: str, shape: Sequence[int | None]) -> int:
        """Add a tensor on the grid of one of the program; return its index."""
        grid = self.grid(like)
        if grid.element not in (ElementType.INT8, ElementType.INT16):
            raise refuse(like, f"has {grid.element.dtype_name} codes", "compile for 'litert'")
        return self.writer.tensor(name, shape, grid.dtype, _quantization(grid))

    def constant(
        self, name: str, data: NDArray[Any], quantization: Quantization | None = None
    ) -> int:
        """Add a constant; return its index."""
        unique = self.writer.unique(name, self.program.tensors)
        return self.writer.tensor(unique, data.shape, data.dtype, quantization, data)

    def codes(self, name: str, data: Any, like: str) -> int:
        """Add constant codes on the grid of a tensor of the program; return its index."""
        grid = self.grid(like)
        return self.constant(name, np.asarray(data, grid.dtype), _quantization(grid))

    def integers(self, name: str, data: Any) -> int:
        """Add a constant vector or matrix of int32, such as a shape; return its index."""
        return self.constant(name, np.asarray(data, np.int32))

    def operator(
        self,
        builtin: Builtin,
        inputs: Sequence[int],
        output: int,
        chosen: Options | None,
        element: ElementType,
        axes: int = 4,
        version: int = 1,
    ) -> None:
        """Append an operator.

        Args:
            builtin: which.
            inputs: indices of tensors.
            output: index of a tensor.
            chosen: its options.
            element: of its codes.
            axes: of its greatest tensor.
            version: the least that other properties need.
        """
        first = _VERSIONS[builtin][element is ElementType.INT16]
        needed = _VERSION_FIVE_AXES.get(builtin, 1) if axes > 4 else 1
        self.writer.operator(builtin, max(first, needed, version), inputs, output, chosen)

    def clamped(self, instruction: Instruction, fused: bool) -> tuple[Activation, int]:
        """Return what to fuse into an operator, and the tensor for its result; what is left of the clamp is `finish`'s.

        Args:
            instruction: with minimum and maximum.
            fused: whether the operator can take an activation.
        """
        name = instruction.output
        low, high = limits(instruction)
        activation = self._activation(name, low, high) if fused else None
        least, greatest = self.grid(name).element.limits
        if (low <= least).all() and (high >= greatest).all():
            activation = Activation.NONE
        if activation is not None:
            return activation, self.define(name)
        shape = stored_shape(self.program.tensors[name].shape)
        return Activation.NONE, self.temporary(f"{name}/unclamped", name, shape)

    def finish(self, instruction: Instruction, result: int) -> None:
        """Limit a result to the instruction's clamp by MAXIMUM and MINIMUM, where `clamped` gave it another tensor."""
        name = instruction.output
        if self.writer.has(name):
            return
        low, high = limits(instruction)
        element = self.grid(name).element
        shape = stored_shape(self.program.tensors[name].shape)
        raised = bool((low > element.limits[0]).any())
        lowered = bool((high < element.limits[1]).any())
        if raised:
            target = (
                self.temporary(f"{name}/raised", name, shape) if lowered else self.define(name)
            )
            bound = self.codes(f"{name}/minimum", low, name)
            self.operator(Builtin.MAXIMUM, [result, bound], target, options(39, 0), element)
            result = target
        if lowered:
            bound = self.codes(f"{name}/maximum", high, name)
            target = self.define(name)
            self.operator(Builtin.MINIMUM, [result, bound], target, options(39, 0), element)

    def _activation(
        self, name: str, low: NDArray[np.int64], high: NDArray[np.int64]
    ) -> Activation | None:
        """Return the activation that clamps to just these codes, if there is one.

        Source: CalculateActivationRangeQuantized, tensorflow/lite/kernels/kernel_util.cc: RELU from the zero point,
        RELU6 to round(6 / scale) + zero point, in float32, ties away from zero.
        """
        grid = self.grid(name)
        least, greatest = grid.element.limits
        if not (low == max(grid.zero_point, least)).all():
            return None
        if (high == greatest).all():
            return Activation.RELU
        steps = float(np.float32(6) / grid.scale.array)
        six = min(int(np.floor(steps + 0.5)) + grid.zero_point, greatest)
        return Activation.RELU6 if (high == six).all() else None

    def padded(
        self,
        instruction: Instruction,
        extents: tuple[int, int],
        value: int,
    ) -> tuple[Padding, int]:
        """Return how to pad windows and what they read: the input, or a PAD of it where SAME and VALID are other pads.

        Args:
            instruction: with `strides` and `pads`.
            extents: of a window, (vertical, horizontal).
            value: the code of padding.
        """
        source = instruction.inputs[0]
        begins, ends, padding = self.window_pads(instruction, extents)
        index = self.writer.index(source)
        if padding is not None:
            return padding, index
        pads = (0, *begins, 0, 0, *ends, 0)
        return Padding.VALID, self.pad(f"{instruction.name}/padded", source, pads, value)

    def window_pads(
        self, instruction: Instruction, extents: tuple[int, int]
    ) -> tuple[list[int], list[int], Padding | None]:
        """Return the pads before and behind each of the two axes, and the name TFLite has for them, if any."""
        sizes = self.program.tensors[instruction.inputs[0]].shape[2:]
        windows = self.program.tensors[instruction.output].shape[2:]
        strides, pads = (instruction.attributes[key] for key in ("strides", "pads"))
        assert isinstance(strides, tuple)  # check_instruction proved it
        assert isinstance(pads, tuple)
        begins, ends, same, valid = [], [], True, True
        for axis in (0, 1):
            size, count, stride = sizes[axis] or 1, windows[axis] or 1, strides[axis]
            total = max((count - 1) * stride + extents[axis] - size, 0)
            begins.append(pads[axis])
            ends.append(max(total - pads[axis], 0))
            same &= count == -(-size // stride) and pads[axis] == total // 2
            valid &= pads[axis] == 0 and ends[axis] == 0
        if valid:
            return begins, ends, Padding.VALID
        return begins, ends, Padding.SAME if same else None

    def pad(self, name: str, source: str, pads: Sequence[int], value: int) -> int:
        """Append a PAD of a tensor of the program; return the index of its result.

        Args:
            name: of the result.
            source: of what is padded.
            pads: (begin..., end...) of the axes as they are stored.
            value: the code; real 0 needs no constant of its own.
        """
        stored = stored_shape(self.program.tensors[source].shape)
        rank = len(stored)
        shape = [
            None if size is None else size + pads[axis] + pads[axis + rank]
            for axis, size in enumerate(stored)
        ]
        if name in self.program.tensors:
            target = self.like(name, source, shape)
        else:
            target = self.temporary(name, source, shape)
        grid = self.grid(source)
        amounts = self.integers(f"{name}/pads", np.reshape(pads, (2, rank)).T)
        inputs = [self.writer.index(source), amounts]
        if value == grid.zero_point:
            self.operator(Builtin.PAD, inputs, target, options(22, 0), grid.element, rank)
            return target
        inputs.append(self.codes(f"{name}/value", [value], source))
        self.operator(Builtin.PADV2, inputs, target, options(43, 0), grid.element, rank)
        return target

    def transposed(self, name: str, source: int, like: str, shape: Shape, nhwc: bool) -> int:
        """Append a TRANSPOSE to [N, H, W, C], or to [N, C, H, W]; return the index of its result.

        Args:
            name: of the result.
            source: index of what is transposed.
            like: a tensor of the program, for the grid.
            shape: [N, C, H, W].
            nhwc: the order of the result.
        """
        order = TO_NHWC if nhwc else TO_NCHW
        result = tuple(shape[axis] for axis in TO_NHWC) if nhwc else shape
        target = (
            self.like(name, like, result)
            if name in self.program.tensors
            else self.temporary(name, like, result)
        )
        permutation = self.integers(f"{name}/permutation", order)
        element = self.grid(like).element
        self.operator(Builtin.TRANSPOSE, [source, permutation], target, options(26, 0), element)
        return target


def limits(instruction: Instruction) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return an instruction's least and greatest output codes, [1] or [O]."""
    if "minimum" in instruction.constants:
        low, high = (instruction.constants[key].array for key in ("minimum", "maximum"))
    else:
        low, high = (
            np.atleast_1d(instruction.attributes[key]) for key in ("minimum", "maximum")
        )
    low, high = low.astype(np.int64), high.astype(np.int64)
    if (low == low[0]).all() and (high == high[0]).all():
        return low[:1], high[:1]
    return low, high


def _quantization(grid: UniformGrid) -> Quantization:
    return Quantization(scale=grid.scale.array.reshape(1), zero_point=grid.zero_point)
