"""Runs a plan: arenas, staging, threads. Inputs are taken as checked."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.plan import Plan
from intlower.compiler.planning.rows import aligned_bytes
from intlower.kernels.walker import walk

# Below this many multiply-accumulates, waking a thread costs more than its help is worth.
WORTH_SHARING = 8_000_000


class Execution:
    """A plan with memory to run in; its calls may come from any thread.

    With several threads, each takes samples of its own; a single sample of a large program is walked by all of them
    together, layer by layer, each on a share of the pixels. Only one call at a time is helped that way (the helpers of
    two calls could wait for one another); a second one runs on its caller's thread.
    """

    def __init__(self, plan: Plan, work: int) -> None:
        """Take a plan and the number of multiply-accumulates of one sample."""
        self.plan = plan
        self._arenas: deque[NDArray[np.uint8]] = deque()
        self._together = work >= WORTH_SHARING
        self._helping = threading.Lock()
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
                result = outputs[port.name][sample].reshape(-1).view(np.uint8)
                result[:] = arena[port.offset : port.offset + port.size]
        self._arenas.append(arena)

    def _walk(self, arena: NDArray[np.uint8], together: bool) -> None:
        plan = self.plan
        counter = np.zeros(1, np.int64)
        shared: tuple[Any, ...] = (
            plan.table,
            arena,
            plan.constants,
            counter,
            plan.peak_bytes,
            plan.scratch_bytes,
        )
        helpers = self._helpers if together else None
        if helpers is None or not self._helping.acquire(blocking=False):
            walk(*shared, 0, 1)
            return

        def join(thread: int) -> None:
            walk(*shared, thread, plan.threads)

        try:
            futures = [helpers.submit(join, thread) for thread in range(1, plan.threads)]
            join(0)
            for future in futures:
                future.result()
        finally:
            self._helping.release()
