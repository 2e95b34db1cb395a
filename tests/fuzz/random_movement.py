"""Random operators that move elements: joined, cut, repeated, turned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from fuzz.graph_builder import GraphBuilder


class MovementOperators(GraphBuilder):
    """Every method adds one such operator, or returns None."""

    def add_concat(self, x: str) -> str | None:
        axis = self.integer(1, len(self.shapes[x]))
        peers = [n for n, s in self.shapes.items() if len(s) == len(self.shapes[x])]
        others = [self.pick(*peers) for _ in range(self.integer(0, 3))]
        return self.propose("Concat", x, *others, axis=axis)

    def add_split(self, x: str) -> str | None:
        axis = self.integer(1, len(self.shapes[x]))
        size = self.shapes[x][axis]
        if size < 2:
            return None
        first = self.integer(1, size)
        sizes = self.integers(first, size - first)
        return self.propose("Split", x, sizes, outputs=2, axis=axis)

    def add_gather(self, x: str) -> str | None:
        axis = self.integer(1, len(self.shapes[x]))
        size = self.shapes[x][axis]
        indices = self.random.integers(-size, size, self.pick(3, 5, self.integer(1, 90)))
        index = self.pick(indices, indices, indices[0])
        return self.propose("Gather", x, self.constant(index, np.int64), axis=axis)

    def add_slice(self, x: str) -> str | None:
        axis = self.integer(1, len(self.shapes[x]))
        step = self.pick(1, 1, 2, -1)
        ends = (0, self.shapes[x][axis] + 3) if step > 0 else (1 << 40, -(1 << 40))
        lists = (ends[0], ends[1], axis - self.pick(0, len(self.shapes[x])), step)
        return self.propose("Slice", x, *(self.integers(number) for number in lists))

    def add_pad(self, x: str) -> str | None:
        rank = len(self.shapes[x])
        pads = [0 if i % rank == 0 else self.integer(0, 3) for i in range(2 * rank)]
        mode = self.pick("constant", "constant", "reflect", "edge")
        value = [self.constant(float(self.random.normal()))] if mode == "constant" else []
        return self.propose("Pad", x, self.integers(*pads), *value, mode=mode)

    def add_shape_change(self, x: str) -> str | None:
        shape = self.shapes[x]
        rest = int(np.prod(shape[1:]))
        divisors = [d for d in range(1, rest + 1) if rest % d == 0]
        first = self.pick(*divisors)
        match self.pick("Flatten", "Reshape", "Unsqueeze", "Squeeze", "Transpose"):
            case "Flatten":
                return self.propose("Flatten", x, axis=1)
            case "Reshape":
                target = self.pick((0, -1), (0, first, -1), (0, first, rest // first, 1))
                return self.propose("Reshape", x, self.integers(*target))
            case "Unsqueeze":
                return self.propose("Unsqueeze", x, self.integers(self.integer(1, len(shape))))
            case "Squeeze":
                ones = [axis for axis, size in enumerate(shape) if size == 1]
                return self.propose("Squeeze", x, self.integers(*ones[:1])) if ones else None
            case _:
                axes = self.random.permutation(np.arange(1, len(shape))).tolist()
                return self.propose("Transpose", x, perm=[0, *axes])

    def add_blocks(self, x: str) -> str | None:
        if len(self.shapes[x]) != 4:
            return None
        mode = self.pick("DCR", "CRD")
        return self.pick(
            lambda: (
                self.propose("DepthToSpace", x, blocksize=2, mode=mode)
                if self.shapes[x][1] % 4 == 0
                else None
            ),
            lambda: (
                self.propose("SpaceToDepth", x, blocksize=2)
                if self.shapes[x][2] % 2 == self.shapes[x][3] % 2 == 0
                else None
            ),
        )()

    def add_resize(self, x: str) -> str | None:
        if len(self.shapes[x]) != 4:
            return None
        mode = self.pick("nearest", "linear")
        coordinates = self.pick(
            "half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"
        )
        more = (
            {"nearest_mode": self.pick("floor", "round_prefer_floor")}
            if mode == "nearest"
            else {}
        )
        sizes = self._sizes(self.shapes[x])
        return self.propose(
            "Resize",
            x,
            "",
            *sizes,
            mode=mode,
            coordinate_transformation_mode=coordinates,
            **more,
        )

    def _sizes(self, shape: Sequence[int]) -> list[str]:
        if self.batch == "N" or self.random.random() < 0.5:
            return [self.constant([1.0, 1.0, self.pick(1, 2, 3, 0.5), self.pick(1, 2)])]
        return ["", self.integers(*shape[:2], self.integer(1, 9), self.integer(1, 9))]

    def add_repeat(self, x: str) -> str | None:
        shape = self.shapes[x]
        if self.random.random() < 0.5:
            return self.propose(
                "Tile", x, self.integers(1, *(self.integer(1, 3) for _ in shape[1:]))
            )
        target = [1, *(self.integer(1, 4) if size == 1 else size for size in shape[1:])]
        return self.propose("Expand", x, self.integers(*target))
