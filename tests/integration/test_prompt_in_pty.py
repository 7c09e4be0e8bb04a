"""`hmp-repl` itself at a real pseudo-terminal in front of a real QEMU: what is on the screen, and what it leaves behind."""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from repl.errors import ExitStatus
from tests.integration.machines import Machine
from tests.integration.sitting import freeze, slow_machine, thaw
from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S
from tests.support.screen import CTRL_C, CTRL_D, ENTER, TAB, Screen

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

SIZES: Final = pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 10)])
# asyncio's debug mode writes to the terminal.
IGNORED: Final = ("NO_COLOR", "PROMPT_TOOLKIT_NO_CPR", "PYTHONASYNCIODEBUG")
LOOK_S: Final = 0.05
READ_BYTES: Final = 65536


class Seat:
    """The program at a terminal of this size, with its screen. Leaving the context ends it, if it has not ended."""

    def __init__(self, *arguments: str, columns: int = 80, rows: int = 24, terminal: str = "xterm-256color") -> None:
        self.screen = Screen(columns, rows)
        self._ours, self._its = pty.openpty()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.set_size(columns, rows)
        self.modes = self.terminal_modes
        self.screen.answer_with(self.type)
        environment = {key: value for key, value in os.environ.items() if key not in IGNORED}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "repl", *arguments],
            cwd=ROOT,
            env=environment | {"TERM": terminal, "LANG": "C.UTF-8"},
            preexec_fn=lambda: os.login_tty(self._its),
            pass_fds=(self._its,),
        )

    def __enter__(self) -> "Seat":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._its)

    @property
    def terminal_modes(self) -> list[Any]:
        return termios.tcgetattr(self._its)

    def set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def until(self, condition: Callable[[], bool], what: str, *, look_s: float = LOOK_S) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"not seen: {what}\n{self.screen.text}"
            self.look(look_s)

    def look(self, wait_s: float = LOOK_S) -> None:
        """Show what is written meanwhile."""
        if select.select([self._ours], [], [], wait_s)[0]:
            self.screen.write(self._decoder.decode(os.read(self._ours, READ_BYTES)))

    def sees(self, pattern: str) -> re.Match[str]:
        """Wait until the screen matches."""
        self.until(lambda: re.search(pattern, self.screen.text) is not None, pattern)
        found = re.search(pattern, self.screen.text)
        assert found is not None
        return found

    def sees_line(self, line: str) -> None:
        """Wait until this stands between the prompt and the cursor."""

        def is_there() -> bool:
            row, column = self.screen.cursor
            return self.screen.lines[row].ljust(column)[:column] == f"hmp> {line}"

        self.until(is_there, f"the line {line!r}")

    def ends(self) -> int:
        """Wait for the end, and give the exit status."""
        self.until(lambda: self.process.poll() is not None, "the end")
        while select.select([self._ours], [], [], 0)[0]:
            self.look()
        return self.process.returncode


@SIZES
def test_session(vm: Machine, tmp_path: Path, columns: int, rows: int) -> None:
    history = tmp_path / "history"
    vm.write(0x11, "d0", "d1")
    with Seat(vm.vm.qmp_path, "--history", str(history), columns=columns, rows=rows) as seat:
        seat.sees_line("")
        seat.sees(r"\n vm1 │ .*running")
        seat.type("savevm before" + ENTER)
        seat.sees(r"done: savevm before \(")
        seat.sees_line("")
        vm.write(0x22, "d0", "d1")
        seat.type("info snapshots" + ENTER)
        seat.sees(r"before .* d0, d1" if columns >= 80 else r"before\n  disks: d0, d1\n")
        seat.sees_line("")
        # A narrow toolbar has room for a short version only: QEMU 8.2.2, but not 7.2.22.
        seat.sees(r"1 snapshot" if columns >= 80 else r" vm1 │ (QEMU \S+ │ )?running")
        seat.type("loadvm bef")
        seat.sees(r" before  \d{4}-\d\d-\d\d")
        seat.type(TAB)
        seat.sees_line("loadvm before")
        seat.type(ENTER)
        seat.sees(r"Load it\? \[y/N\]")
        assert "the VM goes back to 20" in seat.screen.text
        seat.type("y")
        seat.sees(r"done: loadvm before \(")
        seat.sees_line("")
        assert vm.patterns("d0", "d1") == [0x11, 0x11]
        assert max(len(line) for line in seat.screen.text.splitlines()) <= columns
        seat.type(CTRL_D)
        assert seat.ends() == ExitStatus.OK
        assert seat.terminal_modes == seat.modes
        assert seat.screen.last_line == "hmp>"
    kept = [line[1:] for line in history.read_text().splitlines() if line.startswith("+")]
    assert kept == ["savevm before", "info snapshots", "loadvm before"]
    assert history.stat().st_mode & 0o777 == 0o600


