"""A small integer program with most operators, written out by hand, for tests of whole programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.grids import UniformGrid
from intlower.compiler.program import HostStep, Instruction, IntegerProgram, Origin, Tensor
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import ElementType, KernelKey

ORIGIN = Origin(
    source_sha256="ab" * 32, pipeline="(FoldBatchNorm(),)", calibration="moments", seed=7
)


def grid(
    scale: float | list[float], element: ElementType, axis: int | None = None
) -> UniformGrid:
    """Return a grid over all codes of a type, with zero point 0."""
    low, high = element.limits
    return UniformGrid(
        scale=Constant.of(scale, np.float32),
        zero_point=0,
        element=element,
        minimum=low,
        maximum=high,
        rounding=Rounding.HALF_EVEN,
        axis=axis,
    )


def instruction(
    kernel: str,
    name: str,
    inputs: tuple[str, ...],
    output: str,
    *,
    constants: Mapping[str, Constant] | None = None,
    weight_grid: UniformGrid | None = None,
    **attributes: int | tuple[int, ...],
) -> Instruction:
    """Return an instruction of a kernel given by its name."""
    return Instruction(
        name=name,
        kernel=KernelKey.parse(kernel),
        inputs=inputs,
        output=output,
        constants=constants or {},
        attributes=attributes,
        weight_grid=weight_grid,
    )


def weighted_constants(
    weights: Any, dtype: str, multiplier: int, shift: int, *, seed: int = 0
) -> dict[str, Constant]:
    """Return the constants of a conv2d or gemm, the same scale and full clamps for each int8 output."""
    array: NDArray[Any] = np.asarray(weights).astype(dtype)
    outputs = array.shape[0]
    bias = np.random.default_rng(seed).integers(-500, 500, outputs)
    per_channel = {
        "bias": bias,
        "multiplier": np.full(outputs, multiplier),
        "shift": np.full(outputs, shift),
        "minimum": np.full(outputs, -128),
        "maximum": np.full(outputs, 127),
    }
    return {
        "weights": Constant.of(array),
        **{name: Constant.of(values, np.int32) for name, values in per_channel.items()},
    }


def classifier(batch: int | None = None) -> IntegerProgram:
    """Return conv2d, max_pool, a residual add, average_pool, reshape, gemm, on int8 codes of 2x6x6 images."""
    generator = np.random.default_rng(3)
    int8 = ElementType.INT8
    shapes: dict[str, tuple[int, ...]] = {
        "image": (2, 6, 6),
        "features": (4, 6, 6),
        "pooled": (4, 3, 3),
        "sum": (4, 3, 3),
        "mean": (4, 1, 1),
        "flat": (4,),
        "logits": (3,),
    }
    scales = dict(zip(shapes, (0.1, 0.2, 0.2, 0.3, 0.05, 0.05, 0.017), strict=True))
    multiplier = 3 << 22
    instructions = (
        instruction(
            "conv2d_s8_s8c_s8__f32even",
            "conv",
            ("image",),
            "features",
            constants=weighted_constants(
                generator.integers(-127, 127, (4, 2, 3, 3)),
                "int8",
                multiplier,
                32,
            ),
            weight_grid=grid([0.01, 0.02, 0.03, 1 / 3], int8, axis=0),
            strides=(1, 1),
            pads=(1, 1, 1, 1),
            dilations=(1, 1),
            groups=1,
            input_zero_point=3,
            weight_zero_point=0,
            output_zero_point=-5,
        ),
        instruction(
            "max_pool_s8",
            "pool",
            ("features",),
            "pooled",
            kernel_shape=(2, 2),
            strides=(2, 2),
            pads=(0, 0, 0, 0),
            dilations=(1, 1),
        ),
        instruction(
            "add_s8_s8__f32even",
            "residual",
            ("pooled", "pooled"),
            "sum",
            multiplier=(multiplier, multiplier),
            shift=(24, 25),
            left_shift=0,
            input_zero_points=(-5, -5),
            output_zero_point=0,
            minimum=-128,
            maximum=127,
        ),
        instruction(
            "average_pool_s8_s8__f32even",
            "mean",
            ("sum",),
            "mean",
            constants={
                "multiplier": Constant.of([[multiplier]], np.int32),
                "shift": Constant.of([[27]], np.int32),
            },
            kernel_shape=(3, 3),
            strides=(1, 1),
            pads=(0, 0, 0, 0),
            input_zero_point=0,
            output_zero_point=0,
            minimum=-128,
            maximum=127,
        ),
        instruction("reshape_s8", "flatten", ("mean",), "flat", shape=(0, 4)),
        instruction(
            "gemm_s8_s8_s8__f32even",
            "classify",
            ("flat",),
            "logits",
            constants=weighted_constants(
                generator.integers(-127, 127, (3, 4)), "int8", multiplier, 31
            ),
            weight_grid=grid(0.004, int8),
            input_zero_point=0,
            weight_zero_point=0,
            output_zero_point=1,
        ),
    )
    return IntegerProgram(
        target="test",
        inputs=("image",),
        outputs=("logits", "pooled"),
        tensors={
            name: Tensor(name=name, shape=(batch, *shape), grid=grid(scales[name], int8))
            for name, shape in shapes.items()
        },
        instructions=instructions,
        host=(HostStep(operator="Softmax", input="logits", output="probabilities", axis=1),),
        origin=ORIGIN,
    )
