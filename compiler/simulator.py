"""Running an integer program: opened once, then called with codes; and its oracle.

program --open_program--> Simulator --run--> integer codes
program --run_reference--> the same codes, by the NumPy oracle, slowly
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.errors import DataError, IntlowerError
from intlower.compiler.execution import Execution
from intlower.compiler.plan import Plan, make_plan
from intlower.compiler.program import IntegerProgram, Tensor
from intlower.kernels.isa import host_isa
from intlower.kernels.reference import reference_for

Codes = NDArray[Any]


class Simulator:
    """An opened program: call it as often as you like, from any thread.

    Made by `open_program`. Weights are packed and every buffer has its place; a call takes an arena from a pool,
    converts the inputs, and walks all instructions in compiled code.
    """

    __slots__ = ("_execution", "_plan", "_program")

    def __init__(self, program: IntegerProgram, plan: Plan) -> None:
        self._program = program
        self._plan = plan
        self._execution = Execution(plan, program.multiply_accumulates())

    @property
    def program(self) -> IntegerProgram:
        """What it runs."""
        return self._program

    @property
    def kernels(self) -> tuple[str, ...]:
        """The kernel of each instruction, variant included."""
        return self._plan.kernels

    @property
    def peak_bytes(self) -> int:
        """Bytes that one sample's tensors take, lifetimes overlapped."""
        return self._plan.peak_bytes

    @property
    def total_bytes(self) -> int:
        """Bytes that one sample's tensors would take one after another."""
        return self._plan.total_bytes

    def run(self, inputs: Mapping[str, Codes]) -> dict[str, Codes]:
        """Return the output codes of input codes.

        Args:
            inputs: one array for each input: [N, ...] as the program's tensor has it, of its element type.

        Raises:
            DataError: an input is missing or has the wrong shape, type or range.
        """
        return self._execution.run(check_codes(self._program, inputs))

    def run_all(self, inputs: Mapping[str, Codes]) -> dict[str, Codes]:
        """Return the codes of every tensor, for the search of a first difference; slower than `run`.

        Raises:
            DataError: see `run`.
        """
        plan = make_plan(self._program, self._plan.isa, keep_all=True)
        return Execution(plan, 0).run(check_codes(self._program, inputs))


def open_program(
    program: IntegerProgram,
    *,
    isa: str | None = None,
    threads: int = 1,
    progress: Callable[[str], None] | None = None,
) -> Simulator:
    """Return the program ready to run: weights packed, memory planned, kernels chosen.

    Args:
        program: what to run.
        isa: instruction set of the kernels; INTLOWER_ISA or the best of this machine where None.
        threads: how many may work on one call.
        progress: called with each kernel's name before it is compiled, or loaded from disk.

    Raises:
        IntlowerError: the instruction set is unknown or not of this machine, or `threads` is not positive, or the
            program is outside what the kernels hold.
    """
    if threads < 1:
        raise IntlowerError(f"threads is {threads}, not a positive number")
    try:
        chosen = host_isa(isa)
    except ValueError as error:
        raise IntlowerError(str(error), "unset INTLOWER_ISA, or name another") from None
    return Simulator(program, make_plan(program, chosen, threads, progress=progress))


def simulate_integers(program: IntegerProgram, codes: Mapping[str, Codes]) -> dict[str, Codes]:
    """Return a program's output codes; `open_program` once where you call often."""
    return open_program(program).run(codes)


def simulate(
    program: IntegerProgram, values: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[np.float32]]:
    """Return a program's outputs as real numbers, from real inputs, host steps included."""
    codes = simulate_integers(program, quantize_inputs(program, values))
    return run_host_steps(program, dequantize_outputs(program, codes))


def quantize_inputs(
    program: IntegerProgram, values: Mapping[str, NDArray[Any]]
) -> dict[str, Codes]:
    """Return the codes of real inputs, each on its tensor's grid.

    Args:
        program: whose inputs they are.
        values: one array of real numbers for each input, batch first.

    Raises:
        DataError: a name is missing or unknown, a shape does not fit, or a value is NaN.
    """
    _check_names(program, values)
    codes: dict[str, Codes] = {}
    for name in program.inputs:
        array = np.asarray(values[name])
        if array.dtype.kind not in "fiub":
            raise DataError(f"input {name!r} holds {array.dtype}, not real numbers")
        if np.isnan(array).any():
            raise DataError(f"input {name!r} contains NaN", "check the data for missing values")
        _check_shape(program.tensors[name], array)
        codes[name] = program.tensors[name].grid.quantize(array)
    _check_batches(program, codes)
    return codes


