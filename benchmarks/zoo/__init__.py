"""Networks that others made, compiled for several targets: what runs, how exactly, and what does not and why.

    pip install --constraint constraints.txt --editable '.[models]'
    python -m benchmarks.zoo --write docs/models.md --jobs 2

Results are kept for each network as JSON in `build/zoo`, so that an interrupted run goes on where it was.
"""
