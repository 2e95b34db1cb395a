"""Operators in C that move codes: each is a few strided copies."""

from __future__ import annotations

from string import Template

import numpy as np

from intlower.backends.export.c.elements import c_type, count_of
from intlower.backends.export.c.memory import keeps_order
from intlower.backends.export.c.pieces import Piece
from intlower.backends.export.c.writer import ModelWriter
from intlower.compiler.operators import Slice
from intlower.compiler.planning.columns import number, numbers
from intlower.compiler.planning.layout import merged_loops
from intlower.compiler.program import Instruction
from intlower.kernels.signature import ElementType

_LOOP = Piece(
    name="il_loop",
    text="""\
/* a loop of a copy; steps are in codes and may be negative in the source */
typedef struct {
    int32_t count, x_step, y_step;
} il_loop;
""",
)
_COPY = Template("""\
/* copy through nested loops, the last one innermost */
static void $name(const $x *x, $x *y, const il_loop *loops, int32_t depth)
{
    const il_loop inner = loops[depth - 1];
    int32_t lines = 1;
    int32_t line, d, i;
    for (d = 0; d < depth - 1; ++d) {
        lines *= loops[d].count;
    }
    for (line = 0; line < lines; ++line) {
        int32_t rest = line;
        int32_t from = 0;
        int32_t to = 0;
        for (d = depth - 2; d >= 0; --d) {
            from += rest % loops[d].count * loops[d].x_step;
            to += rest % loops[d].count * loops[d].y_step;
            rest /= loops[d].count;
        }
        if (inner.x_step == 1 && inner.y_step == 1) {
            memcpy(y + to, x + from, (size_t)inner.count * sizeof *y);
        } else {
            for (i = 0; i < inner.count; ++i) {
                y[to + i * inner.y_step] = x[from + i * inner.x_step];
            }
        }
    }
}
""")
_FILL = Template("""\
/* one code everywhere */
static void $name($x *y, int32_t count, $x code)
{
    int32_t i;
    for (i = 0; i < count; ++i) {
        y[i] = code;
    }
}
""")
_IMAGE = Piece(
    name="il_image",
    text="""\
typedef struct {
    int32_t channels, height, width;
} il_image;
""",
)
_PLACE = Piece(
    name="il_place",
    text="""\
/* where the code number i of the order [channels, height, width] lies in [height, width, channels] */
static int32_t il_place(int32_t i, const il_image *image)
{
    const int32_t area = image->height * image->width;
    return i % area * image->channels + i / area;
}
""",
    needs=(_IMAGE,),
)
_RESHAPE = Template("""\
/* the same codes in the order [channels, height, width] under another shape */
static void $name(const $x *x, $x *y, const il_image *from, const il_image *to)
{
    const int32_t count = from->channels * from->height * from->width;
    int32_t i;
    for (i = 0; i < count; ++i) {
        y[il_place(i, to)] = x[il_place(i, from)];
    }
}
""")


def emit_concat(writer: ModelWriter, instruction: Instruction) -> None:
    """Write one copy for each input."""
    axis = number(instruction.attributes["axis"]) - 1
    strides = writer.strides(instruction.output)
    position = 0
    loops = Copies(writer, instruction)
    for name in instruction.inputs:
        sizes = writer.sizes(name)
        loops.copy(name, 0, position * strides[axis], sizes, writer.strides(name), strides)
        position += sizes[axis]
    loops.write()


