"""Finding the installed targets, built in and third party alike, by entry point."""

from __future__ import annotations

import difflib
from collections import defaultdict
from importlib.metadata import EntryPoint, entry_points

from intlower.compiler.errors import DuplicateTarget, TargetError, UnknownTarget
from intlower.compiler.target import Target

GROUP = "intlower.targets"


def target_names() -> tuple[str, ...]:
    """Return the names of all installed targets, sorted, without importing any."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


def load_target(name: str) -> Target:
    """Return the target of a name.

    Raises:
        UnknownTarget: no package provides it; lists those that are installed.
        DuplicateTarget: two packages provide it.
        TargetError: its package fails to import or provides something else.
    """
    found: dict[str, list[EntryPoint]] = defaultdict(list)
    for entry in entry_points(group=GROUP):
        found[entry.name].append(entry)
    if name not in found:
        raise UnknownTarget(name, sorted(found), difflib.get_close_matches(name, found))
    providers = sorted(
        {entry.dist.name if entry.dist else entry.value for entry in found[name]}
    )
    if len(providers) > 1:
        raise DuplicateTarget(name, providers)
    try:
        target = found[name][0].load()
    except Exception as error:
        raise TargetError(
            f"target {name!r} of {providers[0]!r} cannot be imported: {error}",
            "reinstall the package that provides it",
        ) from error
    if not isinstance(target, Target) or target.spec.name != name:
        raise TargetError(
            f"{found[name][0].value!r} of {providers[0]!r} is not a target called {name!r}",
            "an entry point names an object with spec, recipe() and lower()",
        )
    return target


def load_targets() -> tuple[Target, ...]:
    """Return every installed target, by name."""
    return tuple(load_target(name) for name in target_names())
