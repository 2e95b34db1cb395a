"""Random programs of one half-precision instruction, for tests of all three executions."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from program_builder import ORIGIN, grid_of

from intlower.compiler.constant import Constant
from intlower.compiler.grids import Grid, HalfGrid
from intlower.compiler.program import Instruction, IntegerProgram, Tensor
from intlower.kernels.half_rule import HalfRule, Subnormals
from intlower.kernels.signature import ElementType, KernelKey

F16 = ElementType.FLOAT16

RULES = [
    HalfRule(half_sums=sums, subnormals=subnormals, saturate=saturate)
    for sums in (False, True)
    for subnormals in Subnormals
    for saturate in (False, True)
]


def halves(
    generator: np.random.Generator, mode: int, shape: tuple[int, ...], rule: HalfRule
) -> NDArray[Any]:
    """Return numbers that a rule admits: any bits (0), ordinary (1), extremes (2), near the flush (3), ties (4)."""
    grid = HalfGrid.of(rule)
    if mode == 0:
        return grid.random_codes(generator, shape, extreme=False)
    if mode == 2:
        return grid.random_codes(generator, shape, extreme=True)
    if mode == 3:
        return grid.quantize(
            generator.choice([-1.0, 1.0], shape)
            * generator.integers(900, 1200, shape)
            * 2.0**-24
        )
    if mode == 4:
        return grid.quantize(generator.integers(-2048, 2049, shape) / 1024)
    return grid.quantize(generator.standard_normal(shape))


@st.composite
def programs(draw: st.DrawFn, operators: tuple[str, ...]) -> IntegerProgram:
    """Return a program of one instruction of one of these operators."""
    return Maker(draw, draw(st.sampled_from(operators))).program()


class Maker:
    """Draws one instruction; each operator's method gives input shapes, the output's, constants and attributes."""

    def __init__(self, draw: st.DrawFn, operator: str) -> None:
        self.draw = draw
        self.operator = operator
        self.rule: HalfRule = draw(st.sampled_from(RULES))
        self.generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def integer(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def halves(self, *shape: int) -> Constant:
        return Constant(halves(self.generator, self.integer(0, 4), shape, self.rule))

    def bounds(self, channels: int) -> dict[str, Constant]:
        match self.integer(0, 3):
            case 0:
                low, high = np.full(channels, -np.inf), np.full(channels, np.inf)
            case 1:
                low, high = np.zeros(channels), np.full(channels, np.inf)
            case 2:
                low, high = np.zeros(channels), np.full(channels, 6.0)
            case _:
                low, high = np.sort(
                    self.generator.integers(-64, 65, (2, channels)) / 16, axis=0
                )
        return {
            "minimum": Constant.of(low, np.float16),
            "maximum": Constant.of(high, np.float16),
        }

    def image(self) -> tuple[int, int, int]:
        return self.integer(1, 5), self.integer(3, 7), self.integer(3, 7)

    def window(self, height: int, width: int) -> dict[str, tuple[int, ...]]:
        kernel = self.integer(1, min(3, height)), self.integer(1, min(3, width))
        return {
            "kernel_shape": kernel,
            "strides": (self.integer(1, 3), self.integer(1, 3)),
            "pads": tuple(self.integer(0, kernel[i % 2] - 1) for i in range(4)),
        }

    def program(self) -> IntegerProgram:
        shapes, output, constants, attributes = getattr(self, self.operator)()
        types = {
            "half_dequantize": (ElementType.INT32, F16),
            "half_quantize": (F16, ElementType.INT8),
        }
        source, target = types.get(self.operator, (F16, F16))
        weighted = "weights" in constants
        moves = self.operator in ("concat", "slice", "reshape")
        instruction = Instruction(
            name="it",
            kernel=KernelKey(
                operator=self.operator,
                activation=source,
                weight=F16 if weighted else None,
                output=target,
                half=None if moves else self.rule,
            ),
            inputs=tuple(f"x{i}" for i in range(len(shapes))),
            output="y",
            constants=constants,
            attributes=attributes,
            weight_grid=HalfGrid.of(self.rule) if weighted else None,
        )

        def tensor(name: str, shape: tuple[int, ...], element: ElementType) -> Tensor:
            grid: Grid = HalfGrid.of(self.rule) if element is F16 else grid_of(element)
            return Tensor(name=name, shape=(None, *shape), grid=grid)

        tensors = {f"x{i}": tensor(f"x{i}", shape, source) for i, shape in enumerate(shapes)}
        return IntegerProgram(
            target="random",
            inputs=instruction.inputs,
            outputs=("y",),
            tensors={**tensors, "y": tensor("y", output, target)},
            instructions=(instruction,),
            origin=ORIGIN,
        )

    def half_conv2d(self) -> Any:
        channels, height, width = self.image()
        groups = self.draw(st.sampled_from([1, 1, channels]))
        outputs = groups * self.integer(1, 3)
        window = self.window(height, width)
        kernel, pads = window.pop("kernel_shape"), window["pads"]
        window["dilations"] = tuple(
            self.integer(1, 2) if size >= 2 * extent else 1
            for size, extent in zip((height, width), kernel, strict=True)
        )
        rows, columns = (
            (size + pads[i] + pads[i + 2] - window["dilations"][i] * (kernel[i] - 1) - 1)
            // window["strides"][i]
            + 1
            for i, size in enumerate((height, width))
        )
        constants = {
            "weights": self.halves(outputs, channels // groups, *kernel),
            "bias": self.halves(outputs),
            **self.bounds(outputs),
        }
        attributes = {**window, "groups": groups}
        return [(channels, height, width)], (outputs, rows, columns), constants, attributes

    def half_gemm(self) -> Any:
        inputs, outputs = self.integer(1, 40), self.integer(1, 20)
        constants = {
            "weights": self.halves(outputs, inputs),
            "bias": self.halves(outputs),
            **self.bounds(outputs),
        }
        return [(inputs,)], (outputs,), constants, {}

    def half_add(self) -> Any:
        shape = self.draw(st.sampled_from([(3, 4, 5), (7,), (3, 5), ()]))
        return [shape, shape], shape, self.bounds(shape[0] if shape else 1), {}

    def half_clip(self) -> Any:
        shape = self.draw(st.sampled_from([(3, 4, 5), (7,), (3, 5)]))
        return [shape], shape, self.bounds(shape[0]), {}

    def half_average_pool(self) -> Any:
        channels, height, width = self.image()
        window = self.window(height, width)
        positions = self._positions(window, height, width)
        shape = self.draw(st.sampled_from([(1, 1), positions]))
        count = Constant.of(self.generator.integers(1, 12, shape), np.int32)
        constants = {"count": count, **self.bounds(channels)}
        return [(channels, height, width)], (channels, *positions), constants, window

    def half_max_pool(self) -> Any:
        channels, height, width = self.image()
        window = self.window(height, width)
        positions = self._positions(window, height, width)
        attributes = {**window, "dilations": (1, 1)}
        return [(channels, height, width)], (channels, *positions), {}, attributes

    def _positions(self, window: dict[str, Any], height: int, width: int) -> tuple[int, int]:
        kernel, strides, pads = window["kernel_shape"], window["strides"], window["pads"]
        return (
            (height + pads[0] + pads[2] - kernel[0]) // strides[0] + 1,
            (width + pads[1] + pads[3] - kernel[1]) // strides[1] + 1,
        )

    def half_pad(self) -> Any:
        pads = (
            0,
            *(self.integer(0, 2) for _ in range(3)),
            0,
            *(self.integer(0, 2) for _ in range(3)),
        )
        shape = tuple(3 + pads[i] + pads[i + 4] for i in (1, 2, 3))
        return [(3, 3, 3)], shape, {"value": self.halves(1)}, {"pads": pads}

    def half_dequantize(self) -> Any:
        shape = self.draw(st.sampled_from([(3, 4, 5), (7,)]))
        multiplier = self.generator.integers(0, 1 << 24, shape[0])
        shift = self.generator.integers(1, 63, shape[0])
        constants = {
            "multiplier": Constant.of(multiplier, np.int32),
            "shift": Constant.of(shift, np.int32),
            **self.bounds(shape[0]),
        }
        return [shape], shape, constants, {}

    def half_quantize(self) -> Any:
        attributes = {
            "multiplier": self.integer(1 << 23, (1 << 24) - 1),
            "shift": self.integer(16, 30),
            "output_zero_point": self.integer(-128, 127),
            "minimum": -128,
            "maximum": 127,
        }
        return [(3, 4, 5)], (3, 4, 5), {}, attributes

    def concat(self) -> Any:
        return [(2, 3, 3), (4, 3, 3)], (6, 3, 3), {}, {"axis": 1}

    def slice(self) -> Any:
        attributes = {"starts": (2, 0), "ends": (-100, 3), "axes": (1, 2), "steps": (-1, 2)}
        return [(3, 4, 4)], (3, 2, 4), {}, attributes

    def reshape(self) -> Any:
        return [(2, 3, 4)], (24,), {}, {"shape": (0, 24)}
