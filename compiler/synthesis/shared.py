"""One set of inputs for several models: each step, every teacher of a school is asked, and its derivatives are added up.

    canvas <- clamp(canvas - rate Adam(sum over teachers of g / |g|), 0, 1)

g is a teacher's derivative for one input, as it reaches the canvas; of length 1, so that no teacher's depth, width, size or
range outweighs another's. On the networks of the tests this came down further than adding up losses, or their logarithms.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from intlower.compiler.synthesis.adam import Adam, schedule
from intlower.compiler.synthesis.gradients import of_unit_length
from intlower.compiler.synthesis.images import initial_noise, jittered, quilted
from intlower.compiler.synthesis.lesson import Answer, FloatArray, Lesson, Wishes
from intlower.compiler.synthesis.optimize import PROBES
from intlower.compiler.synthesis.school import School, Term
from intlower.compiler.synthesis.synthesize import expected_level, group_sizes
from intlower.compiler.synthesis.threads import one_thread

# Asks the teachers: one answer for each lesson, in order.
Ask = Callable[[Sequence[Lesson]], Sequence[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherReport:
    """What a set is for one of its teachers, mean over the groups.

    Attributes:
        name: of the teacher.
        noise: the matching loss of the noise at the beginning.
        matching: that of the set.
        similarity: mean cosine of two inputs' features in the set; 0 where they have nothing in common.
    """

    name: str
    noise: float
    matching: float
    similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedSet:
    """Inputs that several models share.

    Attributes:
        canvas: float32 [count, C, ...] in [0, 1].
        teachers: how good it is for each.
        level: the matching loss that real data of this batch size would show.
        agreement: the share of inputs to which all teachers of as many classes give the same class; None where no two have
            as many.
        steps: that were taken.
        seconds: that it took.
        shortened: whether the time budget left out steps; only then may two runs differ.
    """

    canvas: FloatArray
    teachers: tuple[TeacherReport, ...]
    level: float
    agreement: float | None
    steps: int
    seconds: float
    shortened: bool


@dataclass(slots=True, kw_only=True)
class _Group:
    """Inputs that are matched together, and what was said of them: first and last, by teacher."""

    canvas: torch.Tensor
    generator: torch.Generator
    adam: Adam
    opening: dict[int, Answer] = field(default_factory=dict)
    answers: dict[int, Answer] = field(default_factory=dict)
    done: bool = False


def synthesize_shared(
    school: School,
    ask: Ask,
    *,
    count: int,
    seed: int,
    wishes: Wishes | None = None,
    budget_seconds: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> SharedSet:
    """Return inputs on which the layers of every teacher show the statistics recorded in it.

    The same arguments give the same bytes, whoever answers, as long as the budget leaves out no step.

    Args:
        school: the models.
        ask: gives the teachers' answers.
        count: how many inputs to make.
        seed: of every random choice, not negative.
        wishes: beside matching statistics; None for the default.
        budget_seconds: of wall-clock time, or None.
        progress: called with a line for each step.

    Raises:
        CalibrationError: a teacher cannot teach.
        ValueError: `count` or the budget is not positive.
    """
    if count < 1 or (budget_seconds is not None and not budget_seconds > 0):
        raise ValueError("the count and the time budget must be positive")
    begin = time.monotonic()
    deadline = math.inf if budget_seconds is None else begin + budget_seconds
    sizes = group_sizes(count)
    run = _Run(
        school=school,
        ask=ask,
        wishes=Wishes() if wishes is None else wishes,
        level=expected_level(max(sizes)),
        progress=progress or (lambda line: None),
    )
    with one_thread():
        groups = [_opened(school, size, seed, index) for index, size in enumerate(sizes)]
        for number, term in enumerate(school.terms):
            for group in groups:
                if number:
                    height, width = term.shape[1:]
                    group.canvas = quilted(group.canvas, height, width, group.generator)
                # what was said of other images is of no use to these
                group.adam, group.answers, group.done = Adam(group.canvas), {}, False
            now = time.monotonic()
            run.pass_term(term, groups, now + term.share * (deadline - now))
        canvas = torch.cat([group.canvas for group in groups]).numpy()
    return SharedSet(
        canvas=canvas,
        teachers=tuple(
            TeacherReport(
                name=name,
                noise=_mean([group.opening[index].matching for group in groups]),
                matching=_mean([group.answers[index].matching for group in groups]),
                similarity=_mean([group.answers[index].similarity for group in groups]),
            )
            for index, name in enumerate(school.names)
        ),
        level=run.level,
        agreement=agreement([tuple(group.answers.values()) for group in groups]),
        steps=run.steps,
        seconds=time.monotonic() - begin,
        shortened=run.shortened,
    )


def _opened(school: School, size: int, seed: int, index: int) -> _Group:
    """Return a group of noise."""
    generator = _generator(seed, index)
    canvas = initial_noise(school.canvas, (size, *school.terms[0].shape), generator)
    return _Group(canvas=canvas, generator=generator, adam=Adam(canvas))


def _generator(seed: int, index: int) -> torch.Generator:
    mixed = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
    return torch.Generator().manual_seed(mixed)


def noise_canvas(school: School, count: int, seed: int) -> FloatArray:
    """Return the noise that a school begins with, at full size: float32 [count, C, ...]."""
    shape = school.terms[-1].shape
    with one_thread():
        parts = [
            initial_noise(school.canvas, (size, *shape), _generator(seed, index))
            for index, size in enumerate(group_sizes(count))
        ]
        return torch.cat(parts).numpy()


@dataclass(slots=True, kw_only=True)
class _Run:
    """What all terms and groups have in common, and what happened so far."""

    school: School
    ask: Ask
    wishes: Wishes
    level: float
    progress: Callable[[str], None]
    steps: int = 0
    shortened: bool = False

    def pass_term(self, term: Term, groups: Sequence[_Group], deadline: float) -> None:
        """Move every group until its teachers are content, or the term or the time is over."""
        steps, begin, each = term.steps, time.monotonic(), 0.0
        for step in range(term.steps + 1):
            now = time.monotonic()
            if step == 1:  # the first step wakes the teachers, and tells nothing of the others
                begin = now
            elif step:
                each = (now - begin) / (step - 1)
            if step == PROBES and now + (steps - step) * each > deadline:
                steps = step + max(0, int((deadline - now) / max(each, 1e-9)))
                self.shortened = True
            if now >= deadline and step:  # one answer is always heard
                self.shortened = True
                steps = step
            active = [group for group in groups if not group.done]
            self._step(term, active, step, steps)
            if all(group.done for group in groups):
                break
            self.steps += 1
            left = f", {each * (steps - step):.0f} s left" if each else ""
            losses = ", ".join(
                f"{self.school.names[index]} {found.matching:.3f}"
                for index, found in active[0].answers.items()
            )
            self.progress(f"step {step} of {steps}: {losses}{left}")

    def _step(self, term: Term, groups: Sequence[_Group], step: int, steps: int) -> None:
        moving = step < term.jitter * steps
        sizes = {i: size for i, size in enumerate(term.sizes) if size is not None}
        shown: list[tuple[torch.Tensor, dict[int, torch.Tensor]]] = []
        lessons: list[Lesson] = []
        for group in groups:
            leaf = group.canvas.requires_grad_()
            canvas = leaf
            if moving and self.school.canvas.is_image:
                canvas = jittered(leaf, group.generator)
            seen = {i: self.school.views[i](canvas, size) for i, size in sizes.items()}
            lessons += [
                Lesson(
                    teacher=index,
                    size=sizes[index],
                    inputs=inputs.detach().numpy(),
                    others=_consensus(group.answers, index),
                    wishes=self.wishes,
                    first=index not in group.opening,
                )
                for index, inputs in seen.items()
            ]
            shown.append((leaf, seen))
        heard = iter(self.ask(lessons))
        for group, (leaf, seen) in zip(groups, shown, strict=True):
            group.answers = {index: next(heard) for index in seen}
            group.opening = {**group.answers, **group.opening}
            worst = max(found.matching for found in group.answers.values())
            group.done = step >= steps or (not moving and worst <= self.level)
            if not group.done:
                rate = term.rate * schedule(step, steps) * self.school.canvas.std
                direction = group.adam.direction(_added(leaf, seen, group.answers))
                group.canvas = (leaf.detach() - rate * direction).clamp_(0.0, 1.0)
            group.canvas = group.canvas.detach()


def _added(
    leaf: torch.Tensor, seen: dict[int, torch.Tensor], answers: dict[int, Answer]
) -> torch.Tensor:
    """Return the sum of the teachers' derivatives, each of length 1 for each input, in the order of the school."""
    total = torch.zeros_like(leaf)
    for index, inputs in seen.items():
        slope = torch.tensor(answers[index].gradient)
        (part,) = torch.autograd.grad(inputs, leaf, slope, retain_graph=True)
        total += of_unit_length(part)
    return total.detach()


def _consensus(answers: dict[int, Answer], index: int) -> FloatArray | None:
    """Return the mean class probabilities of all teachers of as many classes as one, or None where it is the only one."""
    own = answers[index].probabilities if index in answers else None
    if own is None:
        return None
    alike = [
        found.probabilities
        for found in answers.values()
        if found.probabilities is not None and found.probabilities.shape == own.shape
    ]
    return np.mean(alike, axis=0, dtype=np.float32) if len(alike) > 1 else None


def agreement(groups: Sequence[Sequence[Answer]]) -> float | None:
    """Return the share of inputs to which all teachers of as many classes give the same class.

    Args:
        groups: for each group of inputs, the teachers' answers.

    Returns:
        In [0, 1]; None where no two teachers have as many classes.
    """
    same: list[bool] = []
    for answers in groups:
        classes: dict[int, list[list[int]]] = {}
        for found in answers:
            if found.probabilities is not None:
                given = found.probabilities
                classes.setdefault(given.shape[1], []).append(given.argmax(1).tolist())
        for alike in classes.values():
            if len(alike) > 1:
                same += [len(set(column)) == 1 for column in zip(*alike, strict=True)]
    return _mean([float(value) for value in same]) if same else None


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
