"""A script's run on a modelled QEMU: its exit status, also where the connection ends, and what is printed where.

tests/integration/scripts/test_scripts.py runs the program itself, on a real QEMU.
"""

import asyncio
import io
import json
import re
import sys
from collections.abc import Sequence
from typing import Any, Final, cast

import pytest

from host.net.addresses import UnixAddress
from repl.command_line import Invocation
from repl.errors import ExitStatus, LinkError, LostError
from repl.script import Script
from shim.client import Client
from shim.decisions.own_commands import QUERY_PROXY
from shim.graph.policy import Policy
from tests.fakes.commands import COMMANDS, Command
from tests.fakes.qemu import Drop, FakeQEMU, Faults, When, two_disks
from tests.support.proxy.running_vm_proxy import RunningServer
from tests.support.raw_client import DEADLINE_S
from tests.support.repl.qemu_facts import SCHEMA

ASKER: Final = Client(pid=11, uid=22)
NO_SNAPSHOT: Final = "Error: Snapshot 't' does not exist in one or more devices\n"
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
        (["info status", "savevm t"], 1, UNKNOWN),
        *(([word, "info status"], 0, b"") for word in ("exit", r"\q", ":q", ".exit", " .quit ")),
        (["# quit", "#", "clear", "qmp query-jobs"], 0, b"[]\n"),
        ([r"\?"], 1, b"unknown command: 'help'\n"),
        ([".help savevm"], 1, b"unknown command: 'help'\n"),
        (["help savevm"], 1, b"unknown command: 'help'\n"),
        ([""], 0, b""),
        (["qmp query-jobs"], 0, b"[]\n"),
        (["qmp nosuch"], 1, b"CommandNotFound: The command nosuch has not been found\n"),
        (["qmp stop", "qmp query-status"], 0, None),
        (['{"execute": "query-jobs"}'], 0, b"[]\n"),
        ([" {'execute':\n'query-jobs'} "], 0, b"[]\n"),
        (['{"execute": "quit"}'], 0, b"{}\n"),
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


@pytest.mark.parametrize("line", ["help qmp stop", "? qmp stop", r"\? qmp stop"])
def test_qmp_command_is_explained(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], line: str
) -> None:
    monkeypatch.setitem(cast(dict[str, Command], COMMANDS), "query-qmp-schema", Command(lambda vm, arguments: SCHEMA))
    assert run(FakeQEMU(), [line]) == ExitStatus.OK
    assert capsysbinary.readouterr() == (b"stop\ntakes no arguments\nreturns nothing\n", b"")
    assert run(FakeQEMU(), ["help qmp stpo"]) == ExitStatus.COMMAND_FAILED
    assert capsysbinary.readouterr() == (b"", b"hmp-repl: unknown QMP command 'stpo'; did you mean 'stop'?\n")


@pytest.mark.parametrize("line", ["exit now", r"\q now", "clear all"])
def test_more_than_the_word_is_a_fault(capsysbinary: pytest.CaptureFixture[bytes], line: str) -> None:
    assert run(FakeQEMU(), [line]) == ExitStatus.COMMAND_FAILED
    assert b"extraneous characters" in capsysbinary.readouterr().err


@pytest.mark.parametrize(
    ("commands", "status", "out", "err"),
    [
        (["loadvm t", "savevm t"], 1, NO_SNAPSHOT, "no disk has 't'; there is no snapshot"),
        (["savevm t1", "loadvm t"], 1, NO_SNAPSHOT, "no disk has 't'; did you mean 't1'? 'info snapshots' lists all"),
        # As in HMP, it is no failure.
        (["savevm t1", "delvm t"], 0, "", "no disk has 't'; did you mean 't1'? 'info snapshots' lists all"),
    ],
)
def test_missing_tag_is_told_beside_hmps_text_at_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, commands: list[str], status: int, out: str, err: str
) -> None:
    assert run(FakeQEMU(two_disks()), commands) == status
    assert capsys.readouterr() == (out, "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run(FakeQEMU(two_disks()), commands) == status
    assert capsys.readouterr() == (out, f"hmp-repl: {err}\n")
    assert run(FakeQEMU(two_disks()), commands, hmp_errors=True) == status
    assert capsys.readouterr() == (out, "")


@pytest.mark.parametrize("error", [LostError("unix:/q", "QEMU closed it"), LinkError("unix:/q", "no plan")], ids=repr)
def test_look_after_a_command_does_not_take_its_answer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: LinkError
) -> None:
    """Nor does it end the script: whether there is a connection shows with the next command."""

    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("repl.script.afterwards", fail)
    assert run(FakeQEMU(), ["nosuch", "qmp query-jobs"], keeps_going=True) == ExitStatus.COMMAND_FAILED
    assert capsys.readouterr() == ("unknown command: 'nosuch'\n[]\n", "")


