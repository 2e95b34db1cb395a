"""Graphs, grids, passes and integer programs. Knows the kernels, not the targets."""
