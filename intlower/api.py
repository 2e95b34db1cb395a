"""The Python interface: compile a model, save and open programs, run them.

The heavy libraries are imported inside the functions, so that `import intlower` and the command line start at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from intlower.compiler.program import IntegerProgram
    from intlower.compiler.spec import Contract


def compile(
    model: str | Path,
    *,
    target: str,
    samples: Mapping[str, NDArray[Any]] | None = None,
    synthesize: int | None = None,
    budget_seconds: float | None = None,
    calibration: str | None = None,
    input_ranges: Mapping[str, tuple[float, float]] | None = None,
    shapes: Mapping[str, tuple[int | None, ...]] | None = None,
    outputs: Sequence[str] = (),
    recipe: str = "default",
    added: Sequence[str] = (),
    removed: Sequence[str] = (),
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> IntegerProgram:
    """Return the integer program of an ONNX model for a target.

    Args:
        model: path of the ONNX file, opset 9 or newer, with batch normalization kept where possible.
        target: name of an installed target; `targets()` lists them.
        samples: for each graph input, [N, ...] float32 as the model takes it; or what `synthesize` returns. Without
            samples the ranges come from the model's own batch-norm statistics.
        synthesize: how many inputs to make from those statistics and calibrate with, in the place of samples.
        budget_seconds: wall-clock time for that; where it cuts synthesis short, two programs may differ.
        calibration: how ranges are taken from numbers, of samples or of what the moments tell: "min-max", "percentile",
            "percentile-abs", "mse", "entropy", "entropy-edge", "tf", "tf-enhanced" or "ifmr"; see `calibration.methods`. None:
            from samples as the target's vendor does it, from moments as mean and spread tell.
        input_ranges: (least, greatest) of graph inputs, where known; otherwise estimated from the first layer.
        shapes: of graph inputs, where the file leaves more open than the batch; None for a free batch.
        outputs: names of values at which the network ends, instead of at its outputs: what follows, as the non-maximum
            suppression of a detector, is left to the host.
        recipe: "default"; "none" for the bare minimum: clean-up, batch-norm folding, fusion; "data-free-strict", which
            refuses samples and ranges from noise; or "synthetic", the default with inputs made from those statistics.
        added: names of steps that the recipe gets as well; a wrong name lists those that there are.
        removed: names of steps that the recipe goes without.
        seed: of every random choice.
        progress: called with a line for each stage.

    Returns:
        The program; the same arguments give the same program.

    Raises:
        IntlowerError: with a hint how to mend it; see `intlower.compiler.errors`.
        ValueError: `calibration` is none of those named.
    """
    from intlower.compiler.calibration.methods.select import Method
    from intlower.compiler.pipeline import compile_model

    return compile_model(
        Path(model),
        target=target,
        samples=samples,
        synthesize=synthesize,
        budget_seconds=budget_seconds,
        method=None if calibration is None else Method(calibration),
        input_ranges=input_ranges,
        shapes=shapes,
        outputs=outputs,
        recipe=recipe,
        added=added,
        removed=removed,
        seed=seed,
        progress=progress,
    )


def synthesize(
    models: Sequence[str | Path],
    *,
    count: int = 32,
    seed: int = 0,
    budget_seconds: float | None = None,
    input_ranges: Mapping[str, tuple[float, float]] | None = None,
    shapes: Mapping[str, tuple[int | None, ...]] | None = None,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> dict[str, NDArray[Any]]:
    """Return one set of calibration inputs for several models, made from their batch-norm statistics.

    Args:
        models: paths of ONNX files that take images of any size, or other inputs of one shape.
        count: how many inputs to make.
        seed: of every random choice.
        budget_seconds: wall-clock time; where it leaves out steps, two sets may differ.
        input_ranges: (least, greatest) of graph inputs, where known; for every model that has an input of the name.
        shapes: of graph inputs, likewise.
        jobs: how many models work at the same time, in processes of their own; the set does not depend on it.
        progress: called with a line for each step.

    Returns:
        What `compile` takes as `samples`, for each of the models and for others.

    Raises:
        IntlowerError: the models have no inputs in common, or no statistics.
    """
    from intlower.compiler.synthesis.view import CANVAS
    from intlower.jobs.local import LocalEngine
    from intlower.school import model_files, shared_set

    made = shared_set(
        model_files(
            [Path(model) for model in models],
            shapes=shapes or {},
            input_ranges=input_ranges or {},
        ),
        count=count,
        seed=seed,
        engine=None if jobs == 1 else LocalEngine(workers=jobs),
        budget_seconds=budget_seconds,
        progress=progress,
    )
    return {CANVAS: made.canvas}


def save(program: IntegerProgram, path: str | Path) -> int:
    """Write a program as one ONNX file of standard integer operators, atomically; return its size in bytes.

    Raises:
        ArtifactError: the file cannot be written.
    """
    from intlower.compiler import artifact

    return artifact.save(program, Path(path))


def open(path: str | Path) -> IntegerProgram:
    """Return the program of an artifact.

    Raises:
        ArtifactError: the file is missing, not an artifact, of another format version, or altered.
    """
    from intlower.compiler import artifact

    return artifact.open_artifact(Path(path))


def simulate(
    program: IntegerProgram, inputs: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Return a program's outputs as float32, bit for bit what the target's integers stand for.

    Inputs are quantized to the program's input grids, the integer program runs, outputs are dequantized, and host steps
    (a softmax that the target leaves to the host) are applied.

    Args:
        program: compiled or opened.
        inputs: for each program input, [N, ...] float32.

    Raises:
        DataError: names, shapes or types do not fit.
    """
    from intlower.compiler import simulator

    return simulator.simulate(program, inputs)


def simulate_integers(
    program: IntegerProgram, inputs: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Return a program's output codes for input codes.

    Args:
        program: compiled or opened.
        inputs: for each program input, [N, ...] of its integer type.

    Raises:
        DataError: names, shapes or types do not fit.
    """
    from intlower.compiler import simulator

    return simulator.simulate_integers(program, inputs)


def export(
    program: IntegerProgram, format: str, folder: str | Path, *, force: bool = False
) -> tuple[Path, ...]:
    """Write the files that a vendor's tools read, with a README.txt that says what to run next.

    Args:
        program: compiled or opened.
        format: name of a format; `intlower.backends.export.registry` lists them.
        folder: where to write; made where it does not exist.
        force: replace files of the same names; otherwise nothing is overwritten.

    Returns:
        The paths written.

    Raises:
        ExportError: no such format, or it cannot hold the program (the node or tensor is named), or files exist.
        OSError: the folder cannot be written.
    """
    from intlower.backends.export.registry import export_files
    from intlower.folders import write_folder

    return write_folder(export_files(program, format), Path(folder), force=force)


def targets() -> tuple[Contract, ...]:
    """Return the arithmetic of every installed target, by name."""
    from intlower.compiler.discovery import load_targets

    return tuple(target.spec for target in load_targets())
