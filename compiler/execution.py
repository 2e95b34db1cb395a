"""Runs a plan: arenas, staging, threads. Inputs are taken as checked."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.plan import Plan
from intlower.compiler.planning.rows import aligned_bytes
from intlower.kernels.walker import walk

# Below this many multiply-accumulates, some tenths of a millisecond, waking a thread costs more than its help is worth.
WORTH_SHARING = 20_000_000


class Execution:
    """A plan with memory to run in; its calls may come from any thread.

    With several threads, each takes samples of its own; a single sample of a large program is walked by all of them
    together, each taking shares of a layer's pixels as they come.
    """

    def __init__(self, plan: Plan, work: int) -> None:
        """Take a plan and the number of multiply-accumulates of one sample."""
        self.plan = plan
        self._arenas: deque[NDArray[np.uint8]] = deque()
        self._together = work >= WORTH_SHARING
        self._helpers = ThreadPoolExecutor(plan.threads - 1) if plan.threads > 1 else None

    def run(self, codes: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the output codes of checked, contiguous input codes."""
        plan = self.plan
        samples = len(next(iter(codes.values())))
        outputs = {
            port.name: np.empty((samples, *port.shape), port.dtype) for port in plan.outputs
        }
        parts = 1 if self._helpers is None else min(plan.threads, samples)
        if self._helpers is None or parts == 1:
            self._run_samples(codes, outputs, range(samples), together=self._together)
            return outputs
        # Every thread has samples of its own: none is free to help with another's.
        futures = [
            self._helpers.submit(
                self._run_samples, codes, outputs, range(part, samples, parts), together=False
            )
            for part in range(1, parts)
        ]
        self._run_samples(codes, outputs, range(0, samples, parts), together=False)
        for future in futures:
            future.result()
        return outputs

    def _run_samples(
        self,
        codes: Mapping[str, NDArray[Any]],
        outputs: Mapping[str, NDArray[Any]],
        samples: range,
        together: bool,
    ) -> None:
        plan = self.plan
        try:
            arena = self._arenas.pop()
        except IndexError:
            arena = aligned_bytes(plan.arena_bytes)
        for sample in samples:
            for port in plan.inputs:
                staged = codes[port.name][sample].reshape(-1).view(np.uint8)
                arena[port.offset : port.offset + port.size] = staged
            self._walk(arena, together)
            for port in plan.outputs:
                result = outputs[port.name][sample : sample + 1].reshape(-1).view(np.uint8)
                result[:] = arena[port.offset : port.offset + port.size]
        self._arenas.append(arena)

    def _walk(self, arena: NDArray[np.uint8], together: bool) -> None:
        plan = self.plan
        helpers = self._helpers if together else None
        counters = np.zeros(1 if helpers is None else 2 * len(plan.table), np.int64)
        shared: tuple[Any, ...] = (
            plan.table,
            arena,
            plan.constants,
            counters,
            plan.peak_bytes,
            plan.scratch_bytes,
        )
        if helpers is None:
            walk(*shared, 0, 1)
            return

        def join(thread: int) -> None:
            walk(*shared, thread, plan.threads)

        futures = [helpers.submit(join, thread) for thread in range(1, plan.threads)]
        join(0)
        for (
            future
        ) in futures:  # one that has not begun has nothing left to do; nor has a late one
            future.cancel()
