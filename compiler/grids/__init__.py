"""Grids: which real number a code stands for; one file for each number system."""

from intlower.compiler.grids.base import Grid, uniform
from intlower.compiler.grids.half import HalfGrid
from intlower.compiler.grids.uniform import UniformGrid, UniformSpec, round_real

__all__ = ["Grid", "HalfGrid", "UniformGrid", "UniformSpec", "round_real", "uniform"]
