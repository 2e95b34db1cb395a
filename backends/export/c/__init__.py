"""A program as self-contained C99: `export_c` returns the files."""
