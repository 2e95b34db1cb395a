"""`intlower export`: the files that a vendor's tools read."""

from __future__ import annotations

from pathlib import Path

import click

from intlower.commands.options import FILE, examples, output_options
from intlower.terminal import print_json, print_line, print_table, progress, size_text


@click.command(
    short_help="Write a vendor's files from an artifact.",
    epilog=examples(
        "intlower export --list",
        "intlower export model.snpe.onnx --format snpe -o snpe_files",
    ),
)
@click.argument("artifact", type=FILE, required=False)
@click.option("--format", "format_name", metavar="NAME", help="Which files; see --list.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where to write.  [default: beside the artifact, named after it and the format]",
)
@click.option("--force", is_flag=True, help="Replace files of the same names.")
@click.option("--list", "list_formats", is_flag=True, help="List the formats.")
@output_options
def export(
    artifact: Path | None,
    format_name: str | None,
    output: Path | None,
    force: bool,
    list_formats: bool,
    as_json: bool,
) -> None:
    """Write ARTIFACT in a vendor's format, with a README.txt that says what to run next.

    Nothing is overwritten without --force. A program that the format cannot express is refused, with the node named.
    """
    if list_formats:
        _print_formats(as_json)
        return
    if artifact is None or format_name is None:
        raise click.UsageError(
            "give an artifact and --format, or --list", click.get_current_context()
        )
    from intlower import api
    from intlower.backends.export.registry import find_format

    find_format(format_name)
    folder = output or artifact.parent / f"{artifact.name.removesuffix('.onnx')}.{format_name}"
    with progress(f"exporting {artifact.name}"):
        paths = api.export(api.open(artifact), format_name, folder, force=force)
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}
    if as_json:
        print_json({"format": format_name, "folder": str(folder), "files": sizes})
        return
    print_table(
        ("file", "size"),
        [(name, size_text(size)) for name, size in sizes.items()],
        numeric=("size",),
    )
    print_line(f"{folder / 'README.txt'} says what to run next")


def _print_formats(as_json: bool) -> None:
    from intlower.backends.export.registry import FORMATS

    formats = FORMATS.values()
    if as_json:
        documents = [
            {"name": f.name, "meaning": f.meaning, "expresses": f.expresses} for f in formats
        ]
        print_json({"formats": documents})
        return
    print_table(
        ("format", "for", "programs it can express"),
        [(f.name, f.meaning, f.expresses) for f in formats],
    )