@SIZES
def test_screen_after_a_command(vm: Machine, columns: int, rows: int) -> None:
    """All of it: the answer, the prompt with the cursor behind it, and the toolbar at the foot."""
    with Seat(vm.vm.qmp_path, "--history", "", columns=columns, rows=rows) as seat:
        seat.sees(r"running")
        seat.type("info name" + ENTER)
        seat.sees(r"hmp> info name\nvm1\nhmp>")
        seat.sees_line("")
        seat.until(lambda: seat.screen.last_line.startswith(" vm1 │"), "the toolbar")
        assert [line for line in seat.screen.lines if line][:3] == ["hmp> info name", "vm1", "hmp>"]
        seat.type("exit" + ENTER)
        assert seat.ends() == ExitStatus.OK
        assert seat.terminal_modes == seat.modes


def test_nobody_there(tmp_path: Path) -> None:
    with Seat(str(tmp_path / "none.sock"), "--history", "", columns=200) as seat:
        assert seat.ends() == ExitStatus.NO_CONNECTION
        (line,) = seat.screen.text.splitlines()
        assert line.startswith(f"hmp-repl: cannot connect to QEMU at unix:{tmp_path}/none.sock: No such file")
        assert seat.terminal_modes == seat.modes


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_it_and_leaves_the_terminal_as_it_was(vm: Machine, number: signal.Signals) -> None:
    with Seat(vm.vm.qmp_path, "--history", "") as seat:
        seat.sees(r"running")
        seat.type("info na")
        seat.sees_line("info na")
        assert seat.terminal_modes != seat.modes
        seat.process.send_signal(number)
        assert seat.ends() == ExitStatus.TERMINATED
        assert seat.terminal_modes == seat.modes
        assert "Traceback" not in seat.screen.text


def test_ctrl_c_between_two_lines_is_no_end_of_the_program(vm: Machine) -> None:
    """There the terminal makes a signal of it."""
    with Seat(vm.vm.qmp_path, "--history", "") as seat:
        seat.sees("hmp>")
        seat.until(lambda: seat.terminal_modes != seat.modes, "the line editor's mode")
        seat.type("info name" + ENTER)
        # That time is too short to be seen, so they come all the while that the line is taken and obeyed.
        for _ in range(20):
            seat.process.send_signal(signal.SIGINT)
            seat.look(0.001)
        # Whatever they came in time for, there is a prompt again.
        seat.sees_line("")
        assert seat.process.poll() is None
        seat.type("info version" + ENTER)
        seat.sees(r"\n\d+\.\d+\.\d+")
        seat.sees_line("")
        seat.type(CTRL_D)
        assert seat.ends() == ExitStatus.OK
        assert seat.terminal_modes == seat.modes


def test_terminal_that_changes_its_size(vm: Machine) -> None:
    with Seat(vm.vm.qmp_path, "--history", "") as seat:
        seat.sees(r"running")
        seat.type("info na")
        seat.sees_line("info na")
        seat.screen.resize(40, 10)
        seat.set_size(40, 10)
        seat.until(lambda: seat.screen.last_line == " vm1 │ running │ 0 snapshots", "the narrow toolbar")
        seat.sees_line("info na")
        seat.type("me" + ENTER)
        seat.sees(r"\nvm1\n")
        seat.type(CTRL_D)
        assert seat.ends() == ExitStatus.OK


def test_ctrl_c_and_lost_connection() -> None:
    with slow_machine() as slow, Seat(slow.vm.qmp_path, "--history", "", columns=120) as seat:
        seat.sees(r"running")
        seat.type("savevm new" + ENTER)
        seat.sees(r"savevm new .* the VM stands still for .*Ctrl-C: do not wait")
        freeze(slow)
        seat.type(CTRL_C)
        seat.sees("goes on in QEMU")
        seat.type("delvm ol" + TAB)
        seat.sees_line("delvm old")
        thaw(slow)
        seat.sees(r"done: savevm new \(.*\)\nhmp> delvm old")
        slow.vm.kill()
        seat.sees("is lost: ")
        seat.sees_line("delvm old")
        seat.type(CTRL_C)
        seat.sees_line("")
        seat.type(CTRL_D)
        assert seat.ends() == ExitStatus.OK
        assert seat.terminal_modes == seat.modes


def test_dumb_terminal_is_usable(vm: Machine) -> None:
    """Without cursor movement there is neither toolbar nor menu, but what is asked and answered."""
    assert vm.observer.hmp("savevm t1") == ""
    with Seat(vm.vm.qmp_path, "--history", "", terminal="dumb") as seat:
        seat.sees("hmp>")
        seat.type("info name" + ENTER)
        seat.sees(r"\nvm1\n")
        seat.type("delvm t1" + ENTER)
        seat.sees(r"Delete it\? \[y/N\]")
        seat.type("y")
        seat.sees(r"done: delvm t1 \(.*\)\nhmp>$")
        assert "│" not in seat.screen.written
        # There the prompt is printed before its keys are listened to.
        seat.until(lambda: seat.terminal_modes != seat.modes, "the line editor's mode")
        seat.type(CTRL_D)
        assert seat.ends() == ExitStatus.OK
        assert seat.terminal_modes == seat.modes
