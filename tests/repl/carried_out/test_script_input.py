"""A script that reads its lines, is interrupted, or asks the person at its terminal: on a modelled QEMU, in this process.

tests/integration/scripts/test_scripts_ending.py does it with the program, and Ctrl-C at a real terminal.
"""

import asyncio
import fcntl
import json
import os
import signal
import struct
import sys
import termios
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from host.net.addresses import UnixAddress
from repl.command_line import Invocation
from repl.errors import ExitStatus
from repl.results import intents_at
from repl.script import Script
from shim.client import Client
from shim.graph.policy import Policy, PolicyKind
from shim.plans.intent import Intent
from shim.plans.jobs import REPL_JOB_PREFIX
from shim.plans.plan import Intend
from tests.fakes.qemu import Drop, FakeQEMU, Faults, When, two_disks
from tests.support.proxy.running_vm_proxy import RunningServer, in_thread
from tests.support.raw_client import DEADLINE_S

GOES_ON: Final = b"hmp-repl: 'savevm t' goes on in QEMU; waiting for its end (Ctrl-C again: do not wait)\n"


async def script_at(path: str, *commands: str, **options: Any) -> ExitStatus:
    """Run a script: these commands, or, where there are none, what standard input says."""
    invocation = Invocation(UnixAddress(path), Policy(), commands=commands or None, **options)
    async with asyncio.timeout(DEADLINE_S):
        return await Script(invocation, Client(), None).run()


def run(qemu: FakeQEMU, *commands: str, meanwhile: Callable[[FakeQEMU], Any] | None = None, **options: Any) -> ExitStatus:
    async def scene() -> ExitStatus:
        async with qemu, asyncio.TaskGroup() as tasks:
            if meanwhile is not None:
                tasks.create_task(meanwhile(qemu))
            return await script_at(qemu.path, *commands, **options)

    return asyncio.run(scene())


# -- standard input -------------------------------------------------------------------------------------------------------


@contextmanager
def reading(monkeypatch: pytest.MonkeyPatch, content: bytes, *, is_ended: bool = True) -> Iterator[None]:
    """Have this on standard input, as from a pipe."""
    reader, writer = os.pipe()
    os.write(writer, content)
    if is_ended:
        os.close(writer)
    with open(reader, "rb", buffering=0) as source:
        monkeypatch.setattr(sys, "stdin", source)
        yield
    if not is_ended:
        os.close(writer)


LINES: Final = [
    (b"", []),
    (b"savevm a", ["savevm a"]),
    (b"savevm a\n\n  \nsavevm \xc3\xa9\n", ["savevm a", "savevm é"]),
    (b"savevm a\nexit\nsavevm b\n", ["savevm a"]),
    (b"# a\n  #quit\nsavevm a\n\\q\nsavevm b\n", ["savevm a"]),
]


@pytest.mark.parametrize(("content", "lines"), LINES)
def test_lines_of_a_pipe_are_run(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, content: bytes, lines: list[str]
) -> None:
    with reading(monkeypatch, content):
        assert run(FakeQEMU(two_disks()), as_json=True) == ExitStatus.OK
    assert [json.loads(line)["command"] for line in capsysbinary.readouterr().out.splitlines()] == lines


@pytest.mark.parametrize(("content", "lines"), LINES)
def test_lines_of_a_file_are_run(
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    content: bytes,
    lines: list[str],
) -> None:
    """A file cannot be waited for."""
    (tmp_path / "lines").write_bytes(content)
    with open(tmp_path / "lines", "rb", buffering=0) as source:
        monkeypatch.setattr(sys, "stdin", source)
        assert run(FakeQEMU(two_disks()), as_json=True) == ExitStatus.OK
    assert [json.loads(line)["command"] for line in capsysbinary.readouterr().out.splitlines()] == lines


