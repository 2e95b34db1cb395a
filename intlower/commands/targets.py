"""`intlower targets`: what is installed, and the arithmetic contract of each."""

from __future__ import annotations

from typing import Any

import click

from intlower.commands.options import examples, output_options
from intlower.terminal import print_json, print_table


@click.command(
    short_help="List targets, or the arithmetic of one.",
    epilog=examples("intlower targets", "intlower targets tensorrt --json"),
)
@click.argument("name", required=False)
@output_options
def targets(name: str | None, as_json: bool) -> None:
    """List the installed targets, or show the arithmetic of the target NAME.

    Every rule says whether it is a public fact, with its source, or our definition, with the reason.
    """
    from intlower.compiler.discovery import load_target, load_targets

    if name is None:
        specs = [target.spec for target in load_targets()]
        summaries = [
            {
                "name": spec.name,
                "title": spec.title,
                "activations": spec.activations.describe(),
                "weights": spec.weights.describe(),
                "requantize": spec.requantize.value,
            }
            for spec in specs
        ]
        if as_json:
            print_json({"targets": summaries})
        else:
            columns = ("name", "title", "activations", "weights", "requantize")
            print_table(columns, [list(summary.values()) for summary in summaries])
        return
    spec = load_target(name).spec
    contract: list[dict[str, Any]] = [
        {
            "field": field,
            "value": value,
            "status": provenance.status.value,
            "source": provenance.source,
        }
        for field, value, provenance in spec.contract()
    ]
    if as_json:
        print_json({"name": spec.name, "title": spec.title, "contract": contract})
    else:
        print_table(
            ("field", "value", "status", "source"),
            [list(row.values()) for row in contract],
            title=f"{spec.name}: {spec.title}",
        )