def test_loss_in_the_look_before_a_command_tells_that_it_was_not_sent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    drops = [Drop("query-block", When.RECEIVED, dies=True)]
    assert run(FakeQEMU(two_disks(), faults=Faults(drops=drops)), ["loadvm t"]) == ExitStatus.NO_CONNECTION
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.endswith("; 'loadvm t' was not sent\n")


def test_loss_in_the_look_after_a_command_ends_the_script_with_the_next(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    qemu = FakeQEMU(two_disks(), faults=Faults(drops=[Drop("query-status", When.RECEIVED, dies=True)]))
    qemu.vm.save_snapshot("t", overwrite=True)
    qemu.vm.faults.failures["snapshot-load"] = "Error -22 while loading VM state"
    assert run(qemu, ["loadvm t", "info status"], keeps_going=True) == ExitStatus.NO_CONNECTION
    told = capsys.readouterr()
    assert told.out == "Error: Error -22 while loading VM state\n"
    assert re.fullmatch(r"hmp-repl: there is no connection .*; 'info status' was not sent\n", told.err)


@pytest.mark.parametrize("hmp_errors", [False, True])
def test_savevm_without_a_tag_names_it(capsys: pytest.CaptureFixture[str], hmp_errors: bool) -> None:
    assert run(FakeQEMU(two_disks()), ["savevm"], as_json=True, hmp_errors=hmp_errors) == ExitStatus.OK
    told = capsys.readouterr()
    tag = json.loads(told.out)["tag"]
    assert re.fullmatch(r"vm-\d{14}", tag)
    assert told.err == f"hmp-repl: saved as {tag}\n"


@pytest.mark.parametrize(("hmp_errors", "run_state"), [(False, "running"), (True, "restore-vm")])
def test_proxy_gets_a_load_that_will_fail_only_where_that_is_wanted(
    capsys: pytest.CaptureFixture[str], hmp_errors: bool, run_state: str
) -> None:
    async def scene() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningServer(f"unix:{qemu.path}") as proxy, asyncio.timeout(DEADLINE_S):
            invocation = Invocation(UnixAddress(proxy.path), Policy(), commands=("loadvm t",), hmp_errors=hmp_errors)
            assert await Script(invocation, ASKER, None).run() == ExitStatus.COMMAND_FAILED
            assert qemu.vm.run_state == run_state

    asyncio.run(scene())
    assert capsys.readouterr().out == NO_SNAPSHOT


@pytest.mark.parametrize("line", ["connect", "connect vm2", "reconnect", "watch 2 info status", r"\timing", "pager off"])
def test_what_only_a_person_may_change_is_refused(capsysbinary: pytest.CaptureFixture[bytes], line: str) -> None:
    assert run(FakeQEMU(two_disks()), [line, "info status"]) == ExitStatus.COMMAND_FAILED
    assert capsysbinary.readouterr() == (b"", f"hmp-repl: {line}: this works at the prompt only, not in a script\n".encode())


@pytest.mark.parametrize("line", ["info status | cat", "info status > /nowhere/x"])
def test_pipe_of_a_line_is_qemus_as_ever_and_a_person_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    assert run(FakeQEMU(), [line]) == ExitStatus.COMMAND_FAILED
    assert capsys.readouterr() == ("unknown command: 'info status'\n", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run(FakeQEMU(), [line]) == ExitStatus.COMMAND_FAILED
    told = "'|' and '>' work at the prompt only, and went to QEMU; in a script, use those of the shell around it"
    assert capsys.readouterr() == ("unknown command: 'info status'\n", f"hmp-repl: {told}\n")
    assert run(FakeQEMU(), ["info status"]) == ExitStatus.COMMAND_FAILED
    assert capsys.readouterr().err == ""
