"""From a graph with ranges to an integer program, by a target's spec; shared by all targets on uniform grids."""

from intlower.backends.lowering.lower import lower_uniform

__all__ = ["lower_uniform"]
