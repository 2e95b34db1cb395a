"""`intlower bench kernels`: single layers beside the processor's peak and other runtimes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intlower.terminal import print_json, print_line, print_table, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from intlower.kernels.isa import Isa
    from intlower.layers import Layer

# The network's runtimes and, where the layer is a matrix product, their bare product of integer matrices.
MATRIX = "MatMulInteger"
SECONDS = 0.25


def bench_kernels(
    against: Sequence[str],
    exact: str,
    threads: int,
    repeats: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Time every layer of `intlower.layers` and print a table.

    Args:
        against: names of onnxruntime's settings.
        exact: the one of them that forbids saturating sums.
        threads: of every contender.
        repeats: timed runs of each; as many as fit in SECONDS where None.
        seed: of the random weights and codes.
        as_json: print one JSON document.
    """
    from intlower.benchmarking import machine
    from intlower.kernels.isa import host_isa
    from intlower.layers import LAYERS
    from intlower.profiling import giga_operations, peak_run

    isa = host_isa()
    peak = peak_run(isa, threads)
    layers: dict[str, dict[str, Any]] = {}
    with progress("timing layers") as shown:
        for index, layer in enumerate(LAYERS):
            shown.stage(layer.name)
            shown.count(index, len(LAYERS))
            layers[layer.name] = _measure(
                layer, isa, peak[0] if peak else None, against, exact, threads, repeats, seed
            )
    most = None
    if peak is not None:
        quickest = min(figures.pop("peak_ms") for figures in layers.values())
        most = giga_operations(peak[1], quickest)
        for figures in layers.values():
            figures["share_of_peak"] = round(figures["gops"] / most, 4)
    document = {
        "machine": machine(),
        "isa": isa.name,
        "threads": threads,
        "peak_gops": None if most is None else round(most, 1),
        "layers": layers,
    }
    if as_json:
        print_json(document)
        return
    _print(document, against)


def _measure(
    layer: Layer,
    isa: Isa,
    peak: Callable[[], object] | None,
    against: Sequence[str],
    exact: str,
    threads: int,
    repeats: int | None,
    seed: int,
) -> dict[str, Any]:
    """Return the figures of one layer; GOP/s and the ratios to MatMulInteger are of the kernel alone."""
    from intlower.benchmarking import alternate
    from intlower.compiler.crosscheck import random_inputs
    from intlower.compiler.simulator import open_program
    from intlower.evaluation import open_session
    from intlower.layers import layer_program, matrix_model
    from intlower.peers import differing, onnxruntime_run
    from intlower.profiling import giga_operations, steps

    program = layer_program(layer, seed)
    simulator = open_program(program, threads=threads)
    codes = random_inputs(program, 1, seed)
    (kernel,) = (step for step in steps(program, isa, threads) if step.sums_products)
    contenders: dict[str, Callable[[], Any]] = {
        "kernel": kernel.run,
        "intlower": lambda: simulator.run(codes),
    }
    if peak is not None:
        contenders["peak"] = peak
    for peer in against:
        contenders[peer] = onnxruntime_run(program, codes, threads, exact=peer == exact)
        if layer.is_matrix_product:
            model, matrix = matrix_model(layer, seed)
            session = open_session(model, threads=threads, what=MATRIX, exact=peer == exact)
            contenders[f"{peer} {MATRIX}"] = _matrix_run(session, matrix)
    ours = contenders["intlower"]()
    wrong = {peer: differing(ours, contenders[peer]()) for peer in against}
    timings = alternate(contenders, seconds=SECONDS, repeats=repeats)
    spent = timings.pop("peak", None)
    alone = timings["kernel"]
    figures: dict[str, Any] = {
        "gops": round(giga_operations(kernel.multiply_accumulates, alone.min_ms), 1),
        "timings": {name: timing.document() for name, timing in timings.items()},
        "ratio": {
            name: round(
                (alone if name.endswith(MATRIX) else timings["intlower"]).median_ms
                / timing.median_ms,
                4,
            )
            for name, timing in timings.items()
            if name not in ("kernel", "intlower")
        },
        "differing_integers": wrong,
    }
    return figures | ({"peak_ms": spent.min_ms} if spent is not None else {})


def _matrix_run(session: Any, matrix: Any) -> Callable[[], Any]:
    return lambda: session.run(None, {"x": matrix})


def _print(document: dict[str, Any], against: Sequence[str]) -> None:
    columns = [(peer, f"ours / {peer}") for peer in against]
    columns += [(f"{peer} {MATRIX}", f"kernel / {peer} {MATRIX}") for peer in against]
    rows = []
    for name, figures in document["layers"].items():
        share = figures.get("share_of_peak")
        rows.append(
            (
                name,
                f"{figures['gops']:.1f}",
                "" if share is None else f"{100 * share:.0f} %",
                f"{figures['timings']['kernel']['min_ms']:.3f}",
                f"{figures['timings']['intlower']['min_ms']:.3f}",
                *(
                    f"{figures['ratio'][key]:.2f}" if key in figures["ratio"] else ""
                    for key, _ in columns
                ),
            )
        )
    numeric = ("GOP/s", "of peak", "kernel ms", "layer ms", *(head for _, head in columns))
    threads = document["threads"]
    print_table(
        ("layer", *numeric),
        rows,
        title=f"layers, {document['isa']}, {threads} thread{'s' if threads > 1 else ''}",
        numeric=numeric,
    )
    peak = document["peak_gops"]
    print_line(
        "this instruction set has no dot-product instruction to measure"
        if peak is None
        else f"peak of the dot-product instruction, measured in this run: {peak} GOP/s"
    )
