"""From instructions to rows: layout, packing, and one writer for each operator."""
