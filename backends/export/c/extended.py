"""Tables, rearrangement, products of tensors and resampling in C."""

from __future__ import annotations

import math
from string import Template

from intlower.backends.export.c.calls import call_scaled, call_typed
from intlower.backends.export.c.elements import c_type, count_of
from intlower.backends.export.c.movement import Copies
from intlower.backends.export.c.pieces import Piece
from intlower.backends.export.c.writer import ModelWriter
from intlower.compiler.planning.columns import number, numbers
from intlower.compiler.program import Instruction

_LOOKUP = Template("""\
/* a function of every code */
static void $name(const $x *x, $y *restrict y, const $y *table, int32_t count)
{
    int32_t i;
    for (i = 0; i < count; ++i) {
        y[i] = table[(int32_t)x[i] - $least];
    }
}
""")
_LOOKUP_CHANNELS = Template("""\
/* a function of every code, another for each channel: x is [outer, channels, inner], the table [channels, codes] */
static void $name(const $x *x, $y *restrict y, const $y *table, int32_t outer, int32_t channels, int32_t inner)
{
    int32_t i, c, j;
    for (i = 0; i < outer; ++i) {
        for (c = 0; c < channels; ++c) {
            for (j = 0; j < inner; ++j) {
                *y++ = table[c * $codes + (int32_t)*x++ - $least];
            }
        }
    }
}
""")
_GATHER = Template("""\
/* chosen parts of [outer, size, inner] along the middle axis */
static void $name(const $x *x, $x *restrict y, const int32_t *indices, int32_t chosen,
    int32_t outer, int32_t size, int32_t inner)
{
    int32_t i, j;
    for (i = 0; i < outer; ++i) {
        for (j = 0; j < chosen; ++j) {
            memcpy(y, x + indices[j] * inner, (size_t)inner * sizeof *y);
            y += inner;
        }
        x += size * inner;
    }
}
""")
_PAIRS = Piece(
    name="il_pairs",
    text="""\
/* a loop over two tensors and their result; steps are in codes, 0 where a tensor is repeated */
typedef struct {
    int32_t count, a_step, b_step, y_step;
} il_pairs;
""",
)
_MULTIPLICATION = Piece(
    name="il_multiplication",
    text="""\
typedef struct {
    const il_pairs *loops;
    int32_t depth;
    int32_t multiplier, shift;
    int32_t zero_point_a, zero_point_b, output_zero_point;
    int32_t minimum, maximum;
} il_multiplication;
""",
    needs=(_PAIRS,),
)
_MULTIPLY = Template("""\
/* the product of two tensors, through nested loops, the last one innermost */
static void $name(const $x *a, const $x *b, $y *restrict y, const il_multiplication *p)
{
    const il_pairs inner = p->loops[p->depth - 1];
    int32_t lines = 1;
    int32_t line, d, i;
    for (d = 0; d < p->depth - 1; ++d) {
        lines *= p->loops[d].count;
    }
    for (line = 0; line < lines; ++line) {
        int32_t rest = line;
        int32_t from_a = 0;
        int32_t from_b = 0;
        int32_t to = 0;
        for (d = p->depth - 2; d >= 0; --d) {
            const int32_t step = rest % p->loops[d].count;
            from_a += step * p->loops[d].a_step;
            from_b += step * p->loops[d].b_step;
            to += step * p->loops[d].y_step;
            rest /= p->loops[d].count;
        }
        for (i = 0; i < inner.count; ++i) {
            const int64_t first = a[from_a + i * inner.a_step] - p->zero_point_a;
            const int64_t second = b[from_b + i * inner.b_step] - p->zero_point_b;
            const int64_t code = $scale(first * second, p->multiplier, p->shift);
            y[to + i * inner.y_step] = ($y)il_clamp(code + p->output_zero_point, p->minimum, p->maximum);
        }
    }
}
""")
_RESAMPLING = Piece(
    name="il_resampling",
    text="""\
/* an image of [height, width, channels] resampled: sums over `row_taps` rows and `column_taps` columns */
typedef struct {
    const int32_t *row_indices;
    const int32_t *row_weights;
    const int32_t *column_indices;
    const int32_t *column_weights;
    int32_t width, channels;
    int32_t output_height, output_width;
    int32_t row_taps, column_taps;
    int32_t multiplier, shift;
    int32_t input_zero_point, output_zero_point;
    int32_t minimum, maximum;
} il_resampling;
""",
)
_RESAMPLE = Template("""\
/* weighted sums of a few rows and columns, scaled once */
static void $name(const $x *x, $y *restrict y, const il_resampling *p)
{
    int32_t i, j, c, t, u;
    for (i = 0; i < p->output_height; ++i) {
        const int32_t *rows = p->row_indices + i * p->row_taps;
        const int32_t *row_weights = p->row_weights + i * p->row_taps;
        for (j = 0; j < p->output_width; ++j) {
            const int32_t *columns = p->column_indices + j * p->column_taps;
            const int32_t *column_weights = p->column_weights + j * p->column_taps;
            for (c = 0; c < p->channels; ++c) {
                int64_t sum = 0;
                int64_t code;
                for (t = 0; t < p->row_taps; ++t) {
                    for (u = 0; u < p->column_taps; ++u) {
                        const int64_t number
                            = x[(rows[t] * p->width + columns[u]) * p->channels + c] - p->input_zero_point;
                        sum += number * row_weights[t] * column_weights[u];
                    }
                }
                code = $scale(sum, p->multiplier, p->shift);
                *y++ = ($y)il_clamp(code + p->output_zero_point, p->minimum, p->maximum);
            }
        }
    }
}
""")