def test_loss_while_waiting_for_a_line_ends_it(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    qemu = FakeQEMU(faults=Faults(drops=[Drop("query-status", When.REPLIED)]))
    with reading(monkeypatch, b"qmp stop\nqmp query-status\nsavevm", is_ended=False):
        assert run(qemu) == ExitStatus.NO_CONNECTION
    assert capsysbinary.readouterr().err.endswith(b" is lost: QEMU closed it\n")
    assert qemu.commands[-1] == "query-status"


def test_end_that_was_asked_for_ends_the_reading(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with reading(monkeypatch, b"qmp quit\n", is_ended=False):
        assert run(FakeQEMU()) == ExitStatus.OK
    assert capsysbinary.readouterr().err == b""


# -- a line that is ours --------------------------------------------------------------------------------------------------


def test_fault_is_pointed_at(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(FakeQEMU(), "plan\tloadvm", as_json=True) == ExitStatus.COMMAND_FAILED
    told = capsysbinary.readouterr()
    assert told.err == b"hmp-repl: plan loadvm\nhmp-repl:            ^ loadvm needs a tag\n"
    expected = {"command": "plan\tloadvm", "ok": False, "error": "loadvm needs a tag", "position": 11}
    assert json.loads(told.out) == expected


def test_plan_is_printed_and_nothing_is_done(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    qemu = FakeQEMU(two_disks())
    assert run(qemu, "plan savevm t") == ExitStatus.OK
    assert b"snapshot-save" in capsysbinary.readouterr().out
    assert qemu.vm.graph["d0"].snapshots == []


@pytest.mark.parametrize("line", ["info status", "qmp query-status"])
def test_line_that_comes_too_late_was_not_sent(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    async def lines(script: Script) -> AsyncGenerator[str, None]:
        yield "qmp query-name"
        await script._lost.wait()
        yield line

    monkeypatch.setattr(Script, "_lines", lines)
    qemu = FakeQEMU(faults=Faults(drops=[Drop("query-name", When.REPLIED, 2)]))
    assert run(qemu) == ExitStatus.NO_CONNECTION
    assert capsysbinary.readouterr().err.endswith(f": it has ended; '{line}' was not sent\n".encode())


def test_outcome_of_a_qmp_command_that_lost_its_connection_is_not_known(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    qemu = FakeQEMU(faults=Faults(drops=[Drop("query-status", When.DONE)]))
    assert run(qemu, "qmp query-status") == ExitStatus.NO_CONNECTION
    assert capsysbinary.readouterr().err.endswith(b" is lost: QEMU has stopped answering\n")


# -- at the start ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("file_policy", "is_told"), [(None, False), (Policy(), False), (Policy(kind=PolicyKind.HMP), True)])
def test_file_with_another_policy_than_the_proxys_is_told(
    capsysbinary: pytest.CaptureFixture[bytes], file_policy: Policy | None, is_told: bool
) -> None:
    async def scene() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningServer(f"unix:{qemu.path}") as proxy:
            assert await script_at(proxy.path, "savevm t", file_policy=file_policy) == ExitStatus.OK

    asyncio.run(scene())
    assert (b"has another policy than the file" in capsysbinary.readouterr().err) is is_told


def test_savevm_of_a_script_that_was_killed_is_told(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    qemu = FakeQEMU(two_disks())
    left = intents_at(UnixAddress(qemu.path))
    left.note(Intend(Intent("t", None, "d0", ("d0",), f"{REPL_JOB_PREFIX}marker")))
    left.close()
    assert run(qemu, "info snapshots") == ExitStatus.OK
    expected = "savevm 't', which was to replace a snapshot, was cut off: the old 't' is gone, and there is no new one"
    assert capsysbinary.readouterr().err == f"hmp-repl: {expected}\n".encode()


# -- Ctrl-C ---------------------------------------------------------------------------------------------------------------


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("further", [[], ["savevm u"]])
def test_interrupt_waits_for_the_end_of_the_command(capsysbinary: pytest.CaptureFixture[bytes], further: list[str]) -> None:
    async def meanwhile(qemu: FakeQEMU) -> None:
        await qemu.reached("snapshot-save")
        interrupt()
        qemu.release()

    qemu = FakeQEMU(two_disks())
    qemu.hold("snapshot-save")
    assert run(qemu, "savevm t", *further, meanwhile=meanwhile) == ExitStatus.INTERRUPTED
    assert capsysbinary.readouterr().err == GOES_ON
    assert [snapshot.name for snapshot in qemu.vm.graph["d0"].snapshots] == ["t"]


@pytest.mark.parametrize("has_begun", [True, False])
def test_interrupt_is_one_where_nothing_runs_or_for_the_second_time(
    capsysbinary: pytest.CaptureFixture[bytes], has_begun: bool
) -> None:
    """Raised in the loop itself it would also end the model here; so the handler is called by hand."""

    async def scene() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            qemu.hold("snapshot-save" if has_begun else "query-commands")
            script = Script(Invocation(UnixAddress(qemu.path), Policy(), commands=("savevm t",)), Client(), None)
            running = asyncio.create_task(script.run())
            await qemu.reached("snapshot-save" if has_begun else "query-commands")
            if has_begun:
                script._interrupt()
            with pytest.raises(KeyboardInterrupt):
                script._interrupt()
            qemu.release()
            assert await running == (ExitStatus.INTERRUPTED if has_begun else ExitStatus.OK)

    asyncio.run(scene())
    assert capsysbinary.readouterr().err == (GOES_ON if has_begun else b"")


# -- at a terminal --------------------------------------------------------------------------------------------------------


class Terminal:
    """What is on a terminal, seen from its other side."""

    def __init__(self, master: int) -> None:
        self._master = master

    def up_to(self, end: str) -> str:
        """Return what was written on it since the last look, as soon as it ends so. The kernel may hand it over in pieces."""
        shown = b""
        while not shown.endswith(end.encode()):
            shown += os.read(self._master, 64 * 1024).replace(b"\r\n", b"\n")
        return shown.decode()


@contextmanager
def at_terminal(monkeypatch: pytest.MonkeyPatch, typed: bytes = b"", columns: int = 0) -> Iterator[Terminal]:
    """Have a terminal on standard input and standard error. typed: a line that is there already."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.write(master, typed)
    with open(master, "rb", buffering=0), open(slave, "rb", buffering=0, closefd=False) as keyboard, open(slave, "w") as screen:
        monkeypatch.setattr(sys, "stdin", keyboard)
        monkeypatch.setattr(sys, "stderr", screen)
        yield Terminal(master)


def saved(**options: Any) -> FakeQEMU:
    qemu = FakeQEMU(two_disks(), **options)
    qemu.vm.save_snapshot("t", overwrite=True)
    return qemu


@pytest.mark.parametrize(("typed", "is_wanted"), [(b"y\n", True), (b" YES \n", True), (b"n\n", False), (b"\n", False)])
def test_what_is_lost_is_asked_for(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, typed: bytes, is_wanted: bool
) -> None:
    qemu = saved()
    with at_terminal(monkeypatch, typed) as terminal:
        assert run(qemu, "delvm t", as_json=True) == (ExitStatus.OK if is_wanted else ExitStatus.COMMAND_FAILED)
        terminal.up_to("Delete it? [y/N] ")
    assert qemu.vm.graph["d0"].count("t") == (0 if is_wanted else 1)
    told = json.loads(capsysbinary.readouterr().out)
    assert told["ok"] is is_wanted
    assert told.get("error") == (None if is_wanted else "not confirmed")


@pytest.mark.parametrize("line", ["qmp quit", '{"execute": "quit"}'])
@pytest.mark.parametrize("is_wanted", [True, False])
def test_end_of_the_vm_by_qmp_is_asked_for(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, line: str, is_wanted: bool
) -> None:
    qemu = saved()
    with at_terminal(monkeypatch, b"y\n" if is_wanted else b"n\n") as terminal:
        assert run(qemu, line, as_json=True) == (ExitStatus.OK if is_wanted else ExitStatus.COMMAND_FAILED)
        terminal.up_to("End the VM? [y/N] ")
    assert qemu.vm.has_quit is is_wanted
    assert json.loads(capsysbinary.readouterr().out)["ok"] is is_wanted


@pytest.mark.parametrize(("options", "line"), [({}, "savevm new"), ({"asks": False}, "delvm t")])
def test_nothing_is_asked_where_nothing_is_lost_or_nobody_wants_it(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], line: str
) -> None:
    with at_terminal(monkeypatch) as terminal:
        assert run(saved(), line, **options) == ExitStatus.OK
        sys.stderr.write("end\n")
        sys.stderr.flush()
        assert terminal.up_to("end\n") == "end\n"


@pytest.mark.parametrize(("columns", "least", "most"), [(40, 20, 40), (0, 41, 80), (300, 81, 300)])
def test_question_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int, least: int, most: int) -> None:
    """0: a terminal that does not know how wide it is."""
    with at_terminal(monkeypatch, b"n\n", columns) as terminal:
        run(saved(), "loadvm t")
        longest = max(map(len, terminal.up_to("Load it? [y/N] ").splitlines()))
    assert least <= longest <= most


def test_question_ends_with_qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    with at_terminal(monkeypatch) as terminal:

        async def meanwhile(qemu: FakeQEMU) -> None:
            await in_thread(terminal.up_to, "Delete it? [y/N] ")
            await qemu.close()

        assert run(saved(), "delvm t", meanwhile=meanwhile) == ExitStatus.NO_CONNECTION
        terminal.up_to(" is lost: QEMU closed it\n")
