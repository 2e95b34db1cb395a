"""How random instructions on uniform grids are drawn: one method for each operator; `strategies.py` makes programs of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from program_builder import EIGHT_BITS, grid_of
from strategies_fixed_point import FixedPointOperators
from strategies_general import GeneralOperators

from intlower.compiler.constant import Constant
from intlower.compiler.grids import ChannelGrid
from intlower.compiler.operators import AveragePool, Concat, Conv, MaxPool, Pad, Slice
from intlower.kernels.signature import KernelKey, Requantize

ON_IMAGES = (
    "conv2d",
    "saturating_conv2d",
    "asymmetric_conv2d",
    "max_pool",
    "average_pool",
    "mean_pool",
    "resample",
    "lrn",
)


class UniformOperators(GeneralOperators, FixedPointOperators):
    """Every method adds one instruction that obeys the rules."""

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

    def saturating_conv2d(self, x: str) -> str:
        return self._saturating(self.conv2d(x))

    def saturating_gemm(self, x: str) -> str:
        return self._saturating(self.gemm(x))

    def _saturating(self, output: str) -> str:
        """Make the last instruction one whose sums saturate, often or never."""
        last = self.instructions[-1]
        bits = self.integer(16, 24)
        limit = 1 << (bits - 1)
        rule = last.kernel.requantize
        if rule is Requantize.F32BIAS:  # its bias is added after the sum
            rule = Requantize.F32EVEN
        bias = np.clip(last.constants["bias"].array, -limit, limit - 1)
        self.instructions[-1] = replace(
            last,
            kernel=replace(
                last.kernel, operator=f"saturating_{last.kernel.operator}", requantize=rule
            ),
            constants={**last.constants, "bias": Constant.of(bias, np.int32)},
            attributes={**last.attributes, "accumulator_bits": bits},
        )
        return output

    def asymmetric_conv2d(self, x: str) -> str:
        return self._asymmetric(self.conv2d(x))

    def asymmetric_gemm(self, x: str) -> str:
        return self._asymmetric(self.gemm(x))

    def _asymmetric(self, output: str) -> str:
        """Give each output channel of the last instruction a zero point, which moves its codes along."""
        last = self.instructions[-1]
        assert last.kernel.weight is not None
        attributes = dict(last.attributes)
        zero_point = attributes.pop("weight_zero_point")
        assert isinstance(zero_point, int)
        codes = last.constants["weights"].array.astype(np.int64)
        ends = np.column_stack([codes.reshape(len(codes), -1), np.full(len(codes), zero_point)])
        low, high = last.kernel.weight.limits
        generator = np.random.default_rng(self.integer(0, 2**32 - 1))
        moved = generator.integers(low - ends.min(axis=1), high - ends.max(axis=1) + 1)
        along = moved.reshape(-1, *(1,) * (codes.ndim - 1))
        grids = tuple(
            replace(grid_of(last.kernel.weight), zero_point=int(zero_point + step))
            for step in moved
        )
        self.instructions[-1] = replace(
            last,
            kernel=replace(
                last.kernel, operator=f"asymmetric_{last.kernel.operator}", per_channel=True
            ),
            constants={
                **last.constants,
                "weights": Constant.of(codes + along, last.kernel.weight.dtype_name),
                "weight_zero_points": Constant.of(zero_point + moved, np.int32),
            },
            attributes=attributes,
            weight_grid=ChannelGrid(channels=grids),
        )
        return output

    def add(self, x: str) -> str:
        activation, output = self.element(x), self.output_element()
        peers = [
            name
            for name, tensor in self.tensors.items()
            if tensor.shape == self.shape(x) and tensor.grid.element is activation
        ]
        zero_points = self.zero_point(activation), self.zero_point(activation)
        if self.requantize.power_of_two:
            multiplier: tuple[int, ...] = (1 << self.integer(0, 9), 1 << self.integer(0, 9))
            shift: tuple[int, ...] = (self.integer(0, 12),)
            left_shift = 0
        elif self.requantize is Requantize.MUL31SINGLE:
            multiplier = (self.integer(0, (1 << 31) - 1), self.integer(0, (1 << 31) - 1))
            shift = (self.integer(0, 30), self.integer(0, 30), self.integer(0, 10))
            left_shift = 0
        elif self.requantize.single_precision:
            multiplier = tuple(self.integer(1 << 23, (1 << 24) - 1) for _ in range(2))
            base = self.integer(1, 48)
            shift = (base + self.integer(0, 14), base + self.integer(0, 14))
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
            "maximum": self.draw(st.sampled_from([high + 1, self.integer(1, high)])),
        }
        constants = {"table": Constant.of(table, np.int32)}
        return self.emit(self.keeping("softmax", x), [x], self.shape(x), constants, attributes)

    def step(self, operator: str, x: str) -> str:
        """Add one instruction on a tensor; what needs another rank reshapes it first."""
        rank = len(self.shape(x))
        if operator.endswith("gemm") and rank != 2:
            x = self.reshape(x, flat=True)
        if operator in ON_IMAGES and rank != 4:
            total = int(np.prod(self.sizes(x)))
            channels = next(d for d in (4, 3, 2, 1) if total % d == 0)
            wanted = (channels, total // channels, 1)
            x = self.emit(
                self.keeping("reshape", x),
                [x],
                (self.batch, *wanted),
                attributes={"shape": (0, *wanted)},
            )
        if operator == "softmax_fixed" and self.element(x) not in EIGHT_BITS:
            operator = "softmax"  # it has no wider form
        method = "requantize_" if operator == "requantize" else operator
        result: str = getattr(self, method)(x)
        return result
