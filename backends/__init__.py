"""The built-in targets: one file each, on shared lowering code."""
