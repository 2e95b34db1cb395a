"""Hypothesis strategies: random integer programs that obey every rule, and codes to run them on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.grid import UniformGrid
from intlower.compiler.operators import AveragePool, Concat, Conv, MaxPool, Pad, Shape, Slice
from intlower.compiler.program import Instruction, IntegerProgram, Origin, Tensor
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import OPERATORS, ElementType, KernelKey, Requantize

EIGHT_BITS = (ElementType.INT8, ElementType.UINT8)
FEATURE_OPERATORS = (
    "conv2d",
    "add",
    "average_pool",
    "requantize",
    "max_pool",
    "concat",
    "pad",
    "slice",
    "reshape",
    "softmax",
)
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


class _Builder:
    """A program under construction: every method adds one instruction that obeys the rules."""

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
        if self.requantize is Requantize.F32EVEN:
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
            limit = 24 if self.requantize is Requantize.F32EVEN else 31
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

    def conv2d(self, x: str) -> str:
        channels, height, width = self.sizes(x)
        kind = self.draw(st.sampled_from(["plain", "plain", "depthwise", "grouped"]))
        divisors = [g for g in range(1, channels + 1) if channels % g == 0]
        groups = {
            "plain": lambda: 1,
            "depthwise": lambda: channels,
            "grouped": lambda: self.draw(st.sampled_from(divisors)),
        }[kind]()
        if kind == "depthwise" and self.draw(st.booleans()):
            outputs = channels
        else:
            outputs = groups * self.integer(1, max(1, 20 // groups))
        pads = tuple(self.integer(0, 2) for _ in range(4))
        dilations = self.integer(1, 2), self.integer(1, 2)
        rows = (height + pads[0] + pads[2] - 1) // dilations[0] + 1
        columns = (width + pads[1] + pads[3] - 1) // dilations[1] + 1
        kernel = self.integer(1, min(rows, 5)), self.integer(1, min(columns, 5))
        operator = Conv(
            strides=(self.integer(1, 3), self.integer(1, 3)),
            pads=(pads[0], pads[1], pads[2], pads[3]),
            dilations=dilations,
            groups=groups,
        )
        weights_shape = (outputs, channels // groups, *kernel)
        key, constants, attributes = self.weighted(x, weights_shape)
        attributes |= {
            "strides": operator.strides,
            "pads": operator.pads,
            "dilations": operator.dilations,
            "groups": groups,
        }
        shape = operator.output_shape([self.shape(x), weights_shape])
        return self.emit(key, [x], shape, constants, attributes)

    def gemm(self, x: str) -> str:
        outputs = self.integer(1, 40)
        key, constants, attributes = self.weighted(x, (outputs, self.sizes(x)[0]))
        return self.emit(key, [x], (self.batch, outputs), constants, attributes)

    def add(self, x: str) -> str:
        activation, output = self.element(x), self.output_element()
        peers = [
            name
            for name, tensor in self.tensors.items()
            if tensor.shape == self.shape(x) and tensor.grid.element is activation
        ]
        zero_points = self.zero_point(activation), self.zero_point(activation)
        if self.requantize is Requantize.F32EVEN:
            multiplier = tuple(self.integer(1 << 23, (1 << 24) - 1) for _ in range(2))
            base = self.integer(1, 48)
            shift: tuple[int, ...] = (base + self.integer(0, 14), base + self.integer(0, 14))
            if self.draw(st.booleans()):
                shift = self.integer(21, 25), self.integer(21, 25)
            left_shift = 0
        else:
            narrow = activation in EIGHT_BITS
            left_shift = 20 if narrow else 13
            multiplier = tuple(self.integer(1 << 30, (1 << 31) - 1) for _ in range(3))
            shift = (
                self.integer(31, 40),
                self.integer(31, 40),
                self.integer(28, 34) + left_shift,
            )
        low, high = self.clamps(output, 1)
        key = KernelKey(
            operator="add", activation=activation, output=output, requantize=self.requantize
        )
        attributes = {
            "multiplier": multiplier,
            "shift": shift,
            "left_shift": left_shift,
            "input_zero_points": zero_points,
            "output_zero_point": self.zero_point(output),
            "minimum": int(low[0]),
            "maximum": int(high[0]),
        }
        other = self.draw(st.sampled_from(peers))
        return self.emit(key, [x, other], self.shape(x), attributes=attributes)

    def average_pool(self, x: str) -> str:
        activation, output = self.element(x), self.output_element()
        kernel, strides, pads = self.window(x)
        pool = AveragePool(
            kernel_shape=kernel, strides=strides, pads=(pads[0], pads[1], pads[2], pads[3])
        )
        shape = pool.output_shape([self.shape(x)])
        per_position = self.draw(st.booleans())
        positions = (shape[2] or 1, shape[3] or 1) if per_position else (1, 1)
        bound = kernel[0] * kernel[1] * (activation.limits[1] - activation.limits[0])
        multiplier, shift = self.scale(bound, positions[0] * positions[1])
        low, high = self.clamps(output, 1)
        key = KernelKey(
            operator="average_pool",
            activation=activation,
            output=output,
            requantize=self.requantize,
        )
        constants = {
            "multiplier": Constant.of(multiplier.reshape(positions), np.int32),
            "shift": Constant.of(shift.reshape(positions), np.int32),
        }
        attributes = {
            "kernel_shape": kernel,
            "strides": strides,
            "pads": pads,
            "input_zero_point": self.zero_point(activation),
            "output_zero_point": self.zero_point(output),
            "minimum": int(low[0]),
            "maximum": int(high[0]),
        }
        return self.emit(key, [x], shape, constants, attributes)

    def requantize_(self, x: str) -> str:
        activation, output = self.element(x), self.output_element()
        bound = activation.limits[1] - activation.limits[0]
        multiplier, shift = self.scale(bound, 1)
        low, high = self.clamps(output, 1)
        key = KernelKey(
            operator="requantize",
            activation=activation,
            output=output,
            requantize=self.requantize,
        )
        attributes = {
            "multiplier": int(multiplier[0]),
            "shift": int(shift[0]),
            "input_zero_point": self.zero_point(activation),
            "output_zero_point": self.zero_point(output),
            "minimum": int(low[0]),
            "maximum": int(high[0]),
        }
        return self.emit(key, [x], self.shape(x), attributes=attributes)

    def keeping(self, operator: str, x: str) -> KernelKey:
        return KernelKey(operator=operator, activation=self.element(x), output=self.element(x))

    def max_pool(self, x: str) -> str:
        kernel, strides, pads = self.window(x)
        pool = MaxPool(
            kernel_shape=kernel, strides=strides, pads=(pads[0], pads[1], pads[2], pads[3])
        )
        attributes = {
            "kernel_shape": kernel,
            "strides": strides,
            "pads": pads,
            "dilations": pool.dilations,
        }
        shape = pool.output_shape([self.shape(x)])
        return self.emit(self.keeping("max_pool", x), [x], shape, attributes=attributes)

    def concat(self, x: str) -> str:
        axis = self.integer(1, len(self.shape(x)) - 1)
        peers = [
            name
            for name, tensor in self.tensors.items()
            if tensor.shape[:axis] == self.shape(x)[:axis]
            and tensor.shape[axis + 1 :] == self.shape(x)[axis + 1 :]
            and len(tensor.shape) == len(self.shape(x))
            and tensor.grid.element is self.element(x)
        ]
        others = [self.draw(st.sampled_from(peers)) for _ in range(self.integer(0, 2))]
        inputs = [x, *others]
        shape = Concat(axis=axis).output_shape([self.shape(name) for name in inputs])
        return self.emit(self.keeping("concat", x), inputs, shape, attributes={"axis": axis})

    def pad(self, x: str) -> str:
        rank = len(self.shape(x))
        begins = (0, *(self.integer(0, 2) for _ in range(rank - 1)))
        ends = (0, *(self.integer(0, 2) for _ in range(rank - 1)))
        low, high = self.element(x).limits
        attributes = {"pads": (*begins, *ends), "value": self.integer(low, high)}
        shape = Pad(pads=(*begins, *ends)).output_shape([self.shape(x)])
        return self.emit(self.keeping("pad", x), [x], shape, attributes=attributes)

    def slice(self, x: str) -> str:
        rank = len(self.shape(x))
        axes = tuple(sorted(self.draw(st.sets(st.integers(1, rank - 1), min_size=1))))
        starts, ends, steps = [], [], []
        for axis in axes:
            size = self.shape(x)[axis] or 1
            first, last = sorted((self.integer(0, size - 1), self.integer(0, size - 1)))
            backward = self.draw(st.booleans())
            steps.append(self.integer(1, 2) * (-1 if backward else 1))
            starts.append(last if backward else first)
            ends.append((first - 1 if first else -(1 << 40)) if backward else last + 1)
        attributes = {
            "starts": tuple(starts),
            "ends": tuple(ends),
            "axes": axes,
            "steps": tuple(steps),
        }
        shape = Slice(**attributes).output_shape([self.shape(x)])
        return self.emit(self.keeping("slice", x), [x], shape, attributes=attributes)

    def reshape(self, x: str, flat: bool = False) -> str:
        sizes = self.sizes(x)
        total = int(np.prod(sizes))
        divisors = [d for d in range(1, total + 1) if total % d == 0]
        first = self.draw(st.sampled_from(divisors))
        rest = total // first
        second = self.draw(st.sampled_from([d for d in divisors if rest % d == 0]))
        choices = [(total,), (first, rest), (first, second, rest // second), sizes[::-1]]
        wanted = choices[0] if flat else self.draw(st.sampled_from(choices))
        shape = (self.batch, *wanted)
        attributes = {"shape": (0, *wanted)}
        return self.emit(self.keeping("reshape", x), [x], shape, attributes=attributes)

    def softmax(self, x: str) -> str:
        low, high = self.element(x).limits
        differences = np.arange(high - low + 1)
        table = np.rint(2.0**16 * np.exp(-differences / self.integer(1, 64)))
        attributes = {
            "axis": self.integer(1, len(self.shape(x)) - 1),
            "maximum": self.integer(1, high),
        }
        constants = {"table": Constant.of(table, np.int32)}
        return self.emit(self.keeping("softmax", x), [x], self.shape(x), constants, attributes)

    def step(self, operator: str, x: str) -> str:
        """Add one instruction on a tensor; what needs another rank reshapes it first."""
        rank = len(self.shape(x))
        if operator == "gemm" and rank != 2:
            x = self.reshape(x, flat=True)
        if operator in ("conv2d", "max_pool", "average_pool") and rank != 4:
            total = int(np.prod(self.sizes(x)))
            channels = next(d for d in (4, 3, 2, 1) if total % d == 0)
            wanted = (channels, total // channels, 1)
            x = self.emit(
                self.keeping("reshape", x),
                [x],
                (self.batch, *wanted),
                attributes={"shape": (0, *wanted)},
            )
        method = "requantize_" if operator == "requantize" else operator
        result: str = getattr(self, method)(x)
        return result

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


@st.composite
def instructions(
    draw: Draw,
    operator: str | None = None,
    elements: Sequence[ElementType] = EIGHT_BITS,
    requantizations: Sequence[Requantize] = tuple(Requantize),
    largest_side: int = 9,
) -> IntegerProgram:
    """Programs around one instruction (a reshape may stand before it, so that the rank fits)."""
    builder = _Builder(draw, elements, requantizations)
    name = operator or draw(st.sampled_from(sorted(OPERATORS)))
    _features(builder, 1 if name != "add" else 2, name, largest_side)
    builder.step(name, "input_0")
    return builder.build()


@st.composite
def programs(
    draw: Draw,
    elements: Sequence[ElementType] = EIGHT_BITS,
    requantizations: Sequence[Requantize] = tuple(Requantize),
    most: int = 7,
    largest_side: int = 7,
) -> IntegerProgram:
    """Programs of several instructions that read any tensor made before them."""
    builder = _Builder(draw, elements, requantizations)
    _features(builder, builder.integer(1, 2), None, largest_side)
    for _ in range(builder.integer(1, most)):
        x = builder.draw(st.sampled_from(sorted(builder.tensors)))
        size = int(np.prod(builder.sizes(x)))
        choices = (
            ["conv2d", "requantize", "slice"]
            if size > 2000
            else [*FEATURE_OPERATORS, "conv2d", "gemm"]
        )
        builder.step(builder.draw(st.sampled_from(choices)), x)
    return builder.build()


def _features(builder: _Builder, count: int, operator: str | None, largest_side: int) -> None:
    element = builder.output_element()
    shape: tuple[int, ...] = (
        builder.integer(1, 12),
        builder.integer(1, largest_side),
        builder.integer(1, largest_side),
    )
    if operator == "gemm":
        shape = (builder.integer(1, 70),)
    elif operator not in (None, "conv2d", "average_pool", "max_pool"):
        rank = builder.integer(1, 4)
        shape = (*shape, 2)[:rank]
    for _ in range(count):
        builder.new_input(shape, element)


def draw_codes(program: IntegerProgram, seed: int, mode: int) -> dict[str, NDArray[Any]]:
    """Return input codes: random (0), both ends (1), all least (2) or all greatest (3)."""
    generator = np.random.default_rng(seed)
    samples = int(generator.integers(1, 3, endpoint=True))
    codes = {}
    for name in program.inputs:
        tensor = program.tensors[name]
        batch = tensor.shape[0]
        count = samples if batch is None else batch * (1 + samples % 2)
        shape = (count, *(d for d in tensor.shape[1:] if d is not None))
        low, high = tensor.grid.limits
        codes[name] = integers_like(generator, mode, low, high, shape).astype(tensor.grid.dtype)
    return codes


def codes_for(program: IntegerProgram) -> st.SearchStrategy[dict[str, NDArray[Any]]]:
    """Input codes of a program, of one to four samples."""
    return st.builds(
        lambda seed, mode: draw_codes(program, seed, mode),
        st.integers(0, 2**32 - 1),
        st.sampled_from([0, 0, 0, 1, 2, 3]),
    )
