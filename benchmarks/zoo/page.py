"""The page of the zoo: one row for each network, totals, and every failure with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.zoo.measure import (
    FLOAT_TOLERANCE,
    MEMORY_BYTES,
    ORACLE_WORK,
    VERIFIED,
    is_complete,
)
from benchmarks.zoo.model import SAMPLES, ZooModel
from intlower.markdown import markdown_table

Record = Mapping[str, Any]

INTRODUCTION = """# Networks that others made

Made by `python -m benchmarks.zoo --write docs/models.md` after `pip install '.[models]'`; see
[CONTRIBUTING.md](../CONTRIBUTING.md). Nothing is left out: what fails has a line under *Failures*.

- **float nodes**: nodes of the ONNX file, and what the standard passes leave of them.
- **float error**: greatest difference of our float evaluator from onnxruntime on the file as published, before and after
  the passes, relative to the largest number of the output, or to 1 where that is greater. The network counts as imported up to {tolerance:g}.
- **target columns**: *integers that differ*, *SQNR of the worst output*, *seconds to compile* (on a busy machine, one thread).
  The Numba engine's integers of **every tensor** are compared with onnxruntime's, which runs the artifact's own functions,
  and with the NumPy oracle's, for {verified} samples of random codes of the size given; without the oracle (marked *o*) above
  {work:.0f} * 10^9 multiply-accumulates.
- **SQNR**: against the float network, of {samples} images of smooth noise (of letters, where a network reads them). Ranges come from the statistics
  in batch normalization, without data, where at least half of the convolutions have one; else from {samples} other images (marked *s*).
  Where a softmax is last, the ratio before it follows: of a thousand nearly equal classes an integer softmax of 256 steps is 0 dB, whatever it reads.
- **low ratios**: trained networks never saw such noise. The others have random weights, random scales and shifts in their norms, and the statistics
  of eight images of noise, which other images exceed; deep in such networks noise grows from layer to layer, whatever the ranges. Calibrated on samples
  `darts`, `selecsls42`, `erfnet` and `mobilenet_wd4` have the same figures within 1 dB; with statistics of 64 images `mobilenet_wd4` has 2 dB more
  on `snpe`, `efficientnet_b0` 3. Behind hard swishes and SiLUs `tensorrt`'s own entropy ranges clip most of the signal: `intlower compile` warns of it
  and names the remedy, `--calibration min-max` (`rapidocr-recognition` 14.4 dB for 1.9, `nudenet-yolov8n` 32.1 for 24.0; `rapidocr-detection` 5.6 for 7.8).
