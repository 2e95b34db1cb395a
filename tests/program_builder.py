"""What random integer programs are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.grids import UniformGrid
from intlower.compiler.operators import Shape
from intlower.compiler.program import Instruction, IntegerProgram, Origin, Tensor
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import ElementType, KernelKey, Requantize

EIGHT_BITS = (ElementType.INT8, ElementType.UINT8)
ORIGIN = Origin(source_sha256="0" * 64, pipeline="()", calibration="none", seed=0)

Draw = Callable[[st.SearchStrategy[Any]], Any]


def grid_of(element: ElementType) -> UniformGrid:
    """Return a grid of an element type; its scale is of no matter to integers."""
    low, high = element.limits
    return UniformGrid(
        scale=Constant.of(0.0625, np.float32),
        zero_point=0,
        element=element,
        minimum=low,
        maximum=high,
        rounding=Rounding.HALF_EVEN,
    )


def integers_like(
    generator: np.random.Generator, mode: int, low: int, high: int, shape: tuple[int, ...]
) -> NDArray[np.int64]:
    """Return integers of [low, high]: any (0), both ends (1), the low end (2), the high end (3)."""
    if mode == 1:
        return np.where(generator.random(shape) < 0.5, low, high).astype(np.int64)
    if mode in (2, 3):
        return np.full(shape, low if mode == 2 else high, np.int64)
    return generator.integers(low, high, shape, endpoint=True)


class ProgramBuilder:
    """A program under construction, and what its instructions have in common."""

    def __init__(
        self,
        draw: Draw,
        elements: Sequence[ElementType],
        requantizations: Sequence[Requantize],
    ) -> None:
        self.draw = draw
        self.elements = elements
        self.requantize = draw(st.sampled_from(list(requantizations)))
        self.generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.tensors: dict[str, Tensor] = {}
        self.inputs: list[str] = []
        self.instructions: list[Instruction] = []
        self.batch: int | None = draw(st.sampled_from([None, None, 1, 2]))

    def integer(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def array(self, low: int, high: int, shape: tuple[int, ...], dtype: str) -> Constant:
        mode = self.draw(st.sampled_from([0, 0, 0, 1, 2, 3]))
        return Constant.of(integers_like(self.generator, mode, low, high, shape), dtype)

    def new_input(self, shape: tuple[int, ...], element: ElementType) -> str:
        name = f"input_{len(self.inputs)}"
        self.tensors[name] = Tensor(
            name=name, shape=(self.batch, *shape), grid=grid_of(element)
        )
        self.inputs.append(name)
        return name

    def emit(
        self,
        key: KernelKey,
        inputs: Sequence[str],
        shape: Shape,
        constants: dict[str, Constant] | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> str:
        number = len(self.instructions)
        output = f"t{number}"
        self.instructions.append(
            Instruction(
                name=f"{key.operator}_{number}",
                kernel=key,
                inputs=tuple(inputs),
                output=output,
                constants=constants or {},
                attributes=attributes or {},
                weight_grid=None if key.weight is None else grid_of(key.weight),
            )
        )
        self.tensors[output] = Tensor(name=output, shape=shape, grid=grid_of(key.output))
        return output

    def element(self, name: str) -> ElementType:
        return self.tensors[name].grid.element

    def shape(self, name: str) -> Shape:
        return self.tensors[name].shape

    def sizes(self, name: str) -> tuple[int, ...]:
        return tuple(d for d in self.shape(name)[1:] if d is not None)

    def zero_point(self, element: ElementType) -> int:
        if element in (ElementType.INT16, ElementType.INT8) and self.draw(st.booleans()):
            return 0
        low, high = element.limits
        return int(self.draw(st.sampled_from([low, high, self.integer(low, high)])))

    def output_element(self) -> ElementType:
        return ElementType(self.draw(st.sampled_from([e.value for e in self.elements])))

    def clamps(self, element: ElementType, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
        low, high = element.limits
        if self.draw(st.booleans()):
            return np.full(count, low), np.full(count, high)
        ends = np.sort(self.generator.integers(low, high, (2, count), endpoint=True), axis=0)
        return ends[0], ends[1]

    def scale(self, bound: int, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Multipliers and shifts that bring accumulators of [-bound, bound] near the codes.

        Some are at the limits of their range, where the rule's precondition admits them.
        """
        bits = max(bound, 1).bit_length()
        wild = self.draw(st.sampled_from([False, False, True]))
        if self.requantize.power_of_two:
            powers = self.generator.integers(0, 31 if wild else 3, count)
            shift = self.generator.integers(0, 63 if wild else bits + 2, count)
            return np.int64(1) << powers, shift
        if self.requantize.single_precision:
            multiplier = self.generator.integers(1 << 23, 1 << 24, count)
            shift = self.generator.integers(16 + bits, 22 + bits, count)
            if wild:
                shift = self.generator.integers(1, 63, count)
        else:
            multiplier = self.generator.integers(1 << 30, 1 << 31, count)
            shift = self.generator.integers(23 + bits, 30 + bits, count)
            if wild:
                # accumulator * 2**(31 - shift) stays an int32
                shift = self.generator.integers(max(1, bits), 63, count)
            shift = np.maximum(shift, bits)
        if wild:
            multiplier[self.generator.random(count) < 0.2] = 0
            limit = 24 if self.requantize.single_precision else 31
            multiplier[self.generator.random(count) < 0.2] = (1 << limit) - 1
        return multiplier, np.minimum(shift, 62)

    def window(self, x: str) -> tuple[tuple[int, int], tuple[int, int], tuple[int, ...]]:
        _, height, width = self.sizes(x)
        kernel = self.integer(1, min(3, height)), self.integer(1, min(3, width))
        strides = self.integer(1, 3), self.integer(1, 3)
        pads = tuple(self.integer(0, kernel[i % 2] - 1) for i in range(4))
        return kernel, strides, pads

    def weighted(
        self, x: str, weights_shape: tuple[int, ...]
    ) -> tuple[KernelKey, dict[str, Constant], dict[str, Any]]:
        activation, output = self.element(x), self.output_element()
        weight = self.draw(st.sampled_from(EIGHT_BITS))
        zero_point = self.zero_point(activation)
        weight_zero_point = 0
        if weight is ElementType.UINT8 or self.draw(st.integers(0, 3)) == 0:
            weight_zero_point = self.zero_point(weight)
        outputs = weights_shape[0]
        reach = max(abs(end - zero_point) for end in activation.limits)
        # No accumulator may overflow, which bounds the weights of 16-bit activations.
        most = (1 << 30) // (reach * int(np.prod(weights_shape[1:])))
        weights = self.array(
            max(weight.limits[0], weight_zero_point - most),
            min(weight.limits[1], weight_zero_point + most),
            weights_shape,
            weight.dtype_name,
        )
        magnitudes = np.abs(weights.array.astype(np.int64) - weight_zero_point)
        bound = reach * int(magnitudes.reshape(outputs, -1).sum(axis=1).max())
        room = min((1 << 31) - 1 - bound, max(bound, 1 << 10))
        bias = self.array(-room, room, (outputs,), "int32")
        if self.requantize is Requantize.F32BIAS:  # single precision holds it
            coarse = bias.array.astype(np.int64) >> 8 << 8
            bias = Constant.of(coarse, np.int32)
        multiplier, shift = self.scale(bound + room, outputs)
        minimum, maximum = self.clamps(output, outputs)
        key = KernelKey(
            operator="conv2d" if len(weights_shape) == 4 else "gemm",
            activation=activation,
            weight=weight,
            per_channel=bool(self.draw(st.booleans())),
            output=output,
            requantize=self.requantize,
        )
        constants = {
            "weights": weights,
            "bias": bias,
            "multiplier": Constant.of(multiplier, np.int32),
            "shift": Constant.of(shift, np.int32),
            "minimum": Constant.of(minimum, np.int32),
            "maximum": Constant.of(maximum, np.int32),
        }
        attributes = {
            "input_zero_point": zero_point,
            "weight_zero_point": weight_zero_point,
            "output_zero_point": self.zero_point(output),
        }
        return key, constants, attributes

    def keeping(self, operator: str, x: str) -> KernelKey:
        return KernelKey(operator=operator, activation=self.element(x), output=self.element(x))

    def build(self) -> IntegerProgram:
        read = {name for instruction in self.instructions for name in instruction.inputs}
        made = [instruction.output for instruction in self.instructions]
        unread = [name for name in made if name not in read]
        extra = [name for name in made if name in read and self.draw(st.integers(0, 5)) == 0]
        return IntegerProgram(
            target="random",
            inputs=tuple(self.inputs),
            outputs=(*unread, *extra),
            tensors=self.tensors,
            instructions=tuple(self.instructions),
            origin=ORIGIN,
        )
