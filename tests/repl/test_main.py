"""`hmp-repl` from its command line to its exit status, in this process. The integration tests start the program."""

import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Final, TextIO, cast

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output

from repl import __main__ as program
from repl.command_line import Invocation
from repl.errors import ExitStatus
from repl.finding import looking
from repl.finding.looking import Places
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.process_folder import add_process, write_sockets
from tests.support.repl.screen import CTRL_D, Screen
from tests.support.standard_input import standard_input

Run = Callable[..., int]

UNKNOWN: Final = b"unknown command: 'info status'\n"


@pytest.fixture
def qemu() -> FakeQEMU:
    return FakeQEMU(two_disks())


async def nothing() -> None:
    """Nothing happens meanwhile."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, qemu: FakeQEMU) -> Run:
    """Return the program as a function of its arguments, with QEMU in its loop, and what happens meanwhile."""
    begin = program._run

    def call(*arguments: str, meanwhile: Callable[[], Coroutine[None, None, None]] = nothing) -> int:
        async def beside(invocation: Invocation) -> int:
            async with qemu:
                task = asyncio.create_task(meanwhile())
                try:
                    return await begin(invocation)
                finally:
                    task.cancel()

        monkeypatch.setattr(program, "_run", beside)
        monkeypatch.setattr(sys, "argv", ["hmp-repl", *arguments])
        return program.main()

    return call


def test_commands_are_run(run: Run, qemu: FakeQEMU, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(qemu.path, "-c", "savevm t", "-c", "info status") == ExitStatus.COMMAND_FAILED
    assert capsysbinary.readouterr() == (UNKNOWN, b"")
    assert qemu.vm.graph["d0"].count("t") == 1


def test_standard_input_is_run_without_a_terminal(run: Run, qemu: FakeQEMU, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    with standard_input(b"info status\n"):
        assert run(qemu.path) == ExitStatus.COMMAND_FAILED
    assert capsysbinary.readouterr() == (UNKNOWN, b"")


def at_terminal(monkeypatch: pytest.MonkeyPatch) -> Screen:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(sys, "stdout", Terminal())
    return Screen(columns=120)


def test_prompt_is_there_at_a_terminal(run: Run, qemu: FakeQEMU, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    screen = at_terminal(monkeypatch)
    output = Vt100_Output(cast(TextIO, screen), lambda: screen.size, term="xterm-256color")
    with create_pipe_input() as keys, create_app_session(input=keys, output=output):
        screen.answer_with(keys.send_text)
        keys.send_text(CTRL_D)
        assert run(qemu.path, "--history", str(tmp_path / "history")) == ExitStatus.OK
    assert "hmp>" in screen.lines


@pytest.mark.parametrize("is_named", [True, False])
def test_settings_hold_at_a_terminal_and_mistakes_do_not_end_it(
    run: Run, qemu: FakeQEMU, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_named: bool
) -> None:
    path = tmp_path / "hmpshim" / "repl.toml"
    path.parent.mkdir()
    path.write_text('editing = "nano"\nask = "load"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    screen = at_terminal(monkeypatch)
    output = Vt100_Output(cast(TextIO, screen), lambda: screen.size, term="xterm-256color")
    with create_pipe_input() as keys, create_app_session(input=keys, output=output):
        screen.answer_with(keys.send_text)
        keys.send_text(CTRL_D)
        assert run(qemu.path, "--history", "", *(["--settings", str(path)] if is_named else [])) == ExitStatus.OK
    assert "repl.toml:1: editing: write one of 'emacs', 'vi'" in screen.text.replace("\n", "")


@pytest.mark.parametrize(
    ("options", "is_told"), [(["--settings", "/none/repl.toml"], True), (["--settings", ""], False), ([], False)]
)
def test_settings_that_are_not_there_are_missed_only_where_they_were_asked_for(
    run: Run, qemu: FakeQEMU, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: list[str], is_told: bool
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    screen = at_terminal(monkeypatch)
    output = Vt100_Output(cast(TextIO, screen), lambda: screen.size, term="xterm-256color")
    with create_pipe_input() as keys, create_app_session(input=keys, output=output):
        screen.answer_with(keys.send_text)
        keys.send_text(CTRL_D)
        assert run(qemu.path, "--history", "", *options) == ExitStatus.OK
    assert ("/none/repl.toml: No such file or directory" in screen.text) is is_told


def test_script_reads_no_settings(run: Run, qemu: FakeQEMU, capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    path = tmp_path / "repl.toml"
    path.write_text('[aliases]\ns = "savevm"\n')
    assert run(qemu.path, "--settings", str(path), "-c", "s t") == ExitStatus.COMMAND_FAILED
    assert capsysbinary.readouterr() == (b"unknown command: 's'\n", b"")


def test_vm_is_found_and_told_where_none_is_named(
    run: Run, qemu: FakeQEMU, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    add_process(tmp_path / "proc", 7, "kvm", "-name", "guest", "-qmp", f"unix:{qemu.path},server=on")
    write_sockets(tmp_path / "proc", {qemu.path: False})
    Path(qemu.path).touch()
    monkeypatch.setattr(looking, "Places", lambda: Places([], [], tmp_path / "proc"))
    screen = at_terminal(monkeypatch)
    output = Vt100_Output(cast(TextIO, screen), lambda: screen.size, term="xterm-256color")
    with create_pipe_input() as keys, create_app_session(input=keys, output=output):
        screen.answer_with(keys.send_text)
        keys.send_text(CTRL_D)
        assert run("--history", "") == ExitStatus.OK
    assert screen.text.startswith(f"the only VM here is guest: QEMU's socket unix:{qemu.path}, free")
    assert "hmp>" in screen.text


def test_only_a_cancelled_task_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        program._report(loop, {"message": "parting", "exception": asyncio.CancelledError()})
        assert caplog.text == ""
        program._report(loop, {"message": "broken", "exception": ValueError("why")})
        program._report(loop, {"message": "odd"})

    asyncio.run(main())
    assert "parting" not in caplog.text
    assert "broken" in caplog.text
    assert "odd" in caplog.text


def test_record_says_who_asked(run: Run, qemu: FakeQEMU, tmp_path: Path) -> None:
    assert run(qemu.path, "--audit", str(tmp_path / "audit"), "-c", "savevm t") == ExitStatus.OK
    record = json.loads((tmp_path / "audit").read_bytes())
    assert (record["command_line"], record["client"]["pid"]) == ("savevm t", os.getpid())
    assert record["client"]["uid"] == os.getuid()


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["/none/qmp", "-c", "help"], ExitStatus.NO_CONNECTION, "cannot connect to QEMU at unix:/none/qmp: "),
        (["--config", "/none/file"], ExitStatus.WRONG_USE, "/none/file: "),
        (
            ["/none/qmp", "--audit", "/none/audit", "-c", "help"],
            ExitStatus.WRONG_USE,
            "cannot write the audit log /none/audit: ",
        ),
    ],
)
def test_mistake_is_told_in_one_line(
    run: Run, capsys: pytest.CaptureFixture[str], arguments: list[str], status: ExitStatus, told: str
) -> None:
    assert run(*arguments) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"hmp-repl: {told}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_it_in_order(run: Run, qemu: FakeQEMU, number: signal.Signals, tmp_path: Path) -> None:
    """What had begun is on record."""

    async def meanwhile() -> None:
        await qemu.reached("snapshot-save")
        os.kill(os.getpid(), number)

    qemu.hold("snapshot-save")
    audit = tmp_path / "audit"
    assert run(qemu.path, "--audit", str(audit), "-c", "savevm t", meanwhile=meanwhile) == ExitStatus.TERMINATED
    assert json.loads(audit.read_bytes())["reply"] is None


def test_ctrl_c_has_its_status(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "parse_command_line", interrupted)
    assert run() == ExitStatus.INTERRUPTED
    assert capsys.readouterr() == ("", "")


def test_nobody_reads_the_output(run: Run, qemu: FakeQEMU, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        assert run(qemu.path, "-c", "info status") == ExitStatus.COMMAND_FAILED
        # What comes after it goes nowhere.
        output.write("more")
