"""Finding the installed targets, built in and third party alike, by entry point."""

from __future__ import annotations

import difflib
from collections import defaultdict
from importlib.metadata import EntryPoint, entry_points

from intlower.compiler.errors import DuplicateTarget, TargetError, UnknownTarget
from intlower.compiler.target import Target, TargetFamily

GROUP = "intlower.targets"


def target_names() -> tuple[str, ...]:
    """Return the names of all installed targets, sorted, without importing any."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


def load_target(name: str) -> Target:
    """Return the target of a name, with options after a colon where it has some: `nart_arm:bits=4`.

    Raises:
        UnknownTarget: no package provides it; lists those that are installed.
        DuplicateTarget: two packages provide it.
        TargetError: its package fails to import or provides something else; or it has no such option.
    """
    base, _, options = name.partition(":")
    provided = load_family(base)
    if isinstance(provided, TargetFamily):
        return provided.member(options)
    if options:
        raise TargetError(f"target {base!r} has no options", f"write {base!r} alone")
    return provided


def load_family(name: str) -> Target | TargetFamily:
    """Return what the entry point of a name provides: one target, or several that differ by options.

    Raises:
        UnknownTarget: see `load_target`; DuplicateTarget and TargetError alike.
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
        provided: Target | TargetFamily = found[name][0].load()
        default = provided.member("") if isinstance(provided, TargetFamily) else provided
    except Exception as error:
        raise TargetError(
            f"target {name!r} of {providers[0]!r} cannot be imported: {error}",
            "reinstall the package that provides it",
        ) from error
    if not isinstance(default, Target) or default.spec.name != name:
        raise TargetError(
            f"{found[name][0].value!r} of {providers[0]!r} is not a target called {name!r}",
            "an entry point names an object with spec, recipe() and lower()",
        )
    return provided


def load_targets() -> tuple[Target, ...]:
    """Return every installed target, by name."""
    return tuple(load_target(name) for name in target_names())
