"""Options and arguments that several commands share."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

# The methods of calibration, compiler/calibration/methods/select.py, in words; importing it would cost a second.
CALIBRATION_METHODS = {
    "min-max": "the least and the greatest number (without samples: mean +- 5 std)",
    "percentile": "all but 0.01 % of the numbers at each end",
    "percentile-abs": "all but the 0.01 % greatest magnitudes (TensorRT's tools)",
    "mse": "the threshold with the least squared error (TensorRT's tools)",
    "entropy": "the threshold with the least KL divergence, middle of a bin (TensorRT)",
    "entropy-edge": "the same, edge of a bin (TensorRT's tools)",
    "tf": "min-max with 0, at least 0.01 wide (SNPE)",
    "tf-enhanced": "saturation weighed against rounding, on a histogram (SNPE, AIMET)",
    "ifmr": "the greatest number scaled for the least squared error (Ascend AMCT)",
}

Callback = Callable[[click.Context, click.Parameter, Any], Any]

# What is wrong with a file is said by what opens it.
FILE = click.Path(readable=False, path_type=Path)


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json` (passed on as `as_json`) and `--traceback` (read by the command line itself)."""
    command = click.option(
        "--traceback",
        is_flag=True,
        expose_value=False,
        help="Show Python's traceback of an error, for reports.",
    )(command)
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the result as one JSON document."
    )(command)


def examples(*lines: str) -> str:
    """Return an epilog that shows command lines, each on a line of its own."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def calibration_help() -> str:
    """Return an epilog that says what each method of calibration does."""
    lines = [f"  {name:<14}  {text}" for name, text in CALIBRATION_METHODS.items()]
    return (
        "\b\nMethods of calibration; outputs and logits keep min-max under each:\n"
        + "\n".join([*lines, "", ""])
    )


def comma_list(choices: Sequence[str]) -> Callback:
    """Return a callback that reads names separated by commas, each one of `choices`."""

    def read(context: click.Context, option: click.Parameter, text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
        for name in names:
            if name not in choices:
                raise click.BadParameter(f"{name!r} is not one of {', '.join(choices)}")
        return names

    return read


def names_of_values(
    context: click.Context, option: click.Parameter, text: str
) -> tuple[str, ...]:
    """Return names separated by commas; a text of none gives none."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def named_ranges(
    context: click.Context, option: click.Parameter, texts: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Return the ranges of NAME=MIN:MAX texts by name."""
    ranges = {}
    for text in texts:
        name, _, limits = text.rpartition("=")
        low, _, high = limits.partition(":")
        try:
            minimum, maximum = float(low), float(high)
        except ValueError:
            raise click.BadParameter(f"{text!r} is not of the form NAME=MIN:MAX") from None
        if not name or not float("-inf") < minimum < maximum < float("inf"):
            raise click.BadParameter(f"{text!r} is not NAME=MIN:MAX with MIN below MAX")
        ranges[name] = (minimum, maximum)
    return ranges


def named_shapes(
    context: click.Context, option: click.Parameter, texts: Sequence[str]
) -> dict[str, tuple[int | None, ...]]:
    """Return the shapes of NAME=N,3,224,224 texts by name; the first size may be N, a free batch: None."""
    shapes = {}
    for text in texts:
        name, _, sizes = text.rpartition("=")
        words = [word.strip() for word in sizes.split(",")]
        if not name or not all(
            (word.isascii() and word.isdigit() and int(word) > 0) or (i == 0 and word == "N")
            for i, word in enumerate(words)
        ):
            raise click.BadParameter(f"{text!r} is not of the form NAME=N,3,224,224")
        shapes[name] = tuple(None if word == "N" else int(word) for word in words)
    return shapes


def input_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--input-range` (passed on as `input_ranges`) and `--shape` (as `shapes`)."""
    command = click.option(
        "--shape",
        "shapes",
        metavar="NAME=N,C,H,W",
        callback=named_shapes,
        multiple=True,
        help="The shape of an input that the model leaves open; N is a free batch.",
    )(command)
    return click.option(
        "--input-range",
        "input_ranges",
        metavar="NAME=MIN:MAX",
        callback=named_ranges,
        multiple=True,
        help="The least and the greatest real number of an input; once for each input.",
    )(command)


def refuse_output(path: Path, *sources: Path) -> None:
    """Check before the work is done that a result could be written.

    Args:
        path: of the file to write.
        sources: files that are read and must not be overwritten.

    Raises:
        OSError: the path is a folder or a device, or its folder does not exist or is not writable.
        click.UsageError: the path is one of the sources.
    """
    folder = path.resolve().parent
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        # The result replaces the file of that name: a device or a pipe would be gone.
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if not folder.exists():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(folder))
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    if any(path.resolve() == source.resolve() for source in sources):
        raise click.UsageError(
            f"the output {path} would overwrite a file that is read",
            click.get_current_context(),
        )
