"""How a program was made, in words and as JSON: recipe, gates, sources of ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intlower.terminal import print_line, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from intlower.compiler.program import Origin

# So many names of values stand in a line of the table of sources.
_NAMED = 3


def recipe_text(origin: Origin) -> str:
    """Return the name of the recipe and its steps: `default: silence_channels, squant`."""
    return (
        f"{origin.recipe}: {', '.join(origin.steps) or 'no steps'}" if origin.recipe else "none"
    )


def made_document(origin: Origin) -> dict[str, Any]:
    """Return what `--json` says of the making of a program."""
    return {
        "recipe": origin.recipe,
        "steps": list(origin.steps),
        "verdicts": list(origin.verdicts),
        "range_sources": {source: list(names) for source, names in origin.ranges.items()},
    }


def print_making(origin: Origin) -> None:
    """Print the recipe, a line for each gate, and a table of where the ranges came from."""
    print_line("")
    print_line(f"recipe {recipe_text(origin)}")
    for verdict in origin.verdicts:
        print_line(f"gate: {verdict}")
    print_line("")
    rows = [(source, str(len(names)), _few(names)) for source, names in origin.ranges.items()]
    print_table(("ranges from", "values", "of"), rows, numeric=("values",))


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown}, ..."
