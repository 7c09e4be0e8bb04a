"""Reading and keeping output at a real pseudo-terminal, of a real QEMU: the pager, shell commands, files and `watch`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from repl.errors import ExitStatus
from tests.integration.machines import Machine
from tests.integration.prompt.pty_seat import Seat, leave_a_save
from tests.integration.prompt.sitting import slow_machine, thaw
from tests.support.repl.screen import CTRL_C, CTRL_D, ENTER

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

QUIT_KEY: Final = "\x1c"
# less waits for a key.
AT_PAGER: Final = r"\n:$"


@pytest.fixture
def seat(vm: Machine) -> Iterator[Seat]:
    """Somebody at the prompt, who leaves at the end and finds the terminal as it was."""
    with Seat(vm.vm.qmp_path, "--history", "", HMPSHIM_PAGER="less", LESS="FRX") as one:
        one.sees("running")
        one.sees_line("")
        yield one
        one.sees_line("")
        one.type(CTRL_D)
        assert one.ends() == ExitStatus.OK
        assert one.terminal_modes == one.modes
        assert "Traceback" not in one.screen.written
        assert "never retrieved" not in one.screen.written


def test_pager_is_read_and_left_and_events_come_after_it(seat: Seat, vm: Machine) -> None:
    seat.type("help" + ENTER)
    seat.sees(AT_PAGER)
    assert "announce_self" in seat.screen.text
    vm.observer.returned("stop")
    vm.observer.returned("cont")
    seat.type(CTRL_C)
    # The terminal drops keys that come with a Ctrl-C.
    while "\ncont|c  -- " not in seat.screen.text:
        seat.type(" ")
        seat.look(1)
    seat.sees(AT_PAGER)
    assert "STOP" not in seat.screen.text
    seat.type("q")
    seat.sees(r" STOP\n.* RESUME\n")
    seat.sees_line("")
    # Ours are in sight, though the pager was left on its second page.
    assert any(line.startswith("watch [seconds] command") for line in seat.screen.lines)
    assert any(line.startswith("help|?") for line in seat.screen.lines)


def test_shell_command_has_the_terminal_and_the_prompt_comes_back_below(seat: Seat) -> None:
    seat.type("info mtree | head -c 13" + ENTER)
    seat.sees(r"\| head -c 13\naddress-space\nhmp>$|\| head -c 13\naddress-space\nhmp>\n")
    seat.sees_line("")
    seat.type("info name | cat; read answer < /dev/tty; echo got $answer" + ENTER)
    seat.sees(r"\nvm1$")
    seat.type("this" + ENTER)
    seat.sees(r"\ngot this\n")
    seat.sees_line("")


@pytest.mark.parametrize(("key", "said"), [(CTRL_C, "^C"), (QUIT_KEY, "'echo begun; exec sleep 1000' was ended by SIGQUIT")])
def test_ctrl_c_ends_the_shell_command_and_nothing_else(seat: Seat, key: str, said: str) -> None:
    seat.type("info name | echo begun; exec sleep 1000" + ENTER)
    seat.sees(r"\nbegun$")
    seat.type(key)
    seat.sees(re.escape(said))
    seat.sees_line("")
    seat.type("info name" + ENTER)
    seat.sees(r"info name\nvm1\n")


def test_ctrl_c_in_the_pager_does_nothing_to_a_snapshot_that_was_left() -> None:
    with slow_machine() as slow, Seat(slow.vm.qmp_path, "--history", "", columns=120) as seat:
        leave_a_save(seat, slow)
        seat.sees_line("")
        seat.type("help connect | less -+F" + ENTER)
        seat.sees(r"\(END\)")
        seat.type(CTRL_C * 3)
        thaw(slow)
        seat.until(lambda: slow.tags("d0.qcow2") == ["old", "new"], "the snapshot")
        assert "done: savevm new" not in seat.screen.text
        seat.type("q")
        seat.sees(r"done: savevm new \(")
        seat.sees_line("")
        assert slow.observer.returned("query-jobs") == []
        seat.type(CTRL_D)
        assert seat.ends() == ExitStatus.OK
        assert seat.terminal_modes == seat.modes


def test_files(seat: Seat, tmp_path: Path) -> None:
    seat.type(f"info mtree > {tmp_path}/m" + ENTER)
    seat.sees(r"\n\d+ lines written to ")
    seat.sees_line("")
    whole = (tmp_path / "m").read_text()
    assert "pc.ram" in whole
    assert "\r" not in whole
    seat.type(f"info mtree >> {tmp_path}/m" + ENTER)
    seat.sees(r"\n\d+ lines appended to ")
    seat.sees_line("")
    assert (tmp_path / "m").read_text() == whole * 2
    seat.type("info name > /none/m" + ENTER)
    seat.sees(r"\nvm1\ncannot write /none/m: No such file or directory\n")
    seat.type("info name > /dev/full" + ENTER)
    seat.sees(r"\nvm1\ncannot write /dev/full: No space left on device\n")


def test_watch(seat: Seat, vm: Machine) -> None:
    seat.type("watch 0.2 info status" + ENTER)
    seat.sees(r"every 0.2 s: info status  \S+\nVM status: running\n")
    vm.observer.returned("stop")
    seat.sees(r" STOP\nevery 0.2 s: info status  \S+\nVM status: paused")
    seat.type(CTRL_C)
    seat.sees_line("")
    assert seat.screen.text.count("every 0.2 s") == 1
    vm.observer.returned("cont")
    seat.sees(r" RESUME\n")
    seat.type("watch 0.2 info mtree | grep -c pci" + ENTER)
    seat.sees(r"every 0.2 s: info mtree \| grep -c pci  \S+\n\d+\n")
    seat.type(CTRL_C)


def test_signal_ends_it_while_the_pager_is_there(vm: Machine) -> None:
    with Seat(vm.vm.qmp_path, "--history", "", HMPSHIM_PAGER="less", LESS="FRX") as seat:
        seat.sees("running")
        seat.type("help" + ENTER)
        seat.sees(AT_PAGER)
        seat.process.terminate()
        assert seat.ends() == ExitStatus.TERMINATED
        assert seat.terminal_modes == seat.modes
