"""Grids: which real number a code stands for; one file for each number system."""

from intlower.compiler.grids.base import Grid, uniform
from intlower.compiler.grids.channels import ChannelGrid
from intlower.compiler.grids.half import HalfGrid
from intlower.compiler.grids.logarithmic import LogGrid, linear_grid
from intlower.compiler.grids.minifloat import MinifloatGrid
from intlower.compiler.grids.uniform import UniformGrid, UniformSpec, round_real

__all__ = [
    "ChannelGrid",
    "Grid",
    "HalfGrid",
    "LogGrid",
    "MinifloatGrid",
    "UniformGrid",
    "UniformSpec",
    "linear_grid",
    "round_real",
    "uniform",
]
