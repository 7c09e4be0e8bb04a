"""How long a person waits for hmp-repl's prompt."""

import os
import select
import sys
import time
from pathlib import Path
from typing import Final

from bench.errors import BenchError
from bench.fleet import Fleet
from bench.results import Measurement, figure
from tests.integration.qemu_vm import QEMUVM

__all__ = ["measure_prompt"]

_LIBRARIES: Final = [sys.executable, "-c", "import prompt_toolkit, qemu.qmp"]
_LIMIT: Final = 1.5
_PROMPT: Final = b"hmp>"
_DEADLINE_S: Final = 20.0
_READ_BYTES: Final = 64 * 1024


def measure_prompt(fleet: Fleet, *, is_quick: bool) -> Measurement:
    """Time the program from its start to its prompt, and the import of its libraries, alternating."""
    prompts, imports = [], []
    with fleet.running(QEMUVM(folder=_folder(fleet))) as vm:
        for _ in range(4 if is_quick else 16):
            prompts.append(_until_prompt_ms(fleet, vm.qmp_path))
            imports.append(_until_imported_ms(fleet))
    # The first round finds cold caches, and is dropped.
    pairs = list(zip(prompts, imports, strict=True))[1:]
    figures = (
        figure("import of the libraries", [imported for _, imported in pairs], "ms"),
        figure("start to prompt", [prompt for prompt, _ in pairs], "ms"),
        figure("÷ import", [prompt / imported for prompt, imported in pairs], "", _LIMIT),
    )
    return Measurement("hmp-repl", figures=figures)


def _folder(fleet: Fleet) -> Path:
    folder = fleet.folder / "prompt"
    folder.mkdir()
    return folder


def _until_imported_ms(fleet: Fleet) -> float:
    begun_ns = time.perf_counter_ns()
    fleet.output(_LIBRARIES)
    return (time.perf_counter_ns() - begun_ns) / 1e6


def _until_prompt_ms(fleet: Fleet, qmp_path: str) -> float:
    ours, its = os.openpty()
    try:
        begun_ns = time.perf_counter_ns()
        program = fleet.start([sys.executable, "-m", "repl", qmp_path, "--history", ""], terminal=its)
        shown = b""
        while _PROMPT not in shown:
            if program.poll() is not None or not select.select([ours], [], [], _DEADLINE_S)[0]:
                raise BenchError(f"hmp-repl shows no prompt: {shown!r}")
            shown += os.read(ours, _READ_BYTES)
        spent_ms = (time.perf_counter_ns() - begun_ns) / 1e6
        fleet.stop(program)
    finally:
        os.close(ours)
        os.close(its)
    return spent_ms
