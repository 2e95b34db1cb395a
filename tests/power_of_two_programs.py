"""A small program whose scales are powers of two, one for each tensor: what shift-only targets compile to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from small_programs import classifier, grid

from intlower.compiler.constant import Constant
from intlower.compiler.program import HostStep, IntegerProgram, Tensor
from intlower.kernels.signature import ElementType

POSITIONS = {
    "image": 4,
    "features": 3,
    "pooled": 3,
    "sum": 2,
    "mean": 3,
    "flat": 3,
    "logits": 1,
}
WEIGHT_POSITION = 6


def power_of_two_classifier() -> IntegerProgram:
    """Return `small_programs.classifier` on power-of-two grids, one for each tensor, with a ReLU after the convolution."""
    program = classifier()
    grids = {name: grid(2.0**-p, ElementType.INT8) for name, p in POSITIONS.items()}
    weight_grid = grid(2.0**-WEIGHT_POSITION, ElementType.INT8)
    instructions = []
    for instruction in program.instructions:
        changes = {}
        attributes = dict(instruction.attributes)
        for name in ("input_zero_point", "output_zero_point"):
            if name in attributes:
                attributes[name] = 0
        if instruction.weight_grid is not None:
            changes["weight_grid"] = weight_grid
        if instruction.name == "conv":
            key = replace(instruction.kernel, per_channel=False)
            zeros = Constant.of(np.zeros(4), np.int32)
            constants = {**instruction.constants, "minimum": zeros}
            instruction = replace(instruction, kernel=key, constants=constants)
        if instruction.name == "mean":
            # input scale / (output scale * count), a 24-bit multiplier
            share = 2.0 ** (POSITIONS["mean"] - POSITIONS["sum"]) / 9
            constants = {
                "multiplier": Constant.of([[round(share * 2**25)]], np.int32),
                "shift": Constant.of([[25]], np.int32),
            }
            instruction = replace(instruction, constants=constants)
        instructions.append(replace(instruction, attributes=attributes, **changes))
    return replace(
        program,
        tensors={
            name: Tensor(name=name, shape=tensor.shape, grid=grids[name])
            for name, tensor in program.tensors.items()
        },
        instructions=tuple(instructions),
        host=(HostStep(operator="Softmax", input="logits", output="probabilities", axis=1),),
    )
