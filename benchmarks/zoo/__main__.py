"""The command of the zoo; see the package."""

from __future__ import annotations

import argparse
import math
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.zoo.catalogue import catalogue
from benchmarks.zoo.measure import (
    is_complete,
    read_record,
    record_path,
    sources_digest,
    write_record,
)
from benchmarks.zoo.page import page, succeeded
from benchmarks.zoo.run import ROOT, ZooJob, measure_bounded
from intlower.compiler.files import write_atomically
from intlower.jobs.local import LocalEngine

TARGETS = ("tensorrt", "snpe", "nnie", "vitis", "litert")


def arguments() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo", description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page there")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "build" / "zoo", help="of results"
    )
    parser.add_argument("--targets", default=",".join(TARGETS), help="separated by commas")
    parser.add_argument("--only", default="", help="names that hold this regular expression")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--seconds", type=float, default=600.0, help="limit of one process")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--stop-after", type=float, metavar="SECONDS", default=math.inf)
    parser.add_argument(
        "--again",
        choices=("no", "failed", "outdated", "all"),
        default="no",
        help="which kept results are measured again",
    )
    parser.add_argument("--page-only", action="store_true", help="write what is known already")
    return parser.parse_args()


def is_kept(result: Mapping[str, Any], again: str, sources: str) -> bool:
    """Whether a result stays as it is."""
    match again:
        case "failed":
            return succeeded(result)
        case "outdated":
            return result.get("sources") == sources
        case _:
            return again == "no"


def forget(folder: Path, name: str, targets: tuple[str, ...], again: str, sources: str) -> None:
    """Remove the results that shall be measured again."""
    record = read_record(folder, name)
    results = record.get("targets", {})
    kept = {t: r for t, r in results.items() if t not in targets or is_kept(r, again, sources)}
    if kept == results and record.get("imported") is True:
        return
    for key in ("exported", "float_error", "imported"):
        record.pop(key, None)
    write_record(folder, name, record | {"targets": kept})


def main() -> None:
    """Measure what is not known yet and write the page."""
    options = arguments()
    sources = sources_digest()
    options.folder.mkdir(parents=True, exist_ok=True)
    targets = tuple(options.targets.split(","))
    entries = [entry for entry in catalogue() if re.search(options.only, entry.name)]
    installed = [entry for entry in entries if entry.version]
    if not options.page_only:
        for entry in installed:
            if options.again != "no" and record_path(options.folder, entry.name).exists():
                forget(options.folder, entry.name, targets, options.again, sources)
        waiting = [
            entry.name
            for entry in installed
            if (record := read_record(options.folder, entry.name)).get("imported", True) is True
            and "exported" not in record
            and set(targets)
            - {t for t, r in record.get("targets", {}).items() if is_complete(r)}
        ]
        jobs = [
            ZooJob(
                name=name,
                folder=options.folder,
                targets=targets,
                seconds=options.seconds,
                threads=options.threads,
                deadline=time.time() + options.stop_after,
            )
            for name in waiting
        ]
        for number, outcome in enumerate(
            LocalEngine(workers=options.jobs).run(measure_bounded, jobs), 1
        ):
            name = waiting[outcome.index]
            trouble = "" if outcome.failure is None else f": {outcome.failure.message}"
            print(f"{number}/{len(jobs)} {name}{trouble}", flush=True)
    if options.write is not None:
        records = {
            entry.name: read_record(options.folder, entry.name)
            for entry in entries
            if record_path(options.folder, entry.name).exists()
        }
        text = page(entries, records, targets, options.seconds, sources)
        write_atomically(options.write, text.encode())


if __name__ == "__main__":
    main()
