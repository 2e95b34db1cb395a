"""Coverage-guided fuzzing with Atheris (libFuzzer) of what reads strangers' files.

    PYTHONPATH=tests python -m fuzz.run_fuzzer importer|artifact|compile FOLDER [-max_total_time=300 ...]

Coverage is that of intlower's own modules (kernels, which Numba compiles, are left out). The corpus of FOLDER grows; inputs that
raise anything but a typed error go to FOLDER.findings, one for each place in the sources, and the run goes on. A hang of
more than 10 seconds or a process past 3 GB ends the run, with the input beside FOLDER.
Atheris is not among the project's requirements: `pip install atheris`.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
import shlex
import sys
import traceback
from pathlib import Path
from random import Random

import atheris

from intlower import kernels

# Imported before the hook is there: Numba cannot compile instrumented functions.
for _module in pkgutil.iter_modules(kernels.__path__, "intlower.kernels."):
    importlib.import_module(_module.name)

with atheris.instrument_imports(include=["intlower"], enable_loader_override=False):
    from fuzz import harness
    from fuzz.mutations import mutate
    from fuzz.seeds import artifact_seeds, model_seeds

_SEEDS = {"importer": model_seeds, "compile": model_seeds, "artifact": artifact_seeds}
# How often the message is changed field by field, rather than as bytes.
_STRUCTURED = 0.9


def _change(data: bytes, max_size: int, seed: int) -> bytes:
    """Return other bytes: the message changed at a few places, or libFuzzer's own mutation."""
    random = Random(seed)
    message = harness.message_of(data)
    if message is not None and random.random() < _STRUCTURED:
        for _ in range(random.choice((1, 1, 2, 4))):
            mutate(message, random)
        changed: bytes = message.SerializeToString()
        if len(changed) <= max_size:
            return changed
    mutated: bytes = atheris.Mutate(data, max_size)
    return mutated


class _Reporter:
    """Runs one action, and keeps one input for each place where it goes wrong."""

    def __init__(self, name: str, findings: Path) -> None:
        self._action = harness.ACTIONS[name]
        self._findings = findings
        self._seen: set[str] = set()

    def __call__(self, data: bytes) -> None:
        try:
            harness.outcome(self._action, data)
        except Exception as error:
            where = [
                f"{frame.filename}:{frame.lineno}"
                for frame in traceback.extract_tb(error.__traceback__)
                if "intlower" in frame.filename
            ]
            place = f"{type(error).__name__} {where[-1:]}"
            if place not in self._seen:
                self._seen.add(place)
                self._findings.mkdir(exist_ok=True)
                name = hashlib.sha256(data).hexdigest()[:12]
                (self._findings / name).write_bytes(data)
                (self._findings / f"{name}.txt").write_text(
                    "".join(traceback.format_exception(error))
                )
                print(f"FINDING {place}: {self._findings / name}", flush=True)


def main() -> None:
    """Fuzz what the command line names."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    merging = any(option.startswith("-merge") for option in sys.argv[3:])
    if not any(folder.iterdir()) and not merging:
        for seed in _SEEDS[name]():
            (folder / hashlib.sha256(seed).hexdigest()[:12]).write_bytes(seed)
    reporter = _Reporter(name, folder.with_name(f"{folder.name}.findings"))
    options = ["-timeout=10", "-rss_limit_mb=3000", "-max_len=60000"]
    # What merges starts itself again for each batch of inputs, through a shell, by its first argument.
    command = f"{shlex.quote(sys.executable)} -m fuzz.run_fuzzer {name}"
    arguments = [command, str(folder), *options, *sys.argv[3:]]
    atheris.Setup(arguments, reporter, custom_mutator=_change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
