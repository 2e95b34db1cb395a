"""What a target is: the joint at which strangers extend the compiler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from intlower.compiler.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from intlower.compiler.calibration import Ranges
    from intlower.compiler.graph import Graph
    from intlower.compiler.program import IntegerProgram, Origin
    from intlower.compiler.recipe import Recipe
    from intlower.compiler.second_moments import SecondMoments
    from intlower.compiler.spec import Contract


@runtime_checkable
class Target(Protocol):
    """A target: its arithmetic as data, its recipes, and its lowering.

    A package provides one by an entry point in the group `intlower.targets` whose name is `spec.name`. Most targets
    are `UniformTarget(spec=...)` of `backends/uniform.py` and write no code. A `TargetFamily` stands for several.
    """

    @property
    def spec(self) -> Contract:
        """The arithmetic contract."""
        ...

    def recipe(
        self, name: str, *, added: Sequence[str] = (), removed: Sequence[str] = ()
    ) -> Recipe:
        """Return the recipe of a name; "default" and "none" exist for every target.

        Args:
            name: of the recipe.
            added: names of steps that it gets as well.
            removed: names of steps that it goes without.

        Raises:
            TargetError: no such recipe or step; the hint lists those that are.
        """
        ...

    def lower(
        self,
        graph: Graph,
        ranges: Ranges,
        recipe: Recipe,
        origin: Origin,
        second_moments: Mapping[str, SecondMoments] | None = None,
    ) -> IntegerProgram:
        """Return the integer program of a graph, prepared by the recipe's passes, whose values have ranges.

        Second moments of what layers read are given where the recipe rounds by GPTQ.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One choice that a target's name may state, as in `nart_arm:bits=4`.

    Attributes:
        name: before the equals sign.
        values: that it may have; the first is the default.
        meaning: in words, for tables.
    """

    name: str
    values: tuple[str, ...]
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFamily:
    """Targets that differ by options; an entry point may name one in the place of a target.

    Attributes:
        name: of the entry point, before the colon.
        options: in the order in which full names list them.
        make: from the full name and the value of every option to the target, whose spec has that name; it raises
            TargetError for values that are impossible together.
    """

    name: str
    options: tuple[Option, ...]
    make: Callable[[str, Mapping[str, str]], Target]

    def member(self, text: str) -> Target:
        """Return the target with the options of a text such as `bits=4,weights=per_channel`; empty for all defaults.

        The full name lists the options that are not at their default, in order: one target has one name.

        Raises:
            TargetError: an option or a value does not exist, or an option stands twice; the hint lists what is possible.
        """
        values = {option.name: option.values[0] for option in self.options}
        given: set[str] = set()
        for part in text.split(",") if text else ():
            key, _, value = (piece.strip() for piece in part.partition("="))
            option = next((option for option in self.options if option.name == key), None)
            if option is None or key in given:
                reason = "twice" if option else "which it does not have"
                raise TargetError(
                    f"target {self.name!r} is given the option {key!r} {reason}", self.hint()
                )
            if value not in option.values:
                raise TargetError(
                    f"target {self.name!r} has no {key}={value}",
                    f"{key} is one of {', '.join(option.values)}",
                )
            given.add(key)
            values[key] = value
        stated = [
            f"{option.name}={values[option.name]}"
            for option in self.options
            if values[option.name] != option.values[0]
        ]
        return self.make(
            ":".join([self.name, ",".join(stated)] if stated else [self.name]), values
        )

    def hint(self) -> str:
        """Return the options in words: `bits=8|2|3, weights=per_tensor|per_channel`."""
        if not self.options:
            return f"{self.name} has no options"
        texts = (f"{option.name}={'|'.join(option.values)}" for option in self.options)
        return f"its options are {', '.join(texts)}"
