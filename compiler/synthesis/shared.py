"""One set of inputs for several models: each step, every teacher of a school is asked, and its derivatives are added up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from intlower.compiler.synthesis.adam import Adam, schedule
from intlower.compiler.synthesis.images import initial_noise, jittered, quilted
from intlower.compiler.synthesis.lesson import Answer, FloatArray, Lesson, Wishes
from intlower.compiler.synthesis.optimize import PROBES
from intlower.compiler.synthesis.school import School, Term
from intlower.compiler.synthesis.synthesize import expected_level, group_sizes
from intlower.compiler.synthesis.threads import one_thread

# Asks the teachers: one answer for each lesson, in order.
Ask = Callable[[Sequence[tuple[Lesson, tuple[int, ...]]]], Sequence[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherReport:
    """What a set is for one of its teachers, mean over the groups.

    Attributes:
        name: of the teacher.
        noise: the matching loss of the noise at the beginning.
        matching: that of the set.
        similarity: mean cosine of two inputs' features in the set.
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
        agreement: the share of inputs on which all teachers of as many classes give the same class, of the noise and of the
            set; None where no two have as many.
        steps: that were taken.
        seconds: that it took.
        shortened: whether the time budget left out steps; only then may two runs differ.
    """

    canvas: FloatArray
    teachers: tuple[TeacherReport, ...]
    level: float
    agreement: tuple[float, float] | None
    steps: int
    seconds: float
    shortened: bool


@dataclass(slots=True, kw_only=True)
class _Group:
    """Inputs that are matched together, and what was said of them."""

    canvas: torch.Tensor
    generator: torch.Generator
    adam: Adam
    answers: list[Answer | None]
    others: list[FloatArray | None]
    opening: list[Answer | None] = field(default_factory=list)
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
        groups = [run.opened(size, seed, index) for index, size in enumerate(sizes)]
        for number, term in enumerate(school.terms):
            if number:
                for group in groups:
                    group.canvas = quilted(group.canvas, *term.shape[1:], group.generator)
            now = time.monotonic()
            run.pass_term(term, groups, now + term.share * (deadline - now))
        canvas = torch.cat([group.canvas for group in groups]).numpy()
    return SharedSet(
        canvas=canvas,
        teachers=tuple(
            TeacherReport(
                name=name,
                noise=_mean([_of(group.opening, index).matching for group in groups]),
                matching=_mean([_of(group.answers, index).matching for group in groups]),
                similarity=_mean([_of(group.answers, index).similarity for group in groups]),
            )
            for index, name in enumerate(school.names)
        ),
        level=run.level,
        agreement=run.agreement(groups),
        steps=run.steps,
        seconds=time.monotonic() - begin,
        shortened=run.shortened,
    )


def _of(answers: Sequence[Answer | None], index: int) -> Answer:
    found = answers[index]
    assert found is not None  # in the last term nobody sits out
    return found


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


MODE = "sum"


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

    def opened(self, size: int, seed: int, index: int) -> _Group:
        """Return a group of noise."""
        mixed = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
        generator = torch.Generator().manual_seed(mixed)
        shape = (size, *self.school.terms[0].shape)
        canvas = initial_noise(self.school.canvas, shape, generator)
        nobody: list[Answer | None] = [None] * len(self.school.names)
        return _Group(
            canvas=canvas,
            generator=generator,
            adam=Adam(canvas),
            answers=nobody,
            others=[None] * len(nobody),
        )

    def pass_term(self, term: Term, groups: Sequence[_Group], deadline: float) -> None:
        """Move every group until its teachers are content, or the term or the time is over."""
        for group in groups:
            group.adam, group.done = Adam(group.canvas), False
        steps, begin, timed = term.steps, time.monotonic(), 0
        for step in range(term.steps + 1):
            now = time.monotonic()
            if step == 1:  # the first step wakes the teachers, and tells nothing of the others
                begin, timed = now, 1
            each = (now - begin) / (step - timed) if step > timed else 0.0
            if step == PROBES and now + (steps - step) * each > deadline:
                steps = step + max(0, int((deadline - now) / each))
                self.shortened = True
            if now >= deadline and step:  # one answer is always heard
                self.shortened = True
                steps = step
            moving = step < term.jitter * steps
            active = [group for group in groups if not group.done]
            self._step(term, active, moving, step, steps)
            if all(group.done for group in groups):
                break
            self.steps += 1
            self._say(active[0], step, steps, each)

    def _step(
        self, term: Term, groups: Sequence[_Group], moving: bool, step: int, steps: int
    ) -> None:
        present = [index for index, size in enumerate(term.sizes) if size is not None]
        shown: list[tuple[torch.Tensor, list[torch.Tensor]]] = []
        lessons: list[tuple[Lesson, tuple[int, ...]]] = []
        for group in groups:
            leaf = group.canvas.requires_grad_()
            canvas = leaf
            if moving and self.school.canvas.is_image:
                canvas = jittered(leaf, group.generator)
            seen = []
            for index in present:
                size = term.sizes[index]
                assert size is not None
                inputs = self.school.views[index](canvas, size)
                seen.append(inputs)
                lesson = Lesson(
                    teacher=index,
                    inputs=inputs.detach().numpy(),
                    others=group.others[index],
                    wishes=self.wishes,
                    first=group.answers[index] is None,
                )
                lessons.append((lesson, size))
            shown.append((leaf, seen))
        heard = iter(self.ask(lessons))
        for group, (leaf, seen) in zip(groups, shown, strict=True):
            for index in present:
                group.answers[index] = next(heard)
            group.opening = group.opening or list(group.answers)
            if len(group.opening) < len(group.answers) or None in group.opening:
                group.opening = [
                    old or new for old, new in zip(group.opening, group.answers, strict=True)
                ]
            losses = [_of(group.answers, index).matching for index in present]
            group.done = step >= steps or (not moving and max(losses) <= self.level)
            if not group.done:
                rate = term.rate * schedule(step, steps) * self.school.canvas.std
                gradient = self._gradient(leaf, seen, [group.answers[i] for i in present])
                with torch.no_grad():
                    group.canvas = (leaf - rate * group.adam.direction(gradient)).clamp_(0, 1)
                group.others = self._consensus(group.answers)
            group.canvas = group.canvas.detach()

    def _gradient(self, leaf, seen, answers):
        total = torch.zeros_like(leaf)
        for inputs, found in zip(seen, answers, strict=True):
            (part,) = torch.autograd.grad(
                inputs, leaf, torch.tensor(found.gradient), retain_graph=True
            )
            if MODE == "log":
                part = part / max(found.matching, 1e-6)
            elif MODE == "norm":
                part = part / part.flatten(1).norm(dim=1).clamp_min(1e-12).reshape(-1, *(1,) * (part.dim() - 1))
            elif MODE == "normw":
                part = max(found.matching / self.level - 0.5, 0.0) ** 0.5 * part / part.norm().clamp_min(1e-12)
            total += part
        return total

    def _consensus(self, answers: Sequence[Answer | None]) -> list[FloatArray | None]:
        """Return for each teacher the mean class probabilities of all that have as many classes, if there are others."""
        given = [None if found is None else found.probabilities for found in answers]
        others: list[FloatArray | None] = []
        for own in given:
            alike = [p for p in given if p is not None and own is not None and p.shape == own.shape]
            mean = np.mean(alike, axis=0) if len(alike) > 1 else None
            others.append(None if mean is None else mean.astype(np.float32))
        return others

    def agreement(self, groups: Sequence[_Group]) -> tuple[float, float] | None:
        """Return the share of inputs on which teachers of as many classes agree, of the noise and of the result."""
        shares = []
        for answers in ([g.opening for g in groups], [g.answers for g in groups]):
            same: list[bool] = []
            for group in answers:
                classes: dict[int, list] = {}
                for found in group:
                    if found is not None and found.probabilities is not None:
                        p = found.probabilities
                        classes.setdefault(p.shape[1], []).append(p.argmax(1))
                for alike in classes.values():
                    if len(alike) > 1:
                        same.extend(np.all(np.array(alike) == alike[0], axis=0).tolist())
            if not same:
                return None
            shares.append(_mean([float(s) for s in same]))
        return shares[0], shares[1]

    def _say(self, group: _Group, step: int, steps: int, each: float) -> None:
        losses = ", ".join(
            f"{name} {found.matching:.3f}"
            for name, found in zip(self.school.names, group.answers, strict=True)
            if found is not None
        )
        left = f", {each * (steps - step):.0f} s left" if each else ""
        self.progress(f"step {step} of {steps}: {losses}{left}")
