"""How a script of `hmp-repl` ends before its commands do: QEMU gone, Ctrl-C, nobody who reads; what is asked at a terminal."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.integration.command_lines import BIOS, disk
from tests.integration.machines import Machine, machine
from tests.integration.prompt.sitting import brake, slow_machine
from tests.integration.scripts.repl_process import repl, start_repl
from tests.support.raw_client import DEADLINE_S

pytestmark = pytest.mark.needs_snapshot_jobs

GOES_ON: Final = b"hmp-repl: 'savevm t' goes on in QEMU; waiting for its end (Ctrl-C again: do not wait)\n"


@pytest.fixture
def own() -> Iterator[Machine]:
    """A VM of the test's own."""
    with machine(f"{BIOS} {disk('d0')}", {"d0.qcow2": ""}) as vm:
        yield vm


def ends(process: "subprocess.Popen[bytes]") -> tuple[int, bytes, bytes]:
    """Wait for the end; give status, output and complaints. Standard input stays open."""
    status = process.wait(DEADLINE_S)
    assert process.stdout is not None
    assert process.stderr is not None
    return status, process.stdout.read(), process.stderr.read()


# --- quit -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["quit", "q", " quit ", "qmp quit"])
@pytest.mark.parametrize("way", ["-c", "stdin", "terse stdin"])
def test_quit_ends_qemu_and_all_went_well(own: Machine, line: str, way: str) -> None:
    if way == "-c":
        ended = repl(own.vm.qmp_path, "-c", line)
    else:
        ended = repl(own.vm.qmp_path, stdin=line.encode() + (b"\n" if way == "stdin" else b""))
    assert (ended.status, ended.err) == (0, "")
    assert own.vm.wait_gone() == 0


def test_command_behind_quit_is_not_done(own: Machine) -> None:
    """It was sent or not, by how soon QEMU was gone; the complaint says which."""
    ended = repl(own.vm.qmp_path, "-c", "quit", "-c", "info status")
    assert (ended.status, ended.out) == (3, b"")
    at = f"QEMU at unix:{own.vm.qmp_path}"
    unsent = f"hmp-repl: there is no connection to {at}: it has ended; 'info status' was not sent\n"
    lost = f"hmp-repl: the connection to {at} is lost: QEMU has stopped answering; "
    lost += "what became of 'info status' is not known\n"
    assert ended.err in (unsent, lost)


# --- QEMU is gone -----------------------------------------------------------------------------------------------------


