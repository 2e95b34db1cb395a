"""Products of activations, normalizations, quotients, constants and conversions at the ends of their ranges, and past them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_programs import ORIGIN, grid, instruction

from intlower.compiler.artifact import parse, serialise
from intlower.compiler.constant import Constant
from intlower.compiler.crosscheck import run_onnxruntime
from intlower.compiler.errors import ArtifactError
from intlower.compiler.operators import Shape
from intlower.compiler.program import IntegerProgram, Tensor
from intlower.compiler.simulator import open_program, run_reference
from intlower.kernels.numerics_general import OCTAVE_ENTRIES

ENDS: dict[str, Any] = {"output_zero_point": 0, "minimum": -32768, "maximum": 32767}


def program(
    kernel: str,
    shapes: Mapping[str, Shape],
    output: Shape,
    constants: Mapping[str, NDArray[Any]] | None = None,
    **attributes: Any,
) -> IntegerProgram:
    """A program of one instruction, from tensors of its kernel's types."""
    made = instruction(
        kernel,
        "node",
        tuple(shapes),
        "y",
        constants={name: Constant.of(a, a.dtype) for name, a in (constants or {}).items()},
        **attributes,
    )
    tensors = {
        name: Tensor(name=name, shape=shape, grid=grid(1.0, made.kernel.activation))
        for name, shape in shapes.items()
    }
    tensors["y"] = Tensor(name="y", shape=output, grid=grid(1.0, made.kernel.output))
    return IntegerProgram(
        target="test",
        inputs=tuple(shapes),
        outputs=("y",),
        tensors=tensors,
        instructions=(made,),
        origin=ORIGIN,
    )