- **†**: measured with an earlier state of the sources than that of the page; `--again outdated` measures it again. *-*: not run.
- **limits**: {memory} GiB of memory, and {seconds:.0f} s for each target.
"""


def page(
    entries: Sequence[ZooModel],
    records: Mapping[str, Record],
    targets: Sequence[str],
    seconds: float,
    sources: str,
) -> str:
    """Return the page.

    Args:
        entries: the networks, in the order of the rows.
        records: what is known of each.
        targets: the columns.
        seconds: the limit of time that was in force.
        sources: digest of the sources; results of others are marked.
    """
    text = INTRODUCTION.format(
        tolerance=FLOAT_TOLERANCE,
        verified=VERIFIED,
        samples=SAMPLES,
        memory=MEMORY_BYTES >> 30,
        seconds=seconds,
        work=ORACLE_WORK / 1e9,
    )
    records = {name: _finished(record) for name, record in records.items()}
    unmade = {name: r["exported"] for name, r in records.items() if "exported" in r}
    measured = [
        entry for entry in entries if entry.name in records and entry.name not in unmade
    ]
    missing = [entry.name for entry in entries if entry.name not in records]
    columns = ["network", "from", "nodes", "float nodes", "float error", *targets]
    rows = [_row(entry, records[entry.name], targets, sources) for entry in measured]
    parts = [
        text,
        "## Totals",
        _totals([records[entry.name] for entry in measured], targets),
        "## Networks",
        markdown_table(columns, rows, columns[2:]),
        "## Failures",
        _failures(measured, records, targets),
    ]
    if unmade:
        rows = [[name, _first_words(str(text))] for name, text in unmade.items()]
        parts += ["## No file to measure", markdown_table(["network", "reason"], rows)]
    if missing:
        parts += ["## Not measured", ", ".join(missing)]
    return "\n\n".join(parts) + "\n"


def _finished(record: Record) -> Record:
    """Return a record without results of runs that were ended from outside."""
    results = record.get("targets", {})
    return {**record, "targets": {t: r for t, r in results.items() if is_complete(r)}}


def succeeded(result: Record) -> bool:
    """Whether a target compiled a network and no integer differs."""
    return "mismatches" in result and not any(result["mismatches"].values())


def _totals(records: Sequence[Record], targets: Sequence[str]) -> str:
    rows = []
    refused = sum(record.get("imported") is not True for record in records)
    for target in targets:
        found = [r["targets"][target] for r in records if target in r.get("targets", {})]
        tried = len(found) + refused
        right = sum(succeeded(result) for result in found)
        compared = sum(result.get("compared", 0) for result in found)
        rows.append(
            [
                target,
                str(tried),
                str(sum("instructions" in result for result in found)),
                f"{right} ({right / max(tried, 1):.1%})",
                str(sum(sum(result.get("mismatches", {}).values()) for result in found)),
                f"{compared:,}".replace(",", " "),
                str(len(records) - tried),
            ]
        )
    imported = sum(record.get("imported") is True for record in records)
    exact = sum(record.get("float_error", 1.0) <= FLOAT_TOLERANCE for record in records)
    columns = ["target", "networks", "compiled", "compiled, 0 differ", "integers that differ"]
    columns += ["integers compared", "not run"]
    return (
        f"{len(records)} networks, {imported} imported, {exact} of them within the tolerance in float.\n\n"
        + markdown_table(columns, rows, columns[1:])
    )


def _row(entry: ZooModel, record: Record, targets: Sequence[str], sources: str) -> list[str]:
    mark = " *s*" if record.get("calibration") == "samples" else ""
    error = record.get("float_error")
    return [
        entry.name + mark,
        f"{entry.package} {record.get('version', '')}: {entry.origin}",
        str(record.get("nodes", "")),
        str(record.get("float_nodes", "")),
        "" if error is None else f"{error:.0e}",
        *(_cell(record.get("targets", {}).get(target), sources) for target in targets),
    ]


def _cell(result: Record | None, sources: str) -> str:
    if result is None:
        return "-"
    older = "" if result.get("sources") == sources else " †"
    if "instructions" not in result:
        return f"no{older}"
    if "mismatches" not in result:
        return f"failed{older}"
    different = sum(result["mismatches"].values())
    sqnr = result["sqnr"]
    texts = [f"**{different}**" if different else "0"]
    logits = result.get("logits_sqnr")
    before = "" if logits is None else f" ({logits:.1f} before softmax)"
    texts.append("equal" if sqnr is None else f"{sqnr:.1f} dB{before}")
    texts.append(f"{result['seconds']:.1f} s")
    if "reference" not in result["mismatches"]:
        texts.append("*o*")
    if result["host"]:
        texts.append(f"host {result['host']}")
    return ", ".join(texts) + older


def _failures(
    entries: Sequence[ZooModel], records: Mapping[str, Record], targets: Sequence[str]
) -> str:
    rows = []
    for entry in entries:
        record = records[entry.name]
        if record.get("imported") is not True:
            refused = _first_nodes(str(record.get("imported", "not run")))
            rows.append([entry.name, "import", refused])
            continue
        if record["float_error"] > FLOAT_TOLERANCE:
            rows.append([entry.name, "float", f"error {record['float_error']:.1e}"])
        grouped: dict[str, list[str]] = {}
        for target in targets:
            result = record["targets"].get(target)
            if result is not None and (text := _reason(result)):
                grouped.setdefault(text, []).append(target)
        rows += [[entry.name, ", ".join(names), text] for text, names in grouped.items()]
    return markdown_table(["network", "where", "reason"], rows) if rows else "None."


def _first_words(reason: str) -> str:
    """Return an exporter's error without the trace and the paths that it goes on with."""
    return reason.partition(" [Caused by")[0].partition(" (node defined in")[0]


def _first_nodes(reason: str) -> str:
    """Return a refusal without all but the first of the nodes that it names."""
    if "nodes are not supported" not in reason:
        return reason
    first, *others = reason.split("; ")
    return first if not others else f"{first}; and {len(others)} more"


def _reason(result: Record) -> str:
    if "reason" in result:
        return _first_nodes(str(result["reason"]))
    if "failure" in result:
        return str(result["failure"])
    return (
        ""
        if succeeded(result)
        else "integers differ: "
        + ", ".join(f"{k} {v}" for k, v in result["mismatches"].items())
    )
