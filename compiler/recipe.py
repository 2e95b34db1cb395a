"""How a graph is prepared for a target: the passes, and how weights become codes."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from intlower.compiler.passes.base import Pass


class WeightRounding(enum.Enum):
    """How a real weight between two codes becomes one of them.

    NEAREST: each on its own. SQUANT: nearest, then a few are turned to their other neighbour so that the rounding errors
    of each filter window cancel; no data is needed. GPTQ: one after the other, each error made up for in the weights not
    yet rounded; samples are needed.
    """

    NEAREST = "nearest"
    SQUANT = "squant"
    GPTQ = "gptq"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One way to prepare a graph; `repr` says exactly what it does, and is stored in the program.

    Attributes:
        name: what the command line calls it.
        passes: graph rewrites before calibration, in order.
        rounding: of weights.
        correct_bias: whether biases take up the mean error that weight rounding leaves, known from moments.
        correct_on_samples: whether biases also take up what running the program on samples shows, where that helps on
            samples held out.
        steps: names of the optional steps that made it, in order; see `Target.recipe`.
        data_free: whether samples are refused, and ranges from noise as well.
        synthesize: how many inputs to make from the network's statistics, where that can be done; 0 for none.
        needs_ranges: whether the lowering wants to know between what numbers values lie.
    """

    name: str
    passes: tuple[Pass, ...]
    rounding: WeightRounding
    correct_bias: bool
    correct_on_samples: bool = False
    steps: tuple[str, ...] = ()
    data_free: bool = False
    synthesize: int = 0
    needs_ranges: bool = True

    @property
    def sample_step(self) -> str:
        """The name of a step that cannot do without samples; empty where there is none."""
        if self.rounding is WeightRounding.GPTQ:
            return "gptq"
        return "correct_on_samples" if self.correct_on_samples else ""
