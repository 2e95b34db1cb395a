"""Operators in C that treat codes one by one, and softmax."""

from __future__ import annotations

from string import Template

from intlower.backends.export.c.calls import call_scaled
from intlower.backends.export.c.elements import c_type, count_of, require_int32, rule_of
from intlower.backends.export.c.pieces import Piece
from intlower.backends.export.c.scaling import CLAMP, DIVIDE_HALF_UP
from intlower.backends.export.c.writer import ModelWriter
from intlower.compiler.planning.columns import number, numbers
from intlower.compiler.program import Instruction

RESCALING = Piece(
    name="il_rescaling",
    text="""\
typedef struct {
    int32_t count;
    int32_t multiplier, shift;
    int32_t input_zero_point, output_zero_point;
    int32_t minimum, maximum;
} il_rescaling;
""",
)
_REQUANTIZE = Template("""\
/* codes on another grid */
static void $name(const $x *x, $y *restrict y, const il_rescaling *p)
{
    int32_t i;
    for (i = 0; i < p->count; ++i) {
        const int64_t code = $scale(x[i] - p->input_zero_point, p->multiplier, p->shift);
        y[i] = ($y)il_clamp(code + p->output_zero_point, p->minimum, p->maximum);
    }
}
""")
_ADDITION = """\
typedef struct {
    il_addends scales;
    int32_t count;
    int32_t zero_point_a, zero_point_b, output_zero_point;
    int32_t minimum, maximum;
} il_addition;
"""
_ADD = Template("""\
/* sum of two tensors with grids of their own */
static void $name(const $x *a, const $x *b, $y *restrict y, const il_addition *p)
{
    int32_t i;
    for (i = 0; i < p->count; ++i) {
        const int64_t code = $total(a[i] - p->zero_point_a, b[i] - p->zero_point_b, &p->scales);
        y[i] = ($y)il_clamp(code + p->output_zero_point, p->minimum, p->maximum);
    }
}
""")
_SOFTMAX = Template("""\
/* exp(x) / sum(exp(x)) along one axis, by a table of exponentials of differences of codes;
   lines of `size` codes lie `stride` apart, `outer` times `stride` of them */
static void $name(const $x *x, $x *y, const int32_t *table, int32_t outer, int32_t size, int32_t stride,
    int32_t maximum)
{
    int32_t i, j, k;
    for (i = 0; i < outer; ++i) {
        for (j = 0; j < stride; ++j) {
            const $x *line = x + i * size * stride + j;
            $x *result = y + i * size * stride + j;
            $x greatest = line[0];
            int64_t total = 0;
            for (k = 1; k < size; ++k) {
                greatest = line[k * stride] > greatest ? line[k * stride] : greatest;
            }
            for (k = 0; k < size; ++k) {
                total += table[(int32_t)greatest - line[k * stride]];
            }
            for (k = 0; k < size; ++k) {
                const int64_t exponential = table[(int32_t)greatest - line[k * stride]];
                const int64_t code = il_divide_half_up(exponential * maximum, total);
                result[k * stride] = ($x)il_clamp(code, 0, maximum < $most ? maximum : $most);
            }
        }
    }
}
""")


def emit_requantize(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a change of grid."""
    key, attributes = instruction.kernel, instruction.attributes
    zero_point = number(attributes["input_zero_point"])
    require_int32(instruction, max(abs(limit - zero_point) for limit in key.activation.limits))
    fields: dict[str, int | str] = {
        "count": count_of(writer.program.tensors[instruction.output]),
        **{key: number(value) for key, value in attributes.items()},
    }
    rescaling = writer.structure("shape", RESCALING, instruction, fields)
    call_scaled(writer, instruction, "requantize", _REQUANTIZE, [RESCALING], [f"&{rescaling}"])


def emit_add(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a sum; scales that a rule does not have are left at zero, unread."""
    key, attributes = instruction.kernel, instruction.attributes
    rule = rule_of(instruction)
    suffix = rule.total.name.removeprefix("il_sum_")
    name = f"il_add_{key.activation.value}_{key.output.value}_{suffix}"
    text = _ADD.substitute(
        name=name, x=c_type(key.activation), y=c_type(key.output), total=rule.total.name
    )
    addition = Piece(name="il_addition", text=_ADDITION, needs=(rule.total,))
    multipliers, shifts = (numbers(attributes[name]) for name in ("multiplier", "shift"))
    zero_points = numbers(attributes["input_zero_points"])
    members: dict[str, int | str] = {}
    stages = ("_a", "_b", "")
    # A rule with one shift has that of the sum.
    shifted = stages if len(shifts) > 1 else ("",)
    members |= {f"scales.multiplier{s}": v for s, v in zip(stages, multipliers, strict=False)}
    members |= {f"scales.shift{s}": v for s, v in zip(shifted, shifts, strict=False)}
    structure = writer.structure(
        "shape",
        addition,
        instruction,
        {
            **members,
            "scales.left_shift": number(attributes["left_shift"]),
            "count": count_of(writer.program.tensors[instruction.output]),
            "zero_point_a": zero_points[0],
            "zero_point_b": zero_points[1],
            "output_zero_point": number(attributes["output_zero_point"]),
            "minimum": number(attributes["minimum"]),
            "maximum": number(attributes["maximum"]),
        },
    )
    writer.call(
        Piece(name=name, text=text, needs=(addition, CLAMP)),
        [
            *map(writer.tensor, instruction.inputs),
            writer.tensor(instruction.output),
            f"&{structure}",
        ],
    )


def emit_softmax(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a softmax: tensors lie dense, so the lines along an axis are an outer and an inner loop."""
    element = instruction.kernel.activation
    name = f"il_softmax_{element.value}"
    source = instruction.inputs[0]
    axis = number(instruction.attributes["axis"]) - 1
    size, stride = writer.sizes(source)[axis], writer.strides(source)[axis]
    count = count_of(writer.program.tensors[source])
    writer.call(
        Piece(
            name=name,
            text=_SOFTMAX.substitute(name=name, x=c_type(element), most=element.limits[1]),
            needs=(CLAMP, DIVIDE_HALF_UP),
        ),
        [
            writer.tensor(source),
            writer.tensor(instruction.output),
            writer.array("table", instruction, instruction.constants["table"].array, "int32_t"),
            count // (size * stride),
            size,
            stride,
            number(instruction.attributes["maximum"]),
        ],
    )
