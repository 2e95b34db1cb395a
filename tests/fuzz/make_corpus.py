"""The corpora that the repository keeps: hostile files that we thought of, and inputs that fuzzers found.

    PYTHONPATH=tests python -m fuzz.make_corpus hostile
    PYTHONPATH=tests python -m fuzz.make_corpus importer|artifact|compile FOLDER [BYTES]

The first writes the files of `hostile_models.py`, and good ones cut short and with bits turned over. The second packs inputs of a
fuzzer's folder, the smallest first, up to so many bytes; let libFuzzer choose those that add coverage before:
`python -m fuzz.run_fuzzer importer CHOSEN -merge=1 FOLDER`.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from fuzz.hostile_models import REFUSED, STRANGE, damaged
from fuzz.seeds import artifact_seeds, models

CORPUS = Path(__file__).parents[1] / "corpus"
_DATE = (1980, 1, 1, 0, 0, 0)  # the same inputs give the same bytes


def hostile() -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each hostile file."""
    for name, (make, _) in REFUSED.items():
        yield f"refused-{name}.onnx", make().SerializeToString()
    for name, make in STRANGE.items():
        yield f"strange-{name}.onnx", make().SerializeToString()
    for name in ("classifier", "shapes", "tokens"):
        for index, data in enumerate(damaged(models()[name].SerializeToString())):
            yield f"damaged-{name}-{index}.onnx", data
    for number, seed in enumerate(islice(artifact_seeds(), 6)):
        for index, data in enumerate(damaged(seed, count=1)):
            yield f"damaged-artifact-{number}-{index}.onnx", data


def found(folder: Path, most: int) -> Iterator[tuple[str, bytes]]:
    """Yield inputs of a folder, the smallest first, that together take at most so many bytes."""
    for path in sorted(folder.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
        data = path.read_bytes()
        most -= len(data)
        if most < 0:
            return
        yield hashlib.sha256(data).hexdigest()[:12], data


def pack(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write a corpus."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in files:
            member = zipfile.ZipInfo(name, _DATE)
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, data)


def unpack(name: str) -> dict[str, bytes]:
    """Return a corpus of the repository."""
    with zipfile.ZipFile(CORPUS / f"{name}.zip") as archive:
        return {member: archive.read(member) for member in archive.namelist()}


def main() -> None:
    """Write the corpus that the command line names."""
    name = sys.argv[1]
    most = int(sys.argv[3]) if len(sys.argv) > 3 else 300_000
    files = hostile() if name == "hostile" else found(Path(sys.argv[2]), most)
    CORPUS.mkdir(exist_ok=True)
    pack(CORPUS / f"{name}.zip", files)
    print(f"{name}: {len(unpack(name))} files, {(CORPUS / f'{name}.zip').stat().st_size} bytes")


if __name__ == "__main__":
    main()
