"""Writes benchmarks/README.md from the results beside it.

python benchmarks/report.py
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from models import EXACT, FLOAT, OPENVINO, OURS, RESULTS, SATURATING, STATIC

from intlower.profiling import giga_operations
from intlower.terminal import size_text

README = RESULTS.parent / "README.md"
CONTENDERS = (OURS, EXACT, SATURATING, STATIC, OPENVINO, FLOAT)
PROFILED = ("resnet18", "resnet50", "mobilenet_v2")
# Above it, more than one run at a time wanted a core.
BUSY = 1.5
SLOWEST_STEPS = 6
# How the column of a bare matrix product ends; it is compared with the kernel alone.
MATRIX = "MatMulInteger"

INTRODUCTION = """# Benchmarks

Written by `make bench`; the figures are in `results/`. Batch 1. All contenders run in turns, after warm-up, in one process.
The int8 contenders but `quantize_static` run the same integer program: ours, and its Q/DQ export in the other runtimes.

- **onnxruntime int8**: session option `session.x64quantprecision=1`: its sums are exact, as ours are.
- **onnxruntime int8, saturating**: its default. On x86 without VNNI its 16-bit sums saturate: quicker, and wrong; the table of
  differing integers shows how often.
- **onnxruntime quantize_static**: onnxruntime's own quantization of the float model (Q/DQ, per channel), default session.
- **OpenVINO int8**: reads the Q/DQ file of onnxruntime int8.
- **onnxruntime float32**: the model as it was.

ResNet-18, ResNet-50 and MobileNetV2 have random weights (`make_networks.py`); the others are trained models, which lie
beside the project where they are available. A ratio below 1 means that intlower is quicker. Q/DQ files carry grids, not
rounding, so even exact runtimes may be a step apart in places. In both random networks where onnxruntime's exact kernels
differ, the first tensor that does is a residual addition, in 3 of 100,352 and 7 of 25,088 codes: it adds the scaled operands
in another order of float32 operations, and sums next to a tie go the other way. Inputs are random codes, which make much of it.

How ours does it where four 8-bit products have no instruction of their own (AVX2 without VNNI), every way exact:

- 3x3 convolutions of stride 1 go through Winograd's transforms in integers modulo 2^32, with a quarter (4x4 tiles) to less
  than a half (2x2) of the products: *winograd* below; where the sums survive the transforms' factor, which the planner proves
  from the weights, and where it pays. A packed weight takes 8 bytes (4x4) or 3.6 (2x2) where vpmaddwd takes 2.
- Products of codes that their producer's clamp keeps within 7 bits (ReLU before a symmetric grid) are summed by vpmaddubsw
  through 16-bit sums that are proved, from the packed weights, not to saturate: *dense bytes*. Codes of 8 bits take this way
  where few weights are large.
- All else is summed by vpmaddwd: *dense*, *depthwise pairs*.

GOP/s count the operations of the plain convolution, and *of peak* compares them with a loop of vpmaddwd on registers: the
first two ways may pass it.
"""


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are aligned to the right.

    >>> print(table(("a", "b"), [("x", "1")]))
    | a | b |
    |---|---:|
    | x | 1 |
    """
    lines = [columns, *rows]
    texts = ["| " + " | ".join(line) + " |" for line in lines]
    texts.insert(1, "|---|" + "---:|" * (len(columns) - 1))
    return "\n".join(texts)


def machine_text(document: dict[str, Any]) -> str:
    """Return the machine, the instruction set and how busy the machine was."""
    machine = document["machine"]
    text = (
        f"{machine['processor']}, {machine['cores']} cores, instruction set {document['isa']}"
    )
    if machine["load"] is None:
        return f"{text}."
    later = [
        counted["load"]
        for figures in document.get("networks", {}).values()
        for counted in figures["threads"].values()
    ]
    load = max([machine["load"], *later])
    text += f"; load of up to {load}, our own runs included."
    if load > BUSY:
        text += (
            " **Other programs used the cores during this run**: medians and two threads say little; go by the minima,"
            " and on one thread by processor time."
        )
    return text


def milliseconds(timing: dict[str, float] | None) -> str:
    """Return median and minimum."""
    return f"{timing['median_ms']:.3f} / {timing['min_ms']:.3f}" if timing else "-"


def ratio(timings: dict[str, Any], peer: str, ours: str = OURS) -> str:
    """Return ours divided by a peer's: of medians, of minima."""
    if peer not in timings:
        return "-"
    return " / ".join(
        f"{timings[ours][key] / timings[peer][key]:.2f}" for key in ("median_ms", "min_ms")
    )


def latency(networks: dict[str, Any], threads: str) -> str:
    """Return the table of times for a number of threads."""
    measured = {name: figures["threads"][threads]["wall"] for name, figures in networks.items()}
    return table(
        ("network", *CONTENDERS),
        (
            (name, *(milliseconds(timings.get(contender)) for contender in CONTENDERS))
            for name, timings in measured.items()
        ),
    )


def ratios(networks: dict[str, Any], threads: str, clock: str) -> str:
    """Return the table of ratios for a number of threads, by one clock."""
    measured = {name: figures["threads"][threads][clock] for name, figures in networks.items()}
    peers = CONTENDERS[1:]
    return table(
        ("network", *(f"ours / {peer}" for peer in peers)),
        (
            (name, *(ratio(timings, peer) for peer in peers))
            for name, timings in measured.items()
        ),
    )