def test_loss_while_waiting_for_a_line_ends_it_at_once(own: Machine) -> None:
    with start_repl(own.vm.qmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"info status\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"VM status: running\n"
        own.vm.kill()
        complaint = f"hmp-repl: the connection to QEMU at unix:{own.vm.qmp_path} is lost: QEMU closed it\n"
        assert ends(process) == (3, b"", complaint.encode())


@contextmanager
def saving(*arguments: str) -> Iterator[tuple[Machine, "subprocess.Popen[bytes]"]]:
    """Have a script save a snapshot, and QEMU be at it; it is to delete another one then."""
    with slow_machine() as slow:
        brake(slow)
        with start_repl(slow.vm.qmp_path, *arguments, "-c", "savevm t", "-c", "delvm old") as process:
            slow.observer.read_until_event("STOP")
            yield slow, process


def test_loss_while_saving_leaves_the_outcome_open(tmp_path: Path) -> None:
    audit = tmp_path / "audit"
    with saving("--audit", str(audit)) as (slow, process):
        slow.vm.kill()
        status, out, complaint = ends(process)
    assert (status, out) == (3, b"")
    assert complaint.decode().endswith("; what became of 'savevm t' is not known\n")
    record = json.loads(audit.read_text())
    assert (record["reply"], record["action"]) == (None, "rewritten")
    assert record["reason"].endswith("the outcome is not known")


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------


def test_interrupt_waits_for_the_snapshot_and_ends_behind_it() -> None:
    with saving() as (slow, process):
        process.send_signal(signal.SIGINT)
        assert ends(process) == (130, b"", GOES_ON)
        assert slow.tags("d0.qcow2") == ["old", "t"]
        assert slow.run_state == "running"
        assert slow.observer.returned("query-jobs") == []


def test_second_interrupt_does_not_wait(tmp_path: Path) -> None:
    """QEMU goes on; the record says that nobody knows how it ended."""
    audit = tmp_path / "audit"
    with saving("--audit", str(audit)) as (slow, process):
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.readline() == GOES_ON
        process.send_signal(signal.SIGINT)
        assert ends(process) == (130, b"", b"")
        record = json.loads(audit.read_text())
        assert record["reply"] is None
        assert record["reason"].endswith("the outcome is not known")
        # It has been done since; only its job may be left.
        assert slow.tags("d0.qcow2") == ["old", "t"]


def test_interrupt_between_commands_ends_it(own: Machine) -> None:
    with start_repl(own.vm.qmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"info status\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"VM status: running\n"
        process.send_signal(signal.SIGINT)
        assert ends(process) == (130, b"", b"")
    assert own.run_state == "running"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_it_is_ended_between_commands(own: Machine, number: signal.Signals) -> None:
    with start_repl(own.vm.qmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"info status\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"VM status: running\n"
        process.send_signal(number)
        assert ends(process) == (143, b"", b"")


def test_it_is_ended_while_it_waits_for_a_snapshot(tmp_path: Path) -> None:
    audit = tmp_path / "audit"
    with saving("--audit", str(audit)) as (slow, process):
        process.terminate()
        assert ends(process) == (143, b"", b"")
        assert json.loads(audit.read_text())["reason"].endswith("the outcome is not known")
        assert slow.tags("d0.qcow2") == ["old", "t"]


# --- Nobody reads -----------------------------------------------------------------------------------------------------


def test_nobody_reads_the_output(own: Machine) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with start_repl(own.vm.qmp_path, "-c", "info status", "-c", "savevm t", stdout=writing) as process:
        os.close(writing)
        assert process.wait(DEADLINE_S) == 1
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert own.tags("d0.qcow2") == []


# --- At a terminal ----------------------------------------------------------------------------------------------------


@contextmanager
def at_terminal(vm: Machine, *arguments: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Start it with a terminal for input and complaints, and give the person's side of that."""
    person, terminal = pty.openpty()
    try:
        with start_repl(vm.vm.qmp_path, *arguments, stdin=terminal, stderr=terminal) as process:
            os.close(terminal)
            yield process, person
    finally:
        os.close(person)


def shown(person: int, end: bytes) -> bytes:
    """Read what is shown up to this."""
    text = b""
    while end not in text:
        text += os.read(person, 4096)
    return text


@pytest.mark.parametrize(
    ("typed", "status", "left"),
    [
        ("n\n", 1, ["t"]),
        ("\n", 1, ["t"]),
        ("yess\n", 1, ["t"]),
        ("\x04", 1, ["t"]),
        ("y\n", 0, []),
        (" YES \n", 0, []),
    ],
    ids=["n", "enter", "else", "end of input", "y", "yes"],
)
def test_deletion_is_asked_about_at_a_terminal(own: Machine, typed: str, status: int, left: list[str]) -> None:
    assert own.observer.hmp("savevm t") == ""
    with at_terminal(own, "-c", "delvm t") as (process, person):
        asked = shown(person, b"[y/N] ")
        assert b"'t'" in asked
        assert asked.endswith(b"Delete it? [y/N] ")
        os.write(person, typed.encode())
        assert process.wait(DEADLINE_S) == status
    assert own.tags("d0.qcow2") == left


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_question_can_be_left(own: Machine, number: signal.Signals, status: int) -> None:
    assert own.observer.hmp("savevm t") == ""
    with at_terminal(own, "-c", "delvm t") as (process, person):
        shown(person, b"[y/N] ")
        process.send_signal(number)
        assert process.wait(DEADLINE_S) == status
    assert own.tags("d0.qcow2") == ["t"]


def test_question_ends_with_qemu(own: Machine) -> None:
    with at_terminal(own, "-c", "quit") as (process, person):
        shown(person, b"[y/N] ")
        own.vm.kill()
        assert process.wait(DEADLINE_S) == 3


@pytest.mark.parametrize(
    ("line", "question"),
    [("savevm t", "Replace it?"), ("loadvm t", "Load it?"), ("delvm t", "Delete it?"), ("quit", "End the VM?")],
)
def test_loss_is_asked_about(own: Machine, line: str, question: str) -> None:
    assert own.observer.hmp("savevm t") == ""
    with at_terminal(own, "--json", "-c", line) as (process, person):
        assert shown(person, b"[y/N] ").endswith(f"{question} [y/N] ".encode())
        os.write(person, b"n\n")
        assert process.wait(DEADLINE_S) == 1
        assert process.stdout is not None
        assert json.loads(process.stdout.read()) == {"command": line, "ok": False, "error": "not confirmed"}
    assert own.vm.is_alive
    assert own.tags("d0.qcow2") == ["t"]


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["--yes", "-c", "delvm t"], []),
        (["-c", "savevm u"], ["t", "u"]),
        (["-c", "info snapshots", "-c", "info status"], ["t"]),
        (["-c", "plan delvm t"], ["t"]),
    ],
    ids=["--yes", "new tag", "queries", "plan"],
)
def test_nothing_is_asked_about_what_is_no_loss(own: Machine, arguments: list[str], left: list[str]) -> None:
    assert own.observer.hmp("savevm t") == ""
    with at_terminal(own, *arguments) as (process, _):
        assert process.wait(DEADLINE_S) == 0
    assert own.tags("d0.qcow2") == left


def test_nothing_is_asked_without_a_terminal(own: Machine) -> None:
    assert own.observer.hmp("savevm t") == ""
    assert repl(own.vm.qmp_path, "-c", "delvm t").status == 0
    assert own.tags("d0.qcow2") == []