def emit_lookup(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a table."""
    count = count_of(writer.program.tensors[instruction.output])
    arguments: list[str | int] = [_table(writer, instruction), count]
    call_typed(writer, instruction, "lookup", _LOOKUP, (), arguments)


def emit_lookup_channels(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a table for each channel."""
    call_typed(
        writer,
        instruction,
        "lookup_channels",
        _LOOKUP_CHANNELS,
        (),
        [_table(writer, instruction), *_around(writer, instruction.inputs[0], axis=0)],
        codes=instruction.constants["table"].array.shape[-1],
    )


def _table(writer: ModelWriter, instruction: Instruction) -> str:
    table = instruction.constants["table"].array
    return writer.array("table", instruction, table, c_type(instruction.kernel.output))


def _around(writer: ModelWriter, tensor: str, axis: int) -> tuple[int, int, int]:
    """Return (outer, size, inner) of an axis of one sample, as the tensor lies in memory."""
    layout = writer.layout(tensor)
    place = (axis - 1) % 3 if len(layout) == 3 else axis
    return math.prod(layout[:place]), layout[place], math.prod(layout[place + 1 :])


def emit_transpose(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a copy with the axes' steps exchanged."""
    source, output = instruction.inputs[0], instruction.output
    strides = writer.strides(source)
    moved = tuple(
        strides[axis - 1] for axis in numbers(instruction.attributes["permutation"])[1:]
    )
    copies = Copies(writer, instruction)
    copies.copy(source, 0, 0, writer.sizes(output), moved, writer.strides(output))
    copies.write()


def emit_gather(writer: ModelWriter, instruction: Instruction) -> None:
    """Write copies of chosen parts."""
    element = instruction.kernel.activation
    name = f"il_gather_{element.value}"
    indices = instruction.constants["indices"].array
    outer, size, inner = _around(
        writer, instruction.inputs[0], number(instruction.attributes["axis"]) - 1
    )
    writer.call(
        Piece(name=name, text=_GATHER.substitute(name=name, x=c_type(element))),
        [
            writer.tensor(instruction.inputs[0]),
            writer.tensor(instruction.output),
            writer.array("indices", instruction, indices, "int32_t"),
            len(indices),
            outer,
            size,
            inner,
        ],
    )


def emit_multiply(writer: ModelWriter, instruction: Instruction) -> None:
    """Write the product of two tensors that may be repeated along axes."""
    attributes = instruction.attributes
    sizes = writer.sizes(instruction.output)
    steps = [
        tuple(
            stride if extent > 1 else 0
            for extent, stride in zip(writer.sizes(tensor), writer.strides(tensor), strict=True)
        )
        for tensor in (*instruction.inputs, instruction.output)
    ]
    loops = _joined_loops(sizes, *steps)
    zero_points = numbers(attributes["input_zero_points"])
    fields: dict[str, int | str] = {
        "loops": writer.rows("loops", _PAIRS, instruction, loops),
        "depth": len(loops),
        "zero_point_a": zero_points[0],
        "zero_point_b": zero_points[1],
    }
    for attribute in ("multiplier", "shift", "output_zero_point", "minimum", "maximum"):
        fields[attribute] = number(attributes[attribute])
    shape = writer.structure("shape", _MULTIPLICATION, instruction, fields)
    call_scaled(writer, instruction, "multiply", _MULTIPLY, [_MULTIPLICATION], [f"&{shape}"])


def _joined_loops(sizes: tuple[int, ...], *steps: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the fewest loops (count, steps of a, of b, of the result), the result's least step innermost.

    >>> _joined_loops((3, 4, 5), (1, 0, 0), (1, 15, 3), (1, 15, 3))
    [(20, 0, 3, 3), (3, 1, 1, 1)]
    """
    loops = [loop for loop in zip(sizes, *steps, strict=True) if loop[0] > 1]
    loops.sort(key=lambda loop: -loop[-1])
    joined: list[tuple[int, ...]] = []
    for size, *inner in loops:
        outer = joined[-1] if joined else None
        if outer and all(
            step == size * least for step, least in zip(outer[1:], inner, strict=True)
        ):
            joined[-1] = (outer[0] * size, *inner)
        else:
            joined.append((size, *inner))
    return joined or [(1, *(0 for _ in steps))]


def emit_resample(writer: ModelWriter, instruction: Instruction) -> None:
    """Write the resampling of an image."""
    channels, _, width = writer.image(instruction, instruction.inputs[0])
    arrays = {name: constant.array for name, constant in instruction.constants.items()}
    fields: dict[str, int | str] = {
        member: writer.array(
            "_".join(reversed(member.split("_"))), instruction, values, "int32_t"
        )
        for member, values in arrays.items()
    }
    fields |= {"width": width, "channels": channels}
    for axis, side in (("height", "row"), ("width", "column")):
        fields[f"output_{axis}"], fields[f"{side}_taps"] = arrays[f"{side}_indices"].shape
    fields |= {name: number(value) for name, value in instruction.attributes.items()}
    shape = writer.structure("shape", _RESAMPLING, instruction, fields)
    call_scaled(writer, instruction, "resample", _RESAMPLE, [_RESAMPLING], [f"&{shape}"])
