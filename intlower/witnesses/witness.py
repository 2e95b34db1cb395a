"""What a witness is, and how its integers are compared.

A witness has an arithmetic of its own, so differences are counted, not failures: what a program *is* is settled by the
runtimes of `intlower.compiler.crosscheck`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.crosscheck import Mismatch
from intlower.compiler.errors import IntlowerError
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import open_program

Codes = Mapping[str, NDArray[Any]]
Run = Callable[[Codes], Codes]
Count = Callable[[int, int], None]

# Samples in one call of witnesses that take any number.
BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way in which a witness runs a program.

    Attributes:
        name: what the result is called.
        open: from a program, and whether every tensor is wanted or the outputs only, to a run: from the codes of the
            inputs to codes by name of tensor, in the program's own types.
        batch: samples in one call; None for any number.
    """

    name: str
    open: Callable[[IntegerProgram, bool], Run]
    batch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """Somebody else's runtime.

    Attributes:
        name: what the command line calls it.
        meaning: what runs what, one line.
        modules: that must be installed.
        install: the command that installs them.
        variants: how it runs a program, at least one way.
    """

    name: str
    meaning: str
    modules: tuple[str, ...]
    install: str
    variants: tuple[Variant, ...]

    def installed(self) -> bool:
        """Return whether its modules can be found; none is imported."""
        return all(importlib.util.find_spec(module) is not None for module in self.modules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Testimony:
    """How a witness's integers differ from the program's.

    Attributes:
        compared: number of output integers.
        mismatches: number of those that differ.
        max_difference: greatest |difference|, in steps of the grid.
        top1_agreement: share of samples with the same class, where the first output is one number for each class.
        top1: share of samples whose class is the label's: the program's and the witness's, where there are labels.
        first: the first difference in program order, where asked for and found.
    """

    compared: int
    mismatches: int
    max_difference: int
    top1_agreement: float | None = None
    top1: tuple[float, float] | None = None
    first: Mismatch | None = None

    def document(self) -> dict[str, Any]:
        """Return the figures by name; those that there are."""
        document: dict[str, Any] = {
            "compared": self.compared,
            "mismatches": self.mismatches,
            "max_difference": self.max_difference,
        }
        if self.top1_agreement is not None:
            document["top1_agreement"] = self.top1_agreement
        if self.top1 is not None:
            document["top1"] = {"program": self.top1[0], "witness": self.top1[1]}
        return document


def compare_with(
    variant: Variant,
    program: IntegerProgram,
    codes: Codes,
    *,
    labels: NDArray[np.int64] | None = None,
    bisect: bool = False,
    progress: Count | None = None,
) -> Testimony:
    """Return how a witness's integers differ from those of the program.

    Args:
        variant: how the witness runs it.
        program: what is run.
        codes: of every input, batch first.
        labels: int64 [N], where known.
        bisect: the witness gives every tensor, and the first difference is found.
        progress: called with the numbers of samples done and of all.

    Raises:
        IntlowerError: the witness cannot load or run the program.
    """
    simulator = open_program(program)
    run = variant.open(program, bisect)
    count = len(next(iter(codes.values())))
    fixed = program.tensors[program.inputs[0]].shape[0]
    step = fixed or variant.batch or BATCH
    if fixed is not None and variant.batch is not None and fixed != variant.batch:
        raise IntlowerError(
            f"{variant.name} runs batches of {variant.batch}, and the program fixes {fixed}",
            "compile with a free batch: --shape NAME=N,C,H,W",
        )
    compared = mismatches = largest = 0
    first: Mismatch | None = None
    scores: tuple[list[NDArray[Any]], list[NDArray[Any]]] = ([], [])
    for start in range(0, count, step):
        batch = {name: array[start : start + step] for name, array in codes.items()}
        ours = simulator.run_all(batch) if bisect else simulator.run(batch)
        theirs = run(batch)
        for name in program.outputs:
            difference = _difference(ours[name], theirs[name])
            compared += difference.size
            mismatches += int(np.count_nonzero(difference))
            largest = max(largest, int(difference.max(initial=0)))
        for kept, results in zip(scores, (ours, theirs), strict=True):
            kept.append(results[program.outputs[0]])
        if bisect and first is None:
            first = _first(program, ours, theirs, variant.name)
        if progress is not None:
            progress(min(start + step, count), count)
    classes = [_classes(np.concatenate(kept)) for kept in scores]
    agreement: float | None = None
    top1: tuple[float, float] | None = None
    if classes[0] is not None and classes[1] is not None:
        agreement = float((classes[0] == classes[1]).mean())
        if labels is not None:
            top1 = float((classes[0] == labels).mean()), float((classes[1] == labels).mean())
    return Testimony(
        compared=compared,
        mismatches=mismatches,
        max_difference=largest,
        top1_agreement=agreement,
        top1=top1,
        first=first,
    )


def _difference(ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[np.int64]:
    return np.abs(ours.astype(np.int64) - theirs.reshape(ours.shape).astype(np.int64))


def _classes(scores: NDArray[Any]) -> NDArray[np.int64] | None:
    """Return the class of each sample, the first of equals; None where outputs are no classes."""
    rows = scores.reshape(len(scores), -1)
    if rows.shape[1] < 2 or rows.shape[1] != max(scores.shape[1:]):
        return None
    return np.asarray(rows.argmax(axis=1), np.int64)


def _first(program: IntegerProgram, ours: Codes, theirs: Codes, name: str) -> Mismatch | None:
    for instruction in program.instructions:
        output = instruction.output
        if output not in theirs:
            continue
        places = np.argwhere(_difference(ours[output], theirs[output]))
        if places.size:
            index = tuple(int(i) for i in places[0])
            return Mismatch(
                engine=name,
                instruction=instruction.name,
                index=index,
                expected=int(ours[output][index]),
                actual=int(theirs[output].reshape(ours[output].shape)[index]),
            )
    return None


def tensor_names(program: IntegerProgram, every_tensor: bool) -> list[str]:
    """Return the names of the graph outputs of a Q/DQ model with integer edges."""
    if every_tensor:
        return [instruction.output for instruction in program.instructions]
    return list(program.outputs)
