"""The integer program: what a target runs. No float array is in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from intlower.compiler.constant import Constant
from intlower.compiler.errors import ArtifactError
from intlower.compiler.grids import Grid
from intlower.compiler.instruction_rules import check_instruction
from intlower.compiler.operators import Shape
from intlower.kernels.signature import KernelKey

Attribute = int | tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """An integer tensor: codes on a grid.

    Attributes:
        name: unique in the program.
        shape: NCHW or any other rank; axis 0 is None where the batch is free.
        grid: what the codes stand for; its element type is the tensor's.
    """

    name: str
    shape: Shape
    grid: Grid


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One kernel call, with every number it needs, all integers.

    Attributes:
        name: of the graph node it comes from; unique in the program.
        kernel: which computation, without a variant.
        inputs: names of tensors.
        output: name of the tensor it defines.
        constants: integer arrays in the order of the kernel's schema.
        attributes: integers in the order of the kernel's schema.
        weight_grid: what the weight codes stand for, for weighted kernels (reports and exporters).
        host: whether the host runs it, beside the target: the same integers, on another processor.
    """

    name: str
    kernel: KernelKey
    inputs: tuple[str, ...]
    output: str
    constants: Mapping[str, Constant] = field(default_factory=dict)
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    weight_grid: Grid | None = None
    host: bool = False

    def __post_init__(self) -> None:
        schema = self.kernel.schema
        if set(self.constants) != set(schema.constants) or set(self.attributes) != set(
            schema.attributes
        ):
            raise ArtifactError(
                f"{self.name}: {self.kernel} takes constants {schema.constants} and attributes "
                f"{schema.attributes}, not {tuple(self.constants)} and {tuple(self.attributes)}"
            )
        if (self.weight_grid is not None) != schema.weighted:
            raise ArtifactError(f"{self.name}: a weight grid belongs to weighted kernels only")
        constants = {name: self.constants[name] for name in schema.constants}
        attributes = {name: self.attributes[name] for name in schema.attributes}
        object.__setattr__(self, "constants", MappingProxyType(constants))
        object.__setattr__(self, "attributes", MappingProxyType(attributes))


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStep:
    """A float operation that the target leaves to the host, after an integer output is dequantized.

    Attributes:
        operator: "Softmax".
        input: name of a program output.
        output: the name under which `simulate` returns the result.
        axis: of the operation.
    """

    operator: str
    input: str
    output: str
    axis: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """How a program came to be; enough to make it again.

    Attributes:
        source_sha256: digest of the model file's bytes.
        pipeline: `repr` of the passes that ran.
        calibration: where the ranges came from, in words.
        seed: of every random choice.
        recipe: the name of the recipe that was chosen; empty where no recipe made the program.
        steps: names of the recipe's steps, in order.
        verdicts: what each gate decided, and why, in words.
        ranges: for each source of ranges, in words, the values whose range it gave; together all values of the graph that
            was lowered.
    """

    source_sha256: str
    pipeline: str
    calibration: str
    seed: int
    recipe: str = ""
    steps: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ranges", MappingProxyType(dict(self.ranges)))


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerProgram:
    """Instructions over integer tensors, in order. Construction proves every shape, type and range.

    Attributes:
        target: name of the target whose arithmetic it is.
        inputs: names of the tensors that the host supplies.
        outputs: names of the tensors that the host reads.
        tensors: every tensor by name.
        instructions: in execution order.
        host: float steps after the last integers.
        origin: how it was made.
    """

    target: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    instructions: tuple[Instruction, ...]
    host: tuple[HostStep, ...] = ()
    origin: Origin

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))
        for name, tensor in self.tensors.items():
            if tensor.name != name:
                raise ArtifactError(f"tensor {name!r} is listed under another name")
            if None in tensor.shape[1:] or any(d is not None and d < 1 for d in tensor.shape):
                raise ArtifactError(f"tensor {name!r} has the impossible shape {tensor.shape}")
            if not tensor.grid.fits(tensor.shape):
                raise ArtifactError(f"tensor {name!r} has a grid of another shape")
        defined = set(self.inputs)
        if not defined <= set(self.tensors) or len(defined) != len(self.inputs):
            raise ArtifactError("the program's inputs are not tensors of it, each once")
        names: set[str] = set()
        for instruction in self.instructions:
            missing = [name for name in instruction.inputs if name not in defined]
            if missing or instruction.output in defined:
                raise ArtifactError(
                    f"{instruction.name}: tensors are not defined once and before their use"
                )
            if instruction.output not in self.tensors or instruction.name in names:
                raise ArtifactError(f"{instruction.name}: its name or its output is not unique")
            names.add(instruction.name)
            defined.add(instruction.output)
            check_instruction(
                instruction.name,
                instruction.kernel,
                [self.tensors[name].shape for name in instruction.inputs],
                [self.tensors[name].grid.element for name in instruction.inputs],
                self.tensors[instruction.output].shape,
                self.tensors[instruction.output].grid.element,
                {name: constant.array for name, constant in instruction.constants.items()},
                instruction.attributes,
            )
            grid = instruction.weight_grid
            if grid is not None and not (
                grid.element is instruction.kernel.weight
                and grid.fits(instruction.constants["weights"].array.shape)
            ):
                raise ArtifactError(f"{instruction.name}: its weight grid does not fit")
        if not set(self.outputs) <= defined or not self.outputs or set(self.tensors) != defined:
            raise ArtifactError("the program's outputs or tensors are not all computed")
        if len(set(self.outputs)) != len(self.outputs):
            raise ArtifactError("the program lists an output twice")
        results = [step.output for step in self.host]
        if len({*results, *self.tensors}) < len(results) + len(self.tensors):
            raise ArtifactError("two results of the program have one name")
        for step in self.host:
            if step.operator != "Softmax" or step.input not in self.outputs:
                raise ArtifactError(
                    f"host step {step.operator!r} on {step.input!r} is not known"
                )
            rank = len(self.tensors[step.input].shape)
            if not -rank <= step.axis < rank:
                raise ArtifactError(f"host step on {step.input!r} along axis {step.axis}")

    @property
    def parameters(self) -> int:
        """The number of weights and biases."""
        return sum(
            constant.array.size
            for instruction in self.instructions
            for name, constant in instruction.constants.items()
            if name in ("weights", "bias")
        )

    def multiply_accumulates(self) -> int:
        """Return the number of multiply-accumulate operations for one sample."""
        total = 0
        for instruction in self.instructions:
            total += self.products_of(instruction)
        return total

    def products_of(self, instruction: Instruction) -> int:
        """Return the number of multiply-accumulate operations of one instruction, for one sample."""
        sizes = [d for d in self.tensors[instruction.output].shape[1:] if d is not None]
        if "weights" in instruction.constants:
            return instruction.constants["weights"].array.size * math.prod(sizes[1:])
        if instruction.kernel.operator == "matmul":
            return math.prod(sizes) * (self.tensors[instruction.inputs[0]].shape[-1] or 1)
        return 0
