"""The pages of docs/targets, written from the same data as `intlower targets NAME` shows."""

from __future__ import annotations

from intlower.compiler.errors import TargetError
from intlower.compiler.spec import Contract
from intlower.compiler.target import Target, TargetFamily
from intlower.markdown import markdown_table

_COLUMNS = ("field", "value", "status", "source")


def contract_page(provided: Target | TargetFamily) -> str:
    """Return the Markdown page of a target: its contract, its options, and what each option changes."""
    spec = provided.member("").spec if isinstance(provided, TargetFamily) else provided.spec
    parts = [
        f"# {spec.name}: {spec.title}",
        f"Written by `intlower targets --write docs/targets`; the same as `intlower targets {spec.name}` shows.",
        markdown_table(_COLUMNS, _rows(spec)),
    ]
    if isinstance(provided, TargetFamily):
        parts += _options(provided, spec)
    return "\n\n".join(parts) + "\n"


def _options(family: TargetFamily, default: Contract) -> list[str]:
    rows = [
        (f"`{option.name}`", ", ".join(option.values), option.meaning)
        for option in family.options
    ]
    parts = [
        "## Options",
        f"The first value is the default. Written after the name: `{family.name}:{_example(family)}`.",
        markdown_table(("option", "values", "meaning"), rows),
    ]
    known = {row[0]: row for row in _rows(default)}
    for option in family.options:
        for value in option.values[1:]:
            try:
                member = family.member(f"{option.name}={value}").spec
            except TargetError as error:  # possible only together with another option
                parts += [f"### {option.name}={value}", str(error)]
                continue
            changed = [row for row in _rows(member) if row != known.get(row[0])]
            parts += [
                f"### {option.name}={value}",
                markdown_table(_COLUMNS, changed)
                if changed
                else "Nothing of the above changes.",
            ]
    return parts


def _example(family: TargetFamily) -> str:
    option = family.options[0]
    return f"{option.name}={option.values[-1]}"


def _rows(spec: Contract) -> list[tuple[str, str, str, str]]:
    return [
        (field, value, provenance.status.value, provenance.source)
        for field, value, provenance in spec.contract()
    ]
