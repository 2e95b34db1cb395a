"""The names of the installed targets, with every value of their options."""

from __future__ import annotations

from intlower.compiler.discovery import load_family, target_names
from intlower.compiler.target import TargetFamily

TARGETS = target_names()


def variants() -> tuple[str, ...]:
    """Every target with one option off its default, at each of its values."""
    names = []
    for name in TARGETS:
        family = load_family(name)
        if isinstance(family, TargetFamily):
            names += [
                f"{name}:{option.name}={value}"
                for option in family.options
                for value in option.values[1:]
            ]
    return tuple(names)
