"""A script's run on a modelled QEMU: its exit status, also where the connection ends, and what is printed where.

tests/integration/test_scripts.py runs the program itself, on a real QEMU.
"""

import asyncio
import io
import json
import sys
from collections.abc import Sequence
from typing import Any, Final

import pytest

from host.addresses import UnixAddress
from repl.command_line import Invocation
from repl.errors import ExitStatus, LinkError
from repl.script import Script
from shim.client import Client
from shim.own_commands import QUERY_PROXY
from shim.policy import Policy
from tests.fakes.qemu import Drop, FakeQEMU, Faults, When, two_disks
from tests.support.raw_client import DEADLINE_S

ASKER: Final = Client(pid=11, uid=22)
UNKNOWN: Final = b"unknown command: 'info status'\n"


def run(fake: FakeQEMU, commands: Sequence[str], **options: Any) -> ExitStatus:
    """Run commands on the fake."""

    async def scene() -> ExitStatus:
        async with fake as qemu, asyncio.timeout(DEADLINE_S):
            invocation = Invocation(UnixAddress(qemu.path), Policy(), commands=tuple(commands), **options)
            return await Script(invocation, ASKER, None).run()

    return asyncio.run(scene())


@pytest.mark.parametrize(
    ("commands", "status", "out"),
    [
        ([], 0, b""),
        (["savevm t", "loadvm t", "delvm t"], 0, b""),
        (["loadvm t", "savevm t"], 1, b"Error: Snapshot 't' does not exist in one or more devices\n"),
        (["info status", "savevm t"], 1, UNKNOWN),
        (["exit", "info status"], 0, b""),
        ([""], 0, b""),
        (["qmp query-jobs"], 0, b"[]\n"),
        (["qmp nosuch"], 1, b"CommandNotFound: The command nosuch has not been found\n"),
        (["qmp stop", "qmp query-status"], 0, None),
    ],
)
def test_status_and_output(
    capsysbinary: pytest.CaptureFixture[bytes], commands: list[str], status: int, out: bytes | None
) -> None:
    assert run(FakeQEMU(two_disks()), commands) == status
    told = capsysbinary.readouterr()
    assert told.err == b""
    assert out is None or told.out == out


@pytest.mark.parametrize(("is_raw", "end"), [(True, b"\r\n"), (False, b"\n")])
def test_raw_keeps_hmps_line_ends(capsysbinary: pytest.CaptureFixture[bytes], is_raw: bool, end: bytes) -> None:
    run(FakeQEMU(two_disks()), ["info snapshots"], is_raw=is_raw)
    assert capsysbinary.readouterr().out == b"There is no snapshot available." + end


def test_failure_in_the_middle_is_remembered(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(FakeQEMU(two_disks()), ["loadvm t", "savevm t"], keeps_going=True, as_json=True) == ExitStatus.COMMAND_FAILED
    assert [json.loads(line)["ok"] for line in capsysbinary.readouterr().out.splitlines()] == [False, True]


def test_there_must_be_a_connection_at_the_start() -> None:
    with pytest.raises(LinkError):
        run(FakeQEMU(pretty=True), ["savevm t"])


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize(
    "command", ["query-commands", "query-name", QUERY_PROXY, "query-block", "snapshot-save", "query-jobs", "job-dismiss"]
)
def test_loss_is_told_with_what_is_not_known(capsysbinary: pytest.CaptureFixture[bytes], command: str, when: When) -> None:
    """A connection that ends between two commands is noticed before the second is written, or behind it.

    Which of them depends on the loop's turns, and differs between CPython 3.11 and 3.13. What is told is either that the
    command was not sent, or that its outcome is not known.
    """
    drops = [Drop(command, when, dies=True)]
    assert run(FakeQEMU(two_disks(), faults=Faults(drops=drops)), ["savevm t", "info status"]) == ExitStatus.NO_CONNECTION
    told = capsysbinary.readouterr()
    assert told.out == b""
    assert told.err.count(b"\n") == 1
    if when is When.REPLIED and command in (QUERY_PROXY, "job-dismiss"):
        second = b"savevm t" if command == QUERY_PROXY else b"info status"
        if told.err.startswith(b"hmp-repl: there is no connection to QEMU at unix:/"):
            assert told.err.endswith(b"; '" + second + b"' was not sent\n")
        else:
            assert told.err.startswith(b"hmp-repl: the connection to QEMU at unix:/")
            assert told.err.endswith(b"; what became of '" + second + b"' is not known\n")
        return
    assert told.err.startswith(b"hmp-repl: the connection to QEMU at unix:/")
    if not command.startswith(("query-n", "query-commands", "__")):
        assert told.err.endswith(b"; what became of 'savevm t' is not known\n")


@pytest.mark.parametrize("line", ["quit", "qmp quit"])
@pytest.mark.parametrize("when", [When.DONE, When.REPLIED])
def test_loss_that_was_asked_for_is_none(capsysbinary: pytest.CaptureFixture[bytes], line: str, when: When) -> None:
    name = "quit" if line.startswith("qmp") else "human-monitor-command"
    drops = [Drop(name, when, dies=True)]
    # The model has no HMP command of this name; what counts is that the connection ends.
    expected = 1 if (line, when) == ("quit", When.REPLIED) else 0
    assert run(FakeQEMU(faults=Faults(drops=drops)), [line]) == expected
    assert capsysbinary.readouterr().err == b""


class Terminal(io.TextIOWrapper):
    """Standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("command", [b"x\x1b[2J".decode(), "qmp x\x9b"], ids=["hmp", "qmp"])
def test_terminal_does_not_obey_what_qemu_says(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """QEMU repeats what it does not know."""
    shown = io.BytesIO()
    terminal = Terminal(shown, write_through=True)
    monkeypatch.setattr(sys, "stdout", terminal)
    run(FakeQEMU(two_disks()), [command])
    told = shown.getvalue().decode()
    assert r"x\x" in told
    assert told.replace("\n", "").isprintable()


def test_what_is_no_terminal_gets_what_qemu_says(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    run(FakeQEMU(two_disks()), ["x\x1b[2J"])
    assert b"x\x1b[2J" in capsysbinary.readouterr().out


def test_complaint_is_one_line(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    run(FakeQEMU(two_disks()), ["events \x1b[2J\x9b"])
    lines = capsysbinary.readouterr().err.decode().splitlines()
    assert lines
    assert all(line.startswith("hmp-repl: ") and line.isprintable() for line in lines)


@pytest.mark.parametrize("line", ["connect", "connect vm2", "reconnect"])
def test_what_only_a_person_may_change_is_refused(capsysbinary: pytest.CaptureFixture[bytes], line: str) -> None:
    assert run(FakeQEMU(two_disks()), [line, "info status"]) == ExitStatus.COMMAND_FAILED
    assert capsysbinary.readouterr() == (b"", f"hmp-repl: {line}: this is for the prompt, not for a script\n".encode())
