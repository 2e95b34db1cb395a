"""Hypothesis strategies: random integer programs that obey every rule, and codes to run them on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from log_programs import LOG_OPERATORS, log_instruction
from numpy.typing import NDArray
from program_builder import EIGHT_BITS, Draw, integers_like
from strategies_extended import EXTENDED_OPERATORS
from strategies_general import GENERAL_OPERATORS
from strategies_uniform import ON_IMAGES, UniformOperators

from intlower.compiler.grids import LogGrid
from intlower.compiler.program import IntegerProgram
from intlower.kernels.signature import OPERATORS, ElementType, Requantize

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
    "mean_pool",
    "softmax_fixed",
    "saturating_conv2d",
    *EXTENDED_OPERATORS,
    *GENERAL_OPERATORS,
)
# What this module draws; half precision and logarithmic codes have strategies of their own.
UNIFORM_OPERATORS = (
    *FEATURE_OPERATORS,
    "gemm",
    "saturating_gemm",
    "asymmetric_conv2d",
    "asymmetric_gemm",
)

# Those that Q/DQ models and the float network of an export have a form for.
DEPLOYED_OPERATORS = tuple(name for name in UNIFORM_OPERATORS if name != "lrn")

# All but half precision and minifloats, which `half_programs.py` and `minifloat_programs.py` make programs of.
INTEGER_OPERATORS = sorted(
    name for name, schema in OPERATORS.items() if not (schema.half or schema.minifloat)
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
    name = operator or draw(st.sampled_from(sorted(UNIFORM_OPERATORS)))
    if name in LOG_OPERATORS:
        return log_instruction(draw, name, 16 if ElementType.UINT16 in elements else 8)
    builder = UniformOperators(draw, elements, requantizations)
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
    operators: Sequence[str] = UNIFORM_OPERATORS,
) -> IntegerProgram:
    """Programs of several instructions that read any tensor made before them."""
    builder = UniformOperators(draw, elements, requantizations)
    _features(builder, builder.integer(1, 2), None, largest_side)
    for _ in range(builder.integer(1, most)):
        x = builder.draw(st.sampled_from(sorted(builder.tensors)))
        size = int(np.prod(builder.sizes(x)))
        choices = ["conv2d", "requantize", "slice"] if size > 2000 else [*operators, "conv2d"]
        builder.step(builder.draw(st.sampled_from(choices)), x)
    return builder.build()


@st.composite
def fans(
    draw: Draw,
    elements: Sequence[ElementType] = EIGHT_BITS,
    requantizations: Sequence[Requantize] = tuple(Requantize),
    each: int = 3,
    operators: Sequence[str] = UNIFORM_OPERATORS,
) -> IntegerProgram:
    """Programs in which every operator reads one small image, several times, each time with other numbers."""
    builder = UniformOperators(draw, elements, requantizations)
    builder.new_input(
        (4, builder.integer(4, 6), builder.integer(4, 6)), builder.output_element()
    )
    for name in sorted(operators):
        for _ in range(each):
            builder.step(name, "input_0")
    return builder.build()


def _features(
    builder: UniformOperators, count: int, operator: str | None, largest_side: int
) -> None:
    element = builder.output_element()
    shape: tuple[int, ...] = (
        builder.integer(1, 12),
        builder.integer(1, largest_side),
        builder.integer(1, largest_side),
    )
    if operator is not None and operator.endswith("gemm"):
        shape = (builder.integer(1, 70),)
    elif operator not in (None, *ON_IMAGES):
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
        grid = tensor.grid
        low, high = (0, grid.layout.codes - 1) if isinstance(grid, LogGrid) else grid.limits
        codes[name] = integers_like(generator, mode, low, high, shape).astype(tensor.grid.dtype)
    return codes


def codes_for(program: IntegerProgram) -> st.SearchStrategy[dict[str, NDArray[Any]]]:
    """Input codes of a program, of one to four samples."""
    return st.builds(
        lambda seed, mode: draw_codes(program, seed, mode),
        st.integers(0, 2**32 - 1),
        st.sampled_from([0, 0, 0, 1, 2, 3]),
    )