def memory(networks: dict[str, Any]) -> str:
    """Return the table of work and memory."""
    rows = (
        (
            name,
            f"{figures['multiply_accumulates'] / 1e6:.1f}",
            size_text(figures["peak_bytes"]),
            size_text(figures["total_bytes"]),
        )
        for name, figures in networks.items()
    )
    columns = ("network", "10^6 multiply-accumulates", "peak of activations", "all activations")
    return table(columns, rows)


def differences(networks: dict[str, Any]) -> str:
    """Return the table of output integers that differ from ours."""
    peers = (EXACT, SATURATING, OPENVINO)
    rows = []
    for name, figures in networks.items():
        document = figures["threads"]["1"]
        counts = document["differing_integers"]
        rows.append(
            (name, str(document["outputs"]), *(str(counts.get(peer, "-")) for peer in peers))
        )
    return table(("network", "outputs", *peers), rows)


def profile(steps: list[dict[str, Any]], peak: float | None) -> str:
    """Return where the time goes: by kernel, then the slowest calls."""
    total = sum(step["min_ms"] for step in steps)
    kinds: dict[str, list[float]] = {}
    for step in steps:
        spent = kinds.setdefault(step["kernel"], [0.0, 0.0, 0.0])
        spent[0] += step["min_ms"]
        spent[1] += step["multiply_accumulates"]
        spent[2] += 1
    by_kernel = table(
        ("kernel", "calls", "ms", "of the time", "GOP/s", "of peak"),
        (
            (kind, f"{calls:.0f}", f"{ms:.3f}", f"{ms / total:.1%}", *speed(work, ms, peak))
            for kind, (ms, work, calls) in sorted(kinds.items(), key=lambda item: -item[1][0])
        ),
    )
    slowest = sorted(steps, key=lambda step: -float(step["min_ms"]))[:SLOWEST_STEPS]
    by_call = table(
        ("slowest calls", "ms", "of the time", "GOP/s", "of peak"),
        (
            (
                step["instruction"],
                f"{step['min_ms']:.3f}",
                f"{step['min_ms'] / total:.1%}",
                *speed(step["multiply_accumulates"], step["min_ms"], peak),
            )
            for step in slowest
        ),
    )
    return f"{by_kernel}\n\n{by_call}"


def speed(work: float, ms: float, peak: float | None) -> tuple[str, str]:
    """Return GOP/s and the share of the peak, of a kernel that sums products."""
    if not work:
        return "", ""
    gops = giga_operations(round(work), ms)
    return f"{gops:.1f}", f"{gops / peak:.0%}" if peak else ""


def layers(document: dict[str, Any]) -> str:
    """Return the table of single layers."""
    keys = list(
        dict.fromkeys(
            key for figures in document["layers"].values() for key in figures["ratio"]
        )
    )
    rows = (
        (
            name,
            f"{figures['gops']:.1f}",
            f"{figures['share_of_peak']:.0%}" if "share_of_peak" in figures else "",
            milliseconds(figures["timings"]["kernel"]),
            milliseconds(figures["timings"][OURS]),
            *(
                ratio(figures["timings"], key, "kernel" if key.endswith(MATRIX) else OURS)
                for key in keys
            ),
        )
        for name, figures in document["layers"].items()
    )
    heads = (f"{'kernel' if key.endswith(MATRIX) else 'ours'} / {key}" for key in keys)
    return table(("layer", "GOP/s", "of peak", "kernel ms", "layer ms", *heads), rows)


def read(path: Path) -> dict[str, Any]:
    """Return a JSON document."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def main() -> None:
    """Write the page."""
    document, kernels = read(RESULTS / "networks.json"), read(RESULTS / "kernels.json")
    networks = document["networks"]
    sections = [INTRODUCTION, f"Machine: {machine_text(document)}"]
    for threads in ("1", "2"):
        plural = "" if threads == "1" else "s"
        sections += [
            f"## Networks, {threads} thread{plural}: milliseconds, median / minimum",
            latency(networks, threads),
            "Ratios of medians / of minima:",
            ratios(networks, threads, "wall"),
        ]
        if threads == "1":
            sections += [
                "The same ratios of processor time, in which the runs of other programs do not count:",
                ratios(networks, threads, "processor"),
            ]
    sections += ["## Output integers that differ from ours", differences(networks)]
    sections += ["## Work and memory of one sample", memory(networks)]
    if document["left_out"]:
        sections.append("Left out:")
        sections.append(
            "\n".join(f"- {name}: {why}" for name, why in document["left_out"].items())
        )
    peak = kernels["peak_gops"]
    sections += [
        "## Layers, 1 thread",
        f"`intlower bench kernels`. {machine_text(kernels)}\n\nA register-only loop of the dot-product instruction reached "
        f"{peak} GOP/s in the same run. *kernel* is the convolution alone, *layer* the whole call with the conversions of "
        "layout at both ends, which a network pays once. Milliseconds and ratios are of medians / of minima, GOP/s of the "
        "minimum. A layer alone reads what a caller gives, whose range nothing proves: none is a *dense bytes* here.",
        layers(kernels),
        "## Where the time goes, 1 thread",
        "Every kernel call by itself, in turns, the least time of each. Depthwise convolutions stay at a fifth of the peak: "
        "each product needs its own operand, loaded and interleaved. MobileNetV2's expansions read codes of linear "
        "bottlenecks, of all 8 bits, and take vpmaddwd; those of 16 and 24 channels spend more on requantization than on "
        "products.",
    ]
    # Both runs measure it; a disturbed one finds less.
    most = max((found for found in (peak, document["peak_gops"]) if found), default=None)
    for name in PROFILED:
        sections += [f"### {name}", profile(networks[name]["profile"], most)]
    README.write_text("\n\n".join(section.strip() for section in sections) + "\n", "utf-8")


if __name__ == "__main__":
    main()
