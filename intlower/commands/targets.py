"""`intlower targets`: what is installed, and the arithmetic contract of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from intlower.commands.options import examples, output_options
from intlower.terminal import print_json, print_line, print_table, print_warning


@click.command(
    short_help="List targets, or the arithmetic of one.",
    epilog=examples("intlower targets", "intlower targets tensorrt --json"),
)
@click.argument("name", required=False)
@click.option(
    "--write",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write a Markdown page for each installed target, or for NAME, into this folder.",
)
@output_options
def targets(name: str | None, folder: Path | None, as_json: bool) -> None:
    """List the installed targets, or show the arithmetic of the target NAME.

    Every rule says whether it is a public fact, with its source, or our definition, with the reason.
    """
    from intlower.compiler.discovery import load_family, load_target, target_names
    from intlower.compiler.errors import TargetError
    from intlower.compiler.target import TargetFamily

    if folder is not None:
        _write_pages((name,) if name else target_names(), folder, as_json)
        return
    if name is None:
        specs, failures = [], []
        for installed in target_names():
            try:
                specs.append(load_target(installed).spec)
            except TargetError as error:  # one broken package must not hide the other targets
                failures.append({"name": installed, "message": str(error), "hint": error.hint})
        summaries = [
            {
                "name": spec.name,
                "title": spec.title,
                **spec.summary(),
            }
            for spec in specs
        ]
        if as_json:
            print_json({"targets": summaries, "failures": failures})
        else:
            columns = ("name", "title", "activations", "weights", "requantize")
            print_table(columns, [list(summary.values()) for summary in summaries])
        for failure in failures:
            print_warning(failure["message"], failure["hint"])
        return
    spec = load_target(name).spec
    family = load_family(name.partition(":")[0])
    options = family.options if isinstance(family, TargetFamily) else ()
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
        choices = [{"name": o.name, "values": o.values, "meaning": o.meaning} for o in options]
        print_json(
            {
                "name": spec.name,
                "title": spec.title,
                "options": choices,
                "contract": contract,
            }
        )
    else:
        print_table(
            ("field", "value", "status", "source"),
            [list(row.values()) for row in contract],
            title=f"{spec.name}: {spec.title}",
        )
        for option in options:
            values = ", ".join(option.values)
            print_line(
                f"option {option.name}: {values} (the first unless stated); {option.meaning}"
            )


def _write_pages(names: tuple[str, ...], folder: Path, as_json: bool) -> None:
    from intlower.compiler.discovery import load_family
    from intlower.compiler.files import write_atomically
    from intlower.contract_pages import contract_page

    folder.mkdir(parents=True, exist_ok=True)
    pages = []
    for name in names:
        page = folder / f"{name}.md"
        write_atomically(page, contract_page(load_family(name)).encode())
        pages.append(str(page))
    if as_json:
        print_json({"pages": pages})
        return
    for path in pages:
        print_line(path)
