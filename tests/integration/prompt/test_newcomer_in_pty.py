"""Somebody who does not know the program: from `hmp-repl` alone to a snapshot that is saved, listed, loaded and deleted.

The script has what is typed, and after it what stands on the screen by then: each next step is told by the program itself, by
its start line, its help, its menu or its answer.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from repl.errors import ExitStatus
from tests.integration.machines import Machine
from tests.integration.prompt.pty_seat import Seat
from tests.support.repl.screen import ENTER, TAB

pytestmark = pytest.mark.needs_snapshot_jobs

# Of several tests that run at a time, each has its own.
NAME: Final = f"mine{os.getpid()}"
# What is typed, and what must be seen then.
_Script: TypeAlias = Sequence[tuple[str, tuple[str, ...]]]
# Where a line is narrow, any blank may be the end of one.
SCRIPT: Final[_Script] = (
    ("", (rf"{NAME}: QEMU [\d.]+, policy auto\.", r"Tab completes, 'help' lists all, 'exit' leaves\.")),
    ("help" + ENTER, (r"Snapshots are QEMU's snapshot jobs, with the disks that the policy chooses\.", r"help\|\? \[command")),
    ("help savevm" + ENTER, (r"savevm tag -- save a VM snapshot\.",)),
    ("sav" + TAB, (r"hmp> savevm",)),
    (" first" + ENTER, (r"done: savevm first \(",)),
    ("info snap" + TAB, (r"hmp> info snapshots",)),
    (ENTER, (r"first (disks: d0, d1 VM state: )?\S+ KiB", r"1 snapshot")),
    ("loadvm fi" + TAB, (r"hmp> loadvm first",)),
    (ENTER, (r"what happened since then is lost", r"Load it\? \[y/N\]")),
    ("y", (r"done: loadvm first \(",)),
    ("delvm fi" + TAB, (r"hmp> delvm first",)),
    (ENTER, (r"Delete it\? \[y/N\]",)),
    ("y", (r"done: delvm first \(",)),
    ("info snapshots" + ENTER, (r"[Nn]o snapshot",)),
)


@pytest.fixture
def seat(vm: Machine, tmp_path: Path, columns: int, rows: int) -> Iterator[Seat]:
    """Sit down at the program without an argument. The configuration has the VM, as on a machine that somebody has set up."""
    (tmp_path / "hmpshim.toml").write_text(
        f'[[vm]]\nname = "{NAME}"\nupstream = "unix:{vm.vm.qmp_path}"\nlisten = "unix:/none"\n'
    )
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    with Seat(columns=columns, rows=rows, **environment) as one:
        one.until(lambda: "hmp>" in one.screen.text or "Which VM?" in one.screen.text, "a prompt")
        if "Which VM?" in one.screen.text:  # other VMs run on this machine, too
            assert NAME in one.screen.written
            one.type(NAME + ENTER)
        yield one
        one.type("exit" + ENTER)
        assert one.ends() == ExitStatus.OK


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 10)])
def test_newcomer_gets_by_with_what_the_program_says(seat: Seat, columns: int, rows: int) -> None:
    for typed, seen in SCRIPT:
        seat.type(typed)
        for pattern in seen:
            in_lines = re.compile(pattern.replace(" ", r"\s+"))
            seat.until(lambda looked_for=in_lines: looked_for.search(seat.screen.text) is not None, pattern)  # type: ignore[misc]
        if not typed.endswith(TAB) and "N" not in seen[-1]:
            seat.sees_line("")
