"""One step with one teacher: inputs go in, their derivative comes out. Plain arrays, so that a teacher may be anywhere.

    loss = matching + agreement KL(p_others || p) / log K + diversity mean over pairs of max(0, cos(f_a, f_b) - SIMILAR)

matching is the teacher's own (`teacher.py`); p are its class probabilities, p_others the mean of those that all teachers of
as many classes K gave a step before; f are an input's features in the teacher's last layer with statistics.

Source: Li et al., "Learning in School: Multi-teacher Knowledge Inversion for Data-Free Quantization" (arXiv 2011.09899, later
"MixMix"): one image set that matches the statistics of many teachers. The two further terms are our own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from intlower.compiler.errors import CalibrationError, InvalidGraph
from intlower.compiler.graph import Graph
from intlower.compiler.synthesis.gradients import check_start, input_gradients
from intlower.compiler.synthesis.teacher import (
    Teacher,
    build_teacher,
    matching_layers,
    resized,
)

# The cosine of two inputs' features up to which they count as different.
SIMILAR = 0.5

# Weights found on two teachers of ten classes: more agreement costs matching (0.03 took twice the steps, 0.1 missed the level
# of real data), with less they give the same class to fewer inputs (0: 6 of 16, 0.003: 13); diversity costs a step or two.
AGREEMENT, DIVERSITY = 0.003, 0.3

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a school asks for beside matching statistics.

    Attributes:
        slack: how far a channel's mean and std may stray at no cost, in recorded deviations.
        agreement: weight of the teachers' agreement on classes.
        diversity: weight of the inputs' difference from each other.
    """

    slack: float = 0.0
    agreement: float = AGREEMENT
    diversity: float = DIVERSITY


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What one teacher is asked.

    Attributes:
        teacher: its place in the school.
        size: of the inputs behind their channels; another one than its own only where it was found to take it.
        inputs: float32 [N, C, *size], as it takes them.
        others: float32 [N, K], class probabilities to come closer to, or None.
        wishes: beside matching statistics.
        first: whether inputs are noise still; then a teacher that cannot teach says so.
    """

    teacher: int
    size: tuple[int, ...]
    inputs: FloatArray
    others: FloatArray | None
    wishes: Wishes
    first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What it says.

    Attributes:
        gradient: float32, like the lesson's inputs: of the loss with respect to them.
        matching: the matching loss.
        similarity: mean cosine of two inputs' features.
        probabilities: float32 [N, K] of a classifier, or None.
    """

    gradient: FloatArray
    matching: float
    similarity: float
    probabilities: FloatArray | None


def teacher_for(graph: Graph, size: tuple[int, ...]) -> Teacher:
    """Return a network as a teacher for inputs of a size, with its classifier where that takes the size.

    Args:
        graph: batch norm folded, moments recorded; one input.
        size: of a sample behind its channels.

    Raises:
        CalibrationError: it has no statistics, or an operator depends on a fixed batch.
        InvalidGraph: a layer does not take the size.
    """
    if not matching_layers(graph):
        raise CalibrationError(
            "inputs cannot be synthesized: no layer has batch-norm statistics that are not zero",
            "export the model with batch normalization kept (torch: training=TrainingMode.PRESERVE)",
        )
    own = tuple(graph.inputs[0].shape[2:])
    try:
        full = build_teacher(graph, classify=True)
    except InvalidGraph as error:
        raise CalibrationError(
            f"inputs cannot be synthesized: {error}", "export the model with a free batch"
        ) from None
    if size == own:
        return full
    height, width = size
    try:
        return replace(full, graph=resized(full.graph, height, width))
    except InvalidGraph:  # the classifier may be what needs the size
        trunk = build_teacher(graph, classify=False)
        return replace(trunk, graph=resized(trunk.graph, height, width))


def answer(teacher: Teacher, lesson: Lesson) -> Answer:
    """Return what a teacher says of a lesson's inputs. The same bits wherever it is asked, on processors of one kind.

    Raises:
        CalibrationError: the teacher cannot teach; see `check_start`.
    """
    inputs = torch.tensor(
        lesson.inputs
    ).requires_grad_()  # a copy: of the same alignment everywhere
    seen = teacher.observe({teacher.graph.inputs[0].name: inputs}, lesson.wishes.slack)
    total = seen.slackened
    similarity, crowding = _likeness(seen.features)
    if lesson.wishes.diversity:
        total = total + lesson.wishes.diversity * crowding
    probabilities = None
    if seen.scores is not None:
        logarithms = torch.log_softmax(seen.scores, dim=1)
        probabilities = logarithms.detach().exp().numpy()
        if lesson.wishes.agreement and lesson.others is not None:
            others = torch.tensor(lesson.others)
            divergence = (others * (others.clamp_min(1e-12).log() - logarithms)).sum(1).mean()
            total = total + lesson.wishes.agreement * divergence / math.log(others.shape[1])
    gradients = input_gradients(total, [inputs])
    if lesson.first:
        check_start(float(seen.matching), gradients, teacher.graph)
    return Answer(
        gradient=gradients[0].numpy(),
        matching=float(seen.matching),
        similarity=similarity,
        probabilities=probabilities,
    )


def _likeness(features: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Return the mean cosine of pairs of rows, and the mean of what it exceeds SIMILAR by."""
    count = len(features)
    if count < 2:
        return 0.0, torch.zeros(())
    length = torch.linalg.vector_norm(features, dim=1, keepdim=True).clamp_min(1e-6)
    cosines = (features / length) @ (features / length).T
    pairs = count * (count - 1)
    others = 1.0 - torch.eye(count)
    crowding = (torch.relu(cosines - SIMILAR) * others).sum() / pairs
    return float((cosines.detach() * others).sum() / pairs), crowding
