"""Integer arithmetic: rules, the NumPy oracle and the Numba kernels. Knows nothing of graphs."""
