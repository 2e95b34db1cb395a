"""TFLite's softmax in C."""

from __future__ import annotations

from string import Template

from intlower.backends.export.c.elements import c_type, count_of
from intlower.backends.export.c.literals import c_integer
from intlower.backends.export.c.pieces import Piece
from intlower.backends.export.c.scaling import CLAMP, SHIFT_HALF_AWAY, SHIFT_HALF_UP
from intlower.backends.export.c.writer import ModelWriter
from intlower.compiler.planning.columns import number
from intlower.compiler.program import Instruction

_SHARE = Piece(
    name="il_share_of_total",
    text="""\
/* equation (10) */
static int64_t il_high(int64_t a, int64_t b)
{
    return il_shift_half_up(a * b, 31);
}

/* equation (F1): the reciprocal of a total whose leading bit is moved to bit 31, by Newton's method */
static int64_t il_reciprocal(int64_t total, int32_t leading_zeros)
{
    const int64_t half = (total * ((int64_t)1 << leading_zeros)) / 2;
    int64_t x = 1515870810 + il_high(half, -1010580540);
    int32_t i;
    for (i = 0; i < 3; ++i) {
        x += il_high(x, ((int64_t)1 << 29) - il_high(half, x)) * 4;
    }
    return x * 2 > 2147483647 ? 2147483647 : x * 2;
}

/* equation (F2): the share of an exponential in the total, as a code of 8 bits */
static int64_t il_share_of_total(int64_t exponential, int64_t reciprocal, int32_t leading_zeros)
{
    return il_shift_half_away(il_high(exponential, reciprocal), 12 - leading_zeros + 31 - 8);
}
""",
    needs=(SHIFT_HALF_UP, SHIFT_HALF_AWAY),
)
_SOFTMAX = Template("""\
/* exp(x) / sum(exp(x)) along one axis, in fixed point;
   lines of `size` codes lie `stride` apart, `outer` times `stride` of them */
static void $name(const $x *x, $x *y, const int32_t *table, int32_t outer, int32_t size, int32_t stride)
{
    int32_t i, j, k;
    for (i = 0; i < outer; ++i) {
        for (j = 0; j < stride; ++j) {
            const $x *line = x + i * size * stride + j;
            $x *result = y + i * size * stride + j;
            $x greatest = line[0];
            int64_t total = 0;
            int64_t reciprocal;
            int32_t leading_zeros = 0;
            for (k = 1; k < size; ++k) {
                greatest = line[k * stride] > greatest ? line[k * stride] : greatest;
            }
            for (k = 0; k < size; ++k) {
                total += il_shift_half_away(table[(int32_t)greatest - line[k * stride]], 12);
            }
            while (total * ((int64_t)1 << leading_zeros) < ((int64_t)1 << 31)) {
                ++leading_zeros;
            }
            reciprocal = il_reciprocal(total, leading_zeros);
            for (k = 0; k < size; ++k) {
                const int64_t exponential = table[(int32_t)greatest - line[k * stride]];
                const int64_t code = il_share_of_total(exponential, reciprocal, leading_zeros);
                result[k * stride] = ($x)il_clamp(code + $least, $least, $most);
            }
        }
    }
}
""")


def emit_softmax_fixed(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a softmax in fixed point: tensors lie dense, so the lines along an axis are an outer and an inner loop."""
    element = instruction.kernel.activation
    name = f"il_softmax_fixed_{element.value}"
    source = instruction.inputs[0]
    axis = number(instruction.attributes["axis"]) - 1
    size, stride = writer.sizes(source)[axis], writer.strides(source)[axis]
    count = count_of(writer.program.tensors[source])
    least, most = (c_integer(limit) for limit in element.limits)
    text = _SOFTMAX.substitute(name=name, x=c_type(element), least=least, most=most)
    writer.call(
        Piece(name=name, text=text, needs=(_SHARE, CLAMP, SHIFT_HALF_AWAY)),
        [
            writer.tensor(source),
            writer.tensor(instruction.output),
            writer.array("table", instruction, instruction.constants["table"].array, "int32_t"),
            count // (size * stride),
            size,
            stride,
        ],
    )