def agreed(made: IntegerProgram, codes: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """The codes on which oracle, kernel and onnxruntime agree; the program survives its file."""
    assert parse(serialise(made)) == made
    expected = run_reference(made, codes)["y"]
    assert np.array_equal(open_program(made).run(codes)["y"], expected)
    assert np.array_equal(run_onnxruntime(made, codes)["y"], expected)
    return expected


@pytest.mark.crosscheck
@pytest.mark.parametrize("depth", [33025, 33026])
def test_sums_past_32_bits_are_summed_in_64(depth: int) -> None:
    """255 * 255 * 33026 is the first product of matrices past int32."""
    made = program(
        "matmul_u8_s16__mul31single",
        {"a": (None, 1, depth), "b": (None, depth, 2)},
        (None, 1, 2),
        multiplier=1 << 15,
        shift=31,
        input_zero_points=(0, 255),
        **ENDS,
    )
    a = np.full((1, 1, depth), 255, np.uint8)
    b = np.stack([np.zeros(depth), np.full(depth, 254)], axis=1)[None].astype(np.uint8)
    total = 255 * 255 * depth
    expected = [-((total * (1 << 15) + (1 << 30)) >> 31), -(255 * depth * (1 << 15) >> 31)]
    assert np.abs(agreed(made, {"a": a, "b": b})[0, 0] - expected).max() <= 1


@pytest.mark.crosscheck
def test_rows_at_the_ends_of_their_codes() -> None:
    count = 1 << 12
    made = program(
        "normalize_s16_s16",
        {"x": (None, 2, count)},
        (None, 2, count),
        {name: np.array([[value]], np.int32) for name, value in (("multiplier", -(1 << 31)), ("bias", (1 << 31) - 1))},
        bias_shift=29,
        shift=47,
        epsilon=1,
        input_shift=0,
        **ENDS,
    )  # fmt: skip
    x = np.full((2, 2, count), -32768, np.int16)
    x[0, 0, 0] = 32767
    x[1, 0, ::2] = 32767
    found = agreed(made, {"x": x})
    assert found[0, 0, 0] != found[0, 0, 1]
    assert len(np.unique(found[1, 1])) == 1  # a row of one value


@pytest.mark.crosscheck
def test_squares_at_the_ends_of_their_sums() -> None:
    table = np.linspace((1 << 31) - 1, 0, OCTAVE_ENTRIES).astype(np.int32)
    made = program(
        "lrn_s16_s16",
        {"x": (None, 3, 1, 4)},
        (None, 3, 1, 4),
        {"table": table},
        size=7,
        sum_shift=1,
        shift=31,
        input_zero_point=0,
        **ENDS,
    )
    x = np.array([-32768, 32767, 0, 1], np.int16)
    codes = np.stack([np.roll(x, i) for i in range(3)])[None, :, None]
    agreed(made, {"x": codes})


@pytest.mark.crosscheck
def test_quotients_of_every_pair_of_codes() -> None:
    made = program(
        "divide_s8_s16",
        {"a": (None, 256, 256), "b": (None, 256, 256)},
        (None, 256, 256),
        multiplier=3,
        shift=1,
        input_zero_points=(-128, 5),
        **ENDS,
    )
    a, b = (x.astype(np.int8)[None] for x in np.mgrid[-128:128, -128:128])
    found = agreed(made, {"a": a, "b": b}).astype(np.int64)
    x, y = a.astype(np.int64) + 128, b.astype(np.int64) - 5
    assert (found[(y == 0) & (x > 0)] == 32767).all()
    whole = np.floor(3 * x[y != 0] / (2 * y[y != 0]) + 0.5)
    assert np.array_equal(found[y != 0], np.clip(whole, -32768, 32767))


@pytest.mark.crosscheck
def test_32_bit_numbers_convert_to_16_and_back() -> None:
    ends = np.array([-(2**31), -(2**31) + 1, -3, 0, 3, 2**31 - 1], np.int32).reshape(1, 6)
    down = program(
        "convert_s32_s16",
        {"x": (None, 6)},
        (None, 6),
        multiplier=1 << 29,
        shift=45,
        input_zero_point=0,
        **ENDS,
    )
    assert agreed(down, {"x": ends}).tolist() == [[-32768, -32768, 0, 0, 0, 32767]]
    up = program(
        "convert_s16_s32",
        {"x": (None, 2)},
        (None, 2),
        multiplier=1 << 29,
        shift=13,
        input_zero_point=0,
        output_zero_point=0,
        minimum=-(2**31),
        maximum=2**31 - 1,
    )
    codes = np.array([[-32768, 32767]], np.int16)
    assert agreed(up, {"x": codes}).tolist() == [[-(2**31), 32767 * 2**16]]


@pytest.mark.parametrize(
    ("kernel", "shapes", "output", "constants", "attributes", "message"),
    [
        (
            "matmul_s8_s8__f32even", {"a": (None, 2, 3), "b": (None, 2, 3)}, (None, 2, 3), {},
            {"multiplier": 1, "shift": 1, "input_zero_points": (0, 0)}, "multiplies matrices",
        ),
        (
            "matmul_s16_s16__mul31double", {"a": (None, 2, 9), "b": (None, 9, 2)}, (None, 2, 2), {},
            {"multiplier": 1, "shift": 31, "input_zero_points": (0, 0)}, "past int32",
        ),
        (
            "normalize_s16_s16", {"x": (None, 1, 1 << 16)}, (None, 1, 1 << 16),
            {"multiplier": np.zeros((1, 1), np.int32), "bias": np.zeros((1, 1), np.int32)},
            {"bias_shift": 0, "shift": 1, "epsilon": 1, "input_shift": 0}, "leave 62 bits",
        ),
        (
            "normalize_s8_s8", {"x": (None, 2, 4)}, (None, 2, 4),
            {"multiplier": np.zeros((2, 3), np.int32), "bias": np.zeros((2, 3), np.int32)},
            {"bias_shift": 0, "shift": 1, "epsilon": 1, "input_shift": 0}, "do not fit",
        ),
        (
            "normalize_s8_s8", {"x": (None, 2, 4)}, (None, 2, 4),
            {"multiplier": np.zeros((1, 1), np.int32), "bias": np.zeros((1, 1), np.int32)},
            {"bias_shift": 0, "shift": 1, "epsilon": 0, "input_shift": 0}, "epsilon",
        ),
        (
            "lrn_s16_s16", {"x": (None, 3, 1, 1)}, (None, 3, 1, 1),
            {"table": np.zeros(OCTAVE_ENTRIES, np.int32)},
            {"size": 3, "sum_shift": 0, "shift": 1, "input_zero_point": 0}, "31 bits",
        ),
        (
            "lrn_s8_s8", {"x": (None, 3, 1, 1)}, (None, 3, 1, 1),
            {"table": np.zeros(OCTAVE_ENTRIES - 1, np.int32)},
            {"size": 3, "sum_shift": 0, "shift": 1, "input_zero_point": 0}, "table is",
        ),
        (
            "divide_s8_s8", {"a": (None, 2), "b": (None, 1)}, (None, 2), {},
            {"multiplier": 1, "shift": 0, "input_zero_points": (0, 0)}, "divides shapes",
        ),
        (
            "constant_s8_s8", {"x": (None, 2)}, (None, 3), {"codes": np.zeros(2, np.int8)}, {},
            "computes",
        ),
        (
            "convert_s32_s8", {"x": (None, 2)}, (None, 2), {},
            {"multiplier": (1 << 29) + 1, "shift": 1, "input_zero_point": 0}, "multiplier",
        ),
        (
            "lookup_interpolated_s8_s8", {"x": (None, 2)}, (None, 2),
            {"table": np.zeros(513, np.int32)}, {}, "16 bits",
        ),
    ],
)  # fmt: skip
def test_what_could_leave_its_integers_is_refused(
    kernel: str,
    shapes: dict[str, Shape],
    output: Shape,
    constants: dict[str, NDArray[Any]],
    attributes: dict[str, Any],
    message: str,
) -> None:
    ends = {"output_zero_point": 0, "minimum": -128, "maximum": 127} if attributes else {}
    with pytest.raises(ArtifactError, match=message):
        program(kernel, shapes, output, constants, **attributes, **ends)
