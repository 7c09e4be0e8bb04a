"""`hmp-repl` itself at a real pseudo-terminal in front of a real QEMU: what is on the screen, and what it leaves behind."""

import signal
from pathlib import Path
from typing import Final

import pytest

from repl.errors import ExitStatus
from tests.integration.machines import Machine
from tests.integration.prompt.pty_seat import Seat, leave_a_save
from tests.integration.prompt.sitting import slow_machine, thaw
from tests.support.repl.screen import CTRL_C, CTRL_D, ENTER, TAB

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

SIZES: Final = pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 10)])


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
    """All of it: the line at the start, the answer, the prompt with the cursor behind it, and the toolbar at the foot."""
    with Seat(vm.vm.qmp_path, "--history", "", columns=columns, rows=rows) as seat:
        seat.sees(r"running")
        seat.type("info name" + ENTER)
        seat.sees(r"hmp> info name\nvm1\nhmp>")
        seat.sees_line("")
        seat.until(lambda: seat.screen.last_line.startswith(" vm1 │"), "the toolbar")
        lines = [line for line in seat.screen.lines if line]
        assert lines[-4:-1] == ["hmp> info name", "vm1", "hmp>"]
        assert " ".join(lines[:-4]).startswith("vm1: QEMU ")
        assert " ".join(lines[:-4]).endswith("'exit' leaves.")
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
        seat.until(lambda: seat.screen.last_line == " vm1 │ running │ info [subcommand] -- s…", "the narrow toolbar")
        seat.sees_line("info na")
        seat.type("me" + ENTER)
        seat.sees(r"\nvm1\n")
        seat.type(CTRL_D)
        assert seat.ends() == ExitStatus.OK


def test_ctrl_c_and_lost_connection() -> None:
    with slow_machine() as slow, Seat(slow.vm.qmp_path, "--history", "", columns=120) as seat:
        leave_a_save(seat, slow)
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