def emit_pad(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a filling and the copy into its middle."""
    source, output = instruction.inputs[0], instruction.output
    sizes, strides = writer.sizes(source), writer.strides(output)
    begins = numbers(instruction.attributes["pads"])[1 : len(sizes) + 1]
    element = instruction.kernel.activation
    name = f"il_fill_{element.value}"
    writer.call(
        Piece(name=name, text=_FILL.substitute(name=name, x=c_type(element))),
        [
            writer.tensor(output),
            count_of(writer.program.tensors[output]),
            number(instruction.attributes["value"]),
        ],
    )
    start = sum(begin * stride for begin, stride in zip(begins, strides, strict=True))
    copies = Copies(writer, instruction)
    copies.copy(source, 0, start, sizes, writer.strides(source), strides)
    copies.write()


def emit_slice(writer: ModelWriter, instruction: Instruction) -> None:
    """Write the copy of a part; a negative step walks backward from its first code."""
    source, output = instruction.inputs[0], instruction.output
    starts, ends, axes, steps = (
        numbers(instruction.attributes[name]) for name in ("starts", "ends", "axes", "steps")
    )
    sizes, strides = writer.sizes(source), list(writer.strides(source))
    selections = Slice(starts=starts, ends=ends, axes=axes, steps=steps).selections(
        len(sizes) + 1
    )
    first = 0
    for axis, selection in selections.items():
        begin, _, step = selection.indices(sizes[axis - 1])
        first += begin * strides[axis - 1]
        strides[axis - 1] *= step
    copies = Copies(writer, instruction)
    copies.copy(source, first, 0, writer.sizes(output), tuple(strides), writer.strides(output))
    copies.write()


def emit_reshape(writer: ModelWriter, instruction: Instruction) -> None:
    """Write nothing for an alias, a copy where codes keep their order, else a permutation."""
    source, output = instruction.inputs[0], instruction.output
    if output in writer.memory.aliases:
        return
    if keeps_order(writer.program, instruction):
        count = (count_of(writer.program.tensors[output]),)
        copies = Copies(writer, instruction)
        copies.copy(source, 0, 0, count, (1,), (1,))
        copies.write()
        return
    element = instruction.kernel.activation
    name = f"il_reshape_{element.value}"
    images = [
        writer.structure(kind, _IMAGE, instruction, _image(writer.sizes(tensor)))
        for kind, tensor in (("from", source), ("to", output))
    ]
    writer.call(
        Piece(
            name=name, text=_RESHAPE.substitute(name=name, x=c_type(element)), needs=(_PLACE,)
        ),
        [writer.tensor(source), writer.tensor(output), *(f"&{image}" for image in images)],
    )


def _image(sizes: tuple[int, ...]) -> dict[str, int]:
    """Return a shape as that of an image; another rank lies in row-major order, as [count, 1, 1] does."""
    shape = sizes if len(sizes) == 3 else (int(np.prod(sizes)), 1, 1)
    return dict(zip(("channels", "height", "width"), shape, strict=True))


class Copies:
    """The copies of one instruction; their loops stand in one array."""

    def __init__(self, writer: ModelWriter, instruction: Instruction) -> None:
        self._writer = writer
        self._instruction = instruction
        self._loops: list[tuple[int, int, int]] = []
        self._calls: list[tuple[str, str, int, int]] = []

    def copy(
        self,
        source: str,
        source_start: int,
        output_start: int,
        sizes: tuple[int, ...],
        source_strides: tuple[int, ...],
        output_strides: tuple[int, ...],
    ) -> None:
        """Add a copy from a tensor to the instruction's output; starts and strides are in codes."""
        loops = merged_loops(sizes, source_strides, output_strides)
        x = _at(self._writer.tensor(source), source_start)
        y = _at(self._writer.tensor(self._instruction.output), output_start)
        self._calls.append((x, y, len(self._loops), len(loops)))
        self._loops.extend(loops)

    def write(self) -> None:
        """Write the loops and the calls."""
        element: ElementType = self._instruction.kernel.activation
        name = f"il_copy_{element.value}"
        piece = Piece(
            name=name, text=_COPY.substitute(name=name, x=c_type(element)), needs=(_LOOP,)
        )
        loops = self._writer.rows("loops", _LOOP, self._instruction, self._loops)
        for x, y, first, depth in self._calls:
            self._writer.call(piece, [x, y, _at(loops, first), depth])


def _at(pointer: str, offset: int) -> str:
    return f"{pointer} + {offset}" if offset else pointer
