"""The functions as ONNX: valid, called as the kernel's schema says, and without a float."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import onnx
import pytest
from half_programs import RULES
from hypothesis import given, settings
from log_programs import LOG_OPERATORS
from minifloat_programs import RULES as MINIFLOAT_RULES
from onnx import TensorProto, inliner, shape_inference
from strategies import INTEGER_OPERATORS, instructions

from intlower.compiler.artifact import to_model
from intlower.compiler.errors import ArtifactError
from intlower.compiler.onnx_functions.library import function_for, function_name
from intlower.compiler.program import IntegerProgram
from intlower.kernels.signature import OPERATORS, ElementType, KernelKey, Requantize

NARROW = [ElementType.INT8, ElementType.UINT8, ElementType.INT16, ElementType.UINT16]
INTEGERS = {
    TensorProto.BOOL,
    TensorProto.INT8,
    TensorProto.UINT8,
    TensorProto.INT16,
    TensorProto.UINT16,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.UINT64,
}


LOG_KERNELS = {
    name: [KernelKey.parse(f"{name}{types}") for types in suffixes]
    for name, suffixes in {
        **{name: ("_s32",) for name in LOG_OPERATORS if name.startswith("linear")},
        "log_conv2d": ("_u8_u8_s32", "_u16_u16_s32"),
        "log_gemm": ("_u8_u8_s32", "_u16_u16_s32"),
        "log_encode": ("_s32_u8", "_s32_u16"),
        "log_decode": ("_u8_s32", "_u16_s32"),
    }.items()
}


# What a half-precision operator reads and writes, where that is not float16.
HALF_TYPES = {
    "half_dequantize": (ElementType.INT32, ElementType.FLOAT16),
    "half_quantize": (ElementType.FLOAT16, ElementType.INT8),
}


def half_kernels(operator: str) -> Iterator[KernelKey]:
    """A half-precision operator under every rule."""
    f16 = ElementType.FLOAT16
    activation, output = HALF_TYPES.get(operator, (f16, f16))
    for rule in RULES:
        yield KernelKey(
            operator=operator,
            activation=activation,
            weight=f16 if OPERATORS[operator].weighted else None,
            output=output,
            half=rule,
        )


def minifloat_kernels(operator: str) -> Iterator[KernelKey]:
    """A minifloat operator in every layout."""
    for rule in MINIFLOAT_RULES:
        element = ElementType.INT8 if rule.bits == 8 else ElementType.INT16
        yield KernelKey(
            operator=operator,
            activation=element,
            weight=element if OPERATORS[operator].weighted else None,
            output=element,
            minifloat=rule,
        )


def kernels() -> Iterator[KernelKey]:
    """Every kernel on 8- and 16-bit codes."""
    for operator, schema in OPERATORS.items():
        if operator in LOG_OPERATORS:
            yield from LOG_KERNELS[operator]
            continue
        if schema.half:
            yield from half_kernels(operator)
            continue
        if schema.minifloat:
            yield from minifloat_kernels(operator)
            continue
        weights = NARROW if schema.weighted else [None]
        rules: list[Requantize | None] = list(Requantize) if schema.requantized else [None]
        for activation, output, weight, rule in itertools.product(
            NARROW, NARROW, weights, rules
        ):
            if schema.requantized or activation is output:
                yield KernelKey(
                    operator=operator,
                    activation=activation,
                    weight=weight,
                    output=output,
                    requantize=rule,
                )


def test_every_kernel_has_a_function_called_as_its_schema_says() -> None:
    for key in kernels():
        arity = 2 if key.schema.inputs != 1 else 1
        function = function_for(key, arity)
        assert function.name == function_name(key, arity)
        assert len(function.input) == arity + len(key.schema.constants)
        assert tuple(function.input[arity:]) == key.schema.constants
        assert tuple(function.attribute) == key.schema.attributes
        assert list(function.output) == ["output"]
        assert function.doc_string.endswith(".")


def test_a_function_says_its_rounding() -> None:
    text = function_for(KernelKey.parse("conv2d_s8_s8c_u8__f32even"), 1).doc_string
    assert text == (
        "2-d convolution of int8 codes with int8 weights, one scale per channel; requantized to "
        "uint8: one IEEE single-precision multiply, ties to even, in integers."
    )


def test_functions_are_the_same_every_time() -> None:
    key = KernelKey.parse("conv2d_u8_s8c_u8__f32even")
    first, second = (function_for(key, 1).SerializeToString() for _ in range(2))
    assert first == second


def test_the_number_of_tensors_of_a_concat_is_in_its_name() -> None:
    key = KernelKey.parse("concat_s8")
    assert function_for(key, 1).name == "concat_s8__of1"
    assert list(function_for(key, 3).input) == ["input_0", "input_1", "input_2"]


@pytest.mark.parametrize("name", ["gemm_s32_s8_s8__f32even", "average_pool_s32_s8__f32even"])
def test_products_of_32_bit_codes_are_refused(name: str) -> None:
    with pytest.raises(ArtifactError, match="int32"):
        function_for(KernelKey.parse(name), 1)


@pytest.mark.parametrize("operator", INTEGER_OPERATORS)
def test_models_are_valid_and_every_tensor_in_them_is_an_integer(operator: str) -> None:
    @settings(deadline=None, max_examples=4, database=None)
    @given(program=instructions(operator, elements=NARROW))
    def holds(program: IntegerProgram) -> None:
        model = to_model(program)
        onnx.checker.check_model(model, full_check=True)
        flat = shape_inference.infer_shapes(inliner.inline_local_functions(model))
        typed = {value.name: value for value in flat.graph.value_info}
        assert all(value.type.tensor_type.elem_type in INTEGERS for value in typed.values())
        for node in flat.graph.node:
            casts = [a.i for a in node.attribute if a.name == "to"]
            assert all(to in INTEGERS for to in casts)
        assert len(typed) > 0 or len(flat.graph.node) == 1

    holds()
