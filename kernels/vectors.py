"""Small pieces of LLVM code for vectors, from which the kernels of `simd_*.py` are put together.

Everything is plain LLVM arithmetic, which any processor runs, but for the instruction that an `Isa` names. Integers wrap
modulo 2**32, as the instructions have it; none of them saturates. Floating-point operations carry no fast-math flag, so
that LLVM neither reorders nor fuses them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic, overload

from intlower.kernels.isa import Isa

BYTE = ir.IntType(8)
HALF = ir.IntType(16)
WORD = ir.IntType(32)
INDEX = ir.IntType(64)
FLOAT = ir.FloatType()


def emitter(function: Callable[..., Any]) -> Any:
    """Return a function that compiled code calls and that emits LLVM code there (Numba's intrinsic, typed)."""
    return intrinsic(function)


def variants_of(stub: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Return the decorator of the function that says, from argument types, what compiled code calls for a stub.

    It is Numba's overload without its comparison of annotations, which concern the types of types here.
    """
    decorator: Callable[[Callable[..., Any]], Any] = overload(stub, strict=False)
    return decorator


def data_pointer(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    """Emit the address of an array's first byte."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(data, BYTE.as_pointer())


def advance(builder: Any, pointer: Any, offset: Any) -> Any:
    """Emit a byte pointer moved by a number of bytes."""
    return builder.gep(pointer, [offset])


def load(builder: Any, pointer: Any, typ: Any) -> Any:
    """Emit a load that asks nothing of the address."""
    return builder.load(builder.bitcast(pointer, typ.as_pointer()), align=1)


def store(builder: Any, value: Any, pointer: Any) -> None:
    """Emit a store that asks nothing of the address."""
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=1)


def splat(builder: Any, value: Any, lanes: int) -> Any:
    """Emit a vector whose lanes all hold a value."""
    vector = ir.VectorType(value.type, lanes)
    undefined = ir.Constant(vector, ir.Undefined)
    single = builder.insert_element(undefined, value, WORD(0))
    mask = ir.Constant(ir.VectorType(WORD, lanes), [0] * lanes)
    return builder.shuffle_vector(single, undefined, mask)


def constant(value: Any, typ: Any, lanes: int) -> Any:
    """Return a constant vector whose lanes all hold a number."""
    return ir.Constant(ir.VectorType(typ, lanes), [typ(value)] * lanes)


def choose(builder: Any, first: Any, second: Any, lanes: Sequence[int]) -> Any:
    """Emit the lanes of two vectors, counted through both, that a list names."""
    mask = ir.Constant(ir.VectorType(WORD, len(lanes)), list(lanes))
    return builder.shuffle_vector(first, second, mask)


def call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """Emit a call of an LLVM intrinsic."""
    function_type = ir.FunctionType(result, [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    return builder.call(function, arguments)


def prefetch(builder: Any, pointer: Any) -> None:
    """Emit a hint that a line is read soon; it fetches into the second-level cache, and never faults."""
    options = [WORD(0), WORD(2), WORD(1)]  # for reading, locality 2 of 3, data
    call(builder, "llvm.prefetch.p0i8", ir.VoidType(), pointer, *options)


def sum_products(
    builder: Any, isa: Isa, fours: bool, accumulator: Any, activations: Any, weights: Any
) -> Any:
    """Emit accumulator + the sum of products within each 32-bit lane.

    Args:
        builder: llvmlite's.
        isa: chooses the instruction.
        fours: 8-bit fours (activations unsigned unless isa.signed_fours, weights signed), else signed 16-bit pairs.
        accumulator: <isa.lanes x i32>.
        activations: <isa.lanes x i32>, operands as they lie in memory.
        weights: alike.
    """
    bits = 8 if fours else 16
    operands = ir.VectorType(ir.IntType(bits), isa.lanes * 32 // bits)
    a, b = builder.bitcast(activations, operands), builder.bitcast(weights, operands)
    vector = accumulator.type
    if isa.native and isa.name == "avx2":
        return builder.add(accumulator, call(builder, "llvm.x86.avx2.pmadd.wd", vector, a, b))
    if isa.native and isa.name in ("avxvnni", "avx512vnni"):
        name = f"llvm.x86.avx512.{'vpdpbusd' if fours else 'vpdpwssd'}.{isa.lanes * 32}"
        return call(builder, name, vector, accumulator, a, b)
    if isa.native and isa.name == "neon" and fours:
        return call(builder, "llvm.aarch64.neon.sdot.v4i32.v16i8", vector, accumulator, a, b)
    wide = ir.VectorType(WORD, operands.count)
    extend = builder.zext if fours and not isa.signed_fours else builder.sext
    products = builder.mul(extend(a, wide), builder.sext(b, wide))
    step = 32 // bits
    for part in range(step):
        lanes = [lane * step + part for lane in range(isa.lanes)]
        accumulator = builder.add(accumulator, choose(builder, products, products, lanes))
    return accumulator


def limit(builder: Any, value: Any, low: Any, high: Any, less: Any) -> Any:
    """Emit a value limited to [low, high], with a comparison of its type."""
    value = builder.select(less(value, low), low, value)
    return builder.select(less(high, value), high, value)