def dequantize_outputs(
    program: IntegerProgram, codes: Mapping[str, Codes]
) -> dict[str, NDArray[np.float32]]:
    """Return the real numbers of a program's outputs, before its host steps."""
    return {
        name: program.tensors[name].grid.dequantize(codes[name]) for name in program.outputs
    }


def run_host_steps(
    program: IntegerProgram, values: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Return the outputs after the float steps that the target leaves to the host.

    A step's result stands under its own name, in the place of what it was computed from.

        Softmax: y = exp(x - max(x)) / sum(exp(x - max(x))) along its axis, in float64
    """
    results = dict(values)
    for step in program.host:
        x = results.pop(step.input).astype(np.float64)
        exponentials = np.exp(x - x.max(axis=step.axis, keepdims=True))
        total = exponentials.sum(axis=step.axis, keepdims=True)
        results[step.output] = (exponentials / total).astype(np.float32)
    return results


def run_reference(
    program: IntegerProgram, codes: Mapping[str, Codes], keep_all: bool = False
) -> dict[str, Codes]:
    """Return what the program computes, by the NumPy oracle: the definition, slow.

    Args:
        program: what to run.
        codes: one array of codes for each input, batch first.
        keep_all: return every tensor, not only the outputs.

    Raises:
        DataError: an input is missing or has the wrong shape, type or range.
    """
    tensors: dict[str, Codes] = dict(check_codes(program, codes))
    for instruction in program.instructions:
        arguments: dict[str, Any] = dict(instruction.attributes)
        for name, constant in instruction.constants.items():
            arguments[name] = constant.array
        operands = [tensors[name] for name in instruction.inputs]
        tensors[instruction.output] = reference_for(instruction.kernel)(*operands, **arguments)
    return tensors if keep_all else {name: tensors[name] for name in program.outputs}


def check_codes(program: IntegerProgram, codes: Mapping[str, Codes]) -> dict[str, Codes]:
    """Return the input codes, C-contiguous, after proving that the program may run on them.

    Raises:
        DataError: an input is missing, unknown, or has the wrong shape, type or range.
    """
    _check_names(program, codes)
    checked: dict[str, Codes] = {}
    for name in program.inputs:
        tensor, array = program.tensors[name], codes[name]
        if not isinstance(array, np.ndarray) or array.dtype != tensor.grid.dtype:
            found = getattr(array, "dtype", type(array).__name__)
            raise DataError(f"input {name!r} takes {tensor.grid.dtype} codes, not {found}")
        _check_shape(tensor, array)
        misfit = tensor.grid.misfit(array)
        if misfit:
            raise DataError(f"input {name!r} {misfit}")
        checked[name] = np.ascontiguousarray(array)
    _check_batches(program, checked)
    return checked


def _check_names(program: IntegerProgram, given: Mapping[str, Any]) -> None:
    if set(given) != set(program.inputs):
        expected, found = ", ".join(program.inputs), ", ".join(sorted(given)) or "none"
        raise DataError(f"the program takes the inputs {expected}; given: {found}")


def _check_shape(tensor: Tensor, array: NDArray[Any]) -> None:
    batch = tensor.shape[0]
    if array.ndim != len(tensor.shape) or array.shape[1:] != tensor.shape[1:]:
        wanted = ["N" if d is None else d for d in tensor.shape]
        raise DataError(
            f"input {tensor.name!r} takes shape {wanted}, not {list(array.shape)}",
            "the batch comes first, then the dimensions as the model has them",
        )
    if array.shape[0] < 1 or (batch is not None and array.shape[0] % batch):
        multiple = "at least 1" if batch is None else f"a multiple of {batch}"
        raise DataError(f"input {tensor.name!r} takes {multiple} samples, not {array.shape[0]}")


def _check_batches(program: IntegerProgram, arrays: Mapping[str, NDArray[Any]]) -> None:
    batches = {name: arrays[name].shape[0] for name in program.inputs}
    if len(set(batches.values())) > 1:
        raise DataError(f"the inputs have different numbers of samples: {batches}")
