"""The last step of every lowering, whatever its number system: what a builder collected becomes a program."""

from __future__ import annotations

from typing import Protocol

from intlower.compiler.graph import Graph
from intlower.compiler.program import HostStep, Instruction, IntegerProgram, Origin, Tensor


class Collected(Protocol):
    """What a builder holds at the end.

    Attributes:
        graph: that was lowered.
        tensors: by name.
        instructions: in order.
        host: steps left to the host.
    """

    graph: Graph
    tensors: dict[str, Tensor]
    instructions: list[Instruction]
    host: list[HostStep]


def assembled(builder: Collected, target: str, origin: Origin) -> IntegerProgram:
    """Return the program; where the host computes an output, the program's is what the host reads.

    Args:
        builder: when every node is lowered.
        target: its full name.
        origin: recorded in the program.

    Raises:
        ArtifactError: an instruction does not obey its rules.
    """
    graph = builder.graph
    read = {step.output: step.input for step in builder.host}
    return IntegerProgram(
        target=target,
        inputs=tuple(value.name for value in graph.inputs),
        outputs=tuple(dict.fromkeys(read.get(name, name) for name in graph.outputs)),
        tensors=builder.tensors,
        instructions=tuple(builder.instructions),
        host=tuple(builder.host),
        origin=origin,
    )
