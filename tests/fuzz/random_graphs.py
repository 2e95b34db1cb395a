"""Random valid float networks over every operator that is read, from a seed."""

from __future__ import annotations

from typing import Any

import onnx
from fuzz.random_movement import MovementOperators

# One number each; domains are those on which the function is defined and not steep.
_FUNCTIONS = (
    *(
        "Abs",
        "Cos",
        "Erf",
        "HardSwish",
        "Mish",
        "Neg",
        "Sigmoid",
        "Sin",
        "Softplus",
        "Softsign",
    ),
    *("Tanh", "Celu", "Elu", "HardSigmoid", "LeakyRelu", "Selu", "ThresholdedRelu", "Relu"),
)
_STEPS = ("Ceil", "Floor", "Round", "Sign")
_REDUCTIONS = ("Mean", "Sum", "Max", "Min", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")


# What every target runs, be it a fixed-function engine.
PLAIN = (
    *3 * ("add_conv",),
    *2 * ("add_rectifier", "add_sum", "add_pool", "add_batch_norm"),
    *("add_gemm", "add_concat", "add_flat"),
)


class RandomGraph(MovementOperators):
    """A network that grows by random operators."""

    def add_function(self, x: str) -> str | None:
        operators = (*_FUNCTIONS, *_STEPS) if self._steps else _FUNCTIONS
        return self.propose(self.pick(*operators), x)

    def add_guarded_function(self, x: str) -> str | None:
        """Functions that are not defined, or steep, for some numbers."""
        match self.pick("Exp", "Log", "Sqrt", "Reciprocal", "Pow", "Div"):
            case "Exp":
                return self.propose("Exp", self.node_of("Tanh", x))
            case "Pow":
                return self.propose("Pow", self.node_of("Tanh", x), self.constant(2.0))
            case "Div":
                return self.propose("Div", x, self.constant(self.random.uniform(0.5, 2)))
            case operator:
                positive = self.node_of("Abs", x)
                shifted = self.propose("Add", positive, self.constant(0.5))
                return None if shifted is None else self.propose(operator, shifted)

    def add_clip(self, x: str) -> str | None:
        low = float(self.random.uniform(-2, 0.5))
        return self.propose("Clip", x, self.constant(low), self.constant(low + 1.5))

    def add_dropout(self, x: str) -> str | None:
        return self.propose(self.pick("Dropout", "Identity"), x)

    def add_prelu(self, x: str) -> str | None:
        shape = self.shapes[x]
        slope = self.normal(*(shape[1:2] + (1,) * (len(shape) - 2)), scale=0.3)
        return self.propose("PRelu", x, slope)

    def add_binary(self, x: str) -> str | None:
        """Two values of one shape, or broadcast."""
        operator = self.pick("Add", "Sub", "Mul", "Max", "Min", "Sum", "Mean")
        peers = [name for name in self.shapes if len(self.shapes[name]) == len(self.shapes[x])]
        pair = (x, self.pick(*peers))
        return self.propose(operator, *(pair if self.random.random() < 0.5 else pair[::-1]))

    def add_constant(self, x: str) -> str | None:
        """A value and a constant that broadcasts."""
        shape = [d if self.random.random() < 0.5 else 1 for d in self.shapes[x][1:]]
        shape = shape[self.integer(0, len(shape)) :]
        pair = (x, self.normal(*shape))
        operator = self.pick("Add", "Sub", "Mul", "Max", "Min")
        return self.propose(operator, *(pair if self.random.random() < 0.6 else pair[::-1]))

    def add_conv(self, x: str) -> str | None:
        shape = self.shapes[x]
        if len(shape) != 4:
            return None
        groups = self.pick(1, 1, 1, shape[1], *(g for g in (2, 3) if shape[1] % g == 0))
        outputs = groups * self.integer(1, max(2, 9 // groups))
        kernel = self.pick(1, 3, 3), self.pick(1, 2, 3, 5)
        fan_in = shape[1] // groups * kernel[0] * kernel[1]
        weights = self.normal(outputs, shape[1] // groups, *kernel, scale=fan_in**-0.5)
        biases = [self.normal(outputs, scale=0.3)] if self.random.random() < 0.6 else []
        placed = self._window(3) if self.random.random() < 0.8 else {"auto_pad": "SAME_UPPER"}
        dilations = [self.pick(1, 1, 2), self.pick(1, 1, 2)]
        if "auto_pad" in placed:
            dilations = [1, 1]
        return self.propose(
            "Conv", x, weights, *biases, group=groups, dilations=dilations, **placed
        )

    def _window(self, most: int) -> dict[str, Any]:
        return {
            "strides": [self.integer(1, 3), self.integer(1, 3)],
            "pads": [self.integer(0, most) for _ in range(4)],
        }

    def add_transposed(self, x: str) -> str | None:
        shape = self.shapes[x]
        if len(shape) != 4:
            return None
        groups = self.pick(1, 1, *(g for g in (2,) if shape[1] % g == 0))
        side = self.integer(1, 5)
        weights = self.normal(shape[1], self.integer(1, 5), side, side, scale=0.3)
        stride = self.integer(1, 4)
        extra = self.integer(0, stride)
        return self.propose(
            "ConvTranspose",
            x,
            weights,
            group=groups,
            strides=[stride, stride],
            pads=[self.integer(0, 2) for _ in range(4)],
            output_padding=[extra, extra],
        )

    def add_gemm(self, x: str) -> str | None:
        shape = self.shapes[x]
        if len(shape) != 2:
            return None
        outputs = self.integer(1, 17)
        turned = self.random.random() < 0.5
        weights = self.normal(
            *((outputs, shape[1]) if turned else (shape[1], outputs)), scale=0.4
        )
        biases = [self.normal(outputs)] if self.random.random() < 0.7 else []
        return self.propose("Gemm", x, weights, *biases, transB=int(turned))

    def add_matmul(self, x: str) -> str | None:
        shape = self.shapes[x]
        peers = [
            name
            for name, other in self.shapes.items()
            if len(other) == len(shape) > 2 and shape[-1] == other[-2]
        ]
        if peers and self.random.random() < 0.5:
            return self.propose("MatMul", x, self.pick(*peers))
        scale = shape[-1] ** -0.5
        return self.propose(
            "MatMul", x, self.normal(shape[-1], self.integer(1, 9), scale=scale)
        )

    def add_einsum(self, x: str) -> str | None:
        if len(self.shapes[x]) != 3:
            return None
        return self.pick(
            lambda: self.propose("Einsum", x, x, equation="nij,nkj->nik"),
            lambda: self.propose("Einsum", x, equation="nij->nji"),
            lambda: self.propose(
                "Einsum", x, self.normal(self.shapes[x][2], 3), equation="nij,jk->nik"
            ),
        )()

    def add_batch_norm(self, x: str) -> str | None:
        channels = self.shapes[x][1]
        return self.propose(
            "BatchNormalization",
            x,
            self.constant(self.random.uniform(0.5, 1.5, channels)),
            self.normal(channels, scale=0.3),
            self.normal(channels, scale=0.3),
            self.constant(self.random.uniform(0.5, 2.0, channels)),
        )

    def add_rectifier(self, x: str) -> str | None:
        if self.random.random() < 0.7:
            return self.propose("Relu", x)
        return self.propose("Clip", x, self.constant(0.0), self.constant(6.0))

    def add_sum(self, x: str) -> str | None:
        peers = [name for name in self.shapes if self.shapes[name] == self.shapes[x]]
        return self.propose("Add", x, self.pick(*peers))

    def add_flat(self, x: str) -> str | None:
        return self.propose("Flatten", x, axis=1)

    def add_normalization(self, x: str) -> str | None:
        shape = self.shapes[x]
        channels = shape[1]
        if len(shape) < 3 or self.random.random() < 0.4:
            return self.add_batch_norm(x)
        scale, shift = self.normal(channels), self.normal(channels)
        match self.pick("InstanceNormalization", "LRN", "LayerNormalization"):
            case "LRN":
                return (
                    self.propose("LRN", x, size=self.pick(1, 3, 5)) if len(shape) == 4 else None
                )
            case "LayerNormalization":
                if self.opset < 17:
                    return None
                last = shape[-1]
                return self.propose(
                    "LayerNormalization", x, self.normal(last), self.normal(last), axis=-1
                )
            case operator:
                return self.propose(operator, x, scale, shift)

    def add_pool(self, x: str) -> str | None:
        if len(self.shapes[x]) != 4:
            return None
        operator = self.pick("AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool")
        if operator.startswith("Global"):
            return self.propose(operator, x)
        kernel = [self.integer(1, 4), self.integer(1, 4)]
        window = self._window(1 + min(kernel) // 2)
        window["pads"] = [min(pad, min(kernel) - 1) for pad in window["pads"]]
        if operator == "AveragePool":
            window["count_include_pad"] = self.integer(0, 2)
        elif self.random.random() < 0.3:
            window["dilations"] = [1, 2]
        return self.propose(
            operator, x, kernel_shape=kernel, ceil_mode=self.integer(0, 2), **window
        )

    def add_reduction(self, x: str) -> str | None:
        rank = len(self.shapes[x])
        axes = sorted({self.integer(1, rank) for _ in range(2)})
        operator = f"Reduce{self.pick(*_REDUCTIONS)}"
        if operator in ("ReduceLogSum", "ReduceLogSumExp"):
            x = self.node_of("Softplus", x)
        keep = self.integer(0, 2)
        if self.opset >= 18 or operator == "ReduceSum":
            return self.propose(operator, x, self.integers(*axes), keepdims=keep)
        return self.propose(operator, x, axes=axes, keepdims=keep)

    def add_softmax(self, x: str) -> str | None:
        return self.propose(
            self.pick("Softmax", "Softmax", "LogSoftmax"),
            x,
            axis=self.integer(1, len(self.shapes[x])),
        )


def random_network(seed: int, *, operators: int = 12, steps: bool = False) -> onnx.ModelProto:
    """Return the network of a seed; every other seed's is of what all targets run."""
    builder = RandomGraph(seed, steps=steps, plain=PLAIN if seed % 2 else ())
    while not builder.nodes:
        builder.grow(operators)
    return builder.network()
