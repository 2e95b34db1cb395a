"""Which models can share a canvas, and what each of them sees of it at each size: the roll of a school."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from intlower.compiler.errors import CalibrationError, InvalidGraph
from intlower.compiler.graph import Graph
from intlower.compiler.synthesis.images import InputModel
from intlower.compiler.synthesis.lesson import teacher_for
from intlower.compiler.synthesis.synthesize import (
    FULL_RATE,
    FULL_STEPS,
    GRID,
    JITTER,
    LARGE,
    ONLY_RATE,
    ONLY_STEPS,
    SMALL_RATE,
    SMALL_STEPS,
)
from intlower.compiler.synthesis.view import View, view_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A part of the schedule.

    Attributes:
        shape: of one sample of the canvas.
        sizes: what each teacher sees, behind the channels; None for one that sits out, since it needs its full size.
        steps: at most.
        rate: of the first steps, in deviations of the canvas.
        jitter: the share of the steps in which the canvas is shifted and mirrored.
        share: of the time budget that is left when the term begins.
    """

    shape: tuple[int, ...]
    sizes: tuple[tuple[int, ...] | None, ...]
    steps: int
    rate: float
    jitter: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class School:
    """Models that learn from one canvas, or rather teach it.

    Attributes:
        names: of the teachers, for messages.
        views: how each of them sees the canvas.
        canvas: what the noise on it is like: mean and std, limits 0 and 1.
        terms: the schedule.
    """

    names: tuple[str, ...]
    views: tuple[View, ...]
    canvas: InputModel
    terms: tuple[Term, ...]


def found_school(
    graphs: Mapping[str, Graph],
    ranges: Mapping[str, tuple[float, float]] | None = None,
    shape: tuple[int, ...] | None = None,
) -> School:
    """Return the school of some models.

    Images of any size and of one or three channels share a canvas, which is as large as the largest; other inputs only with
    inputs of their own shape. A large canvas begins at half its size, and with it all that is seen of it, so that texture
    keeps its scale for every teacher when the halves are sewn together.

    Args:
        graphs: by name; batch norm folded, moments recorded.
        ranges: of their inputs, by the graphs' names, where known.
        shape: of one sample of the canvas; None for what the models need.

    Raises:
        CalibrationError: a model has several inputs, or no statistics, or the models have no kind of input in common.
    """
    names = tuple(graphs)
    views = []
    for name, graph in graphs.items():
        try:
            teacher_for(graph, tuple(graph.inputs[0].shape[2:]))  # type: ignore[arg-type]
            views.append(view_of(graph, (ranges or {}).get(name)))
        except CalibrationError as error:
            raise CalibrationError(f"{name}: {error}", error.hint) from None
    canvas = _common_shape(names, views) if shape is None else shape
    means = torch.stack([_colours(view, canvas[0]) for view in views])
    noise = InputModel(
        name="canvas",
        mean=means.mean(0).reshape(-1, *(1,) * (len(canvas) - 1)),
        std=sum(view.std for view in views) / len(views),
        minimum=0.0,
        maximum=1.0,
        is_image=views[0].is_image,
    )
    return School(
        names=names,
        views=tuple(views),
        canvas=noise,
        terms=_terms(list(graphs.values()), views, canvas),
    )


def _common_shape(names: Sequence[str], views: Sequence[View]) -> tuple[int, ...]:
    def described(index: int) -> str:
        kind = "images" if views[index].is_image else "numbers"
        return f"{names[index]} takes {kind} of {'x'.join(map(str, views[index].shape))}"

    for index, view in enumerate(views):
        first = views[0]
        alike = (
            first.is_image
            and view.is_image
            and (view.shape[0] == first.shape[0] or {view.shape[0], first.shape[0]} == {1, 3})
        )
        if not alike and view.shape != first.shape:
            raise CalibrationError(
                f"the models have no inputs in common: {described(0)}, {described(index)}",
                "synthesize for them apart; images go together, and inputs of one shape",
            )
    if not views[0].is_image:
        return views[0].shape
    return (
        max(view.shape[0] for view in views),
        max(view.shape[1] for view in views),
        max(view.shape[2] for view in views),
    )


def _colours(view: View, channels: int) -> torch.Tensor:
    """Return the mean of a view's inputs in the canvas's channels."""
    mean = view.mean.flip(0) if view.reversed_channels else view.mean
    if len(mean) == channels:
        return mean
    return mean.mean().expand(channels)


def _terms(
    graphs: Sequence[Graph], views: Sequence[View], canvas: tuple[int, ...]
) -> tuple[Term, ...]:
    own = tuple(view.shape[1:] for view in views)
    if not views[0].is_image or min(canvas[1:]) < LARGE:
        only = Term(
            shape=canvas,
            sizes=own,
            steps=ONLY_STEPS,
            rate=ONLY_RATE,
            jitter=JITTER,
            share=1.0,
        )
        return (only,)
    half = tuple(length // 2 // GRID * GRID for length in canvas[1:])
    sizes = tuple(
        _halved(graph, view, (half[0] / canvas[1], half[1] / canvas[2]))
        for graph, view in zip(graphs, views, strict=True)
    )
    full = Term(
        shape=canvas, sizes=own, steps=FULL_STEPS, rate=FULL_RATE, jitter=0.0, share=1.0
    )
    if not any(sizes):
        return (full,)
    small = Term(
        shape=(canvas[0], *half),
        sizes=sizes,
        steps=SMALL_STEPS,
        rate=SMALL_RATE,
        jitter=0.0,
        share=0.5,
    )
    return (small, full)


def _halved(graph: Graph, view: View, share: tuple[float, float]) -> tuple[int, ...] | None:
    """Return the size at which a teacher sees a smaller canvas; None where a layer does not take it."""
    height, width = (
        max(1, round(length * part)) for length, part in zip(view.shape[1:], share, strict=True)
    )
    try:
        teacher_for(graph, (height, width))
    except InvalidGraph:
        return None
    return height, width
