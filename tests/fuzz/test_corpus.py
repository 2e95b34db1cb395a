"""The corpora of the repository: every file is refused in one sentence, or what comes of it is right; none takes ten seconds."""

from __future__ import annotations

import time
import zlib

import pytest
from fuzz import harness
from fuzz.make_corpus import CORPUS, unpack

MOST_SECONDS = 10
LARGEST_CORPUS = 300_000  # bytes of all together
# Inputs of a fuzzer that are tried in each run of the tests; which, depends on their names.
SHARE = {"hostile": 1, "importer": 1, "artifact": 1, "compile": 6}
ACTIONS = {"hostile": ("importer", "artifact")}


@pytest.mark.parametrize("name", sorted(SHARE))
def test_no_file_of_a_corpus_breaks_what_reads_it(name: str) -> None:
    tried = 0
    for file, data in unpack(name).items():
        if zlib.crc32(file.encode()) % SHARE[name]:
            continue
        for action in ACTIONS.get(name, (name,)):
            begin = time.perf_counter()
            refusal = harness.outcome(harness.ACTIONS[action], data)
            assert len(refusal.splitlines()) <= 1, file
            assert time.perf_counter() - begin < MOST_SECONDS, file
            tried += 1
    assert tried > 3


def test_hostile_files_are_refused_and_strange_ones_are_read() -> None:
    for file, data in unpack("hostile").items():
        refusal = harness.outcome(harness.ACTIONS["importer"], data)
        if file.startswith("refused") and not refusal:
            # It can be read, but not compiled.
            assert harness.outcome(harness.ACTIONS["compile"], data), file
        if file.startswith("strange"):
            assert not refusal, (file, refusal)


def test_the_corpora_are_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.iterdir()) < LARGEST_CORPUS
