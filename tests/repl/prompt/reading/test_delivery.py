"""What a command printed, where it is wanted: on the screen, in a pager, in a shell command, in a file."""

import os
import shlex
import time
from pathlib import Path

import pytest

from repl.outlets.redirection import ToShell
from repl.output.printed import Printed
from repl.prompt.reading.delivery import Delivery
from repl.prompt.terminal import Terminal
from tests.fakes.qemu import FakeQEMU
from tests.support.raw_client import DEADLINE_S
from tests.support.repl.printing_qemu import LONG, sit_reading
from tests.support.repl.screen import CTRL_C, ENTER, Person, pasted

HOSTILE = "\x1b]0;gone\x07a\nb\x9b2J\n"
HARMLESS = "\\x1b]0;gone\\x07a\nb\\x9b2J\n"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def content(path: Path) -> str:
    return path.read_text()


# -- a shell command ------------------------------------------------------------------------------------------------------


def test_shell_command_gets_what_was_printed_and_the_screen_nothing(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert await person.runs(f"info x | head -n 3 | cat > {out}") == ""

    sit_reading(scene, monkeypatch)
    assert content(out) == "line 1\nline 2\nline 3\n"


def test_what_goes_to_a_shell_command_is_harmless_because_its_output_may_be_on_a_terminal(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.runs(f"info x | cat > {out}")

    sit_reading(scene, monkeypatch, printed=lambda line: HOSTILE)
    assert content(out) == HARMLESS


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("true", ""),
        ("exit 3", "'exit 3' ended with status 3"),
        ("kill -KILL $$", "'kill -KILL $$' was ended by SIGKILL"),
        ("kill -INT $$", ""),
        ("exit 130", ""),
    ],
)
def test_shell_command_that_fails_shows_its_status(command: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert await person.runs(f"info x | {command}") == said

    sit_reading(scene, monkeypatch)


@pytest.mark.parametrize(("command", "is_run"), [("true", True), ("false", False), ("kill -INT $$", False)])
def test_paste_ends_where_a_shell_command_fails(command: str, is_run: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type(pasted(f"info x | {command}\nevents off") + ENTER)
        await person.sees("no events are shown" if is_run else "1 more of the pasted lines were not run")
        await person.sees_prompt()

    sit_reading(scene, monkeypatch)


def test_command_that_no_shell_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert person.console is not None
        await person.console.obey("info x | a\0b")
        await person.sees("'a\\x00b' cannot be run: embedded null byte")
        await person.console.obey("pager a\0b")
        await person.console.obey("info x")
        await person.sees("line 100\n'a\\x00b' cannot be run: embedded null byte")

    sit_reading(scene, monkeypatch)


def test_error_is_shown_and_no_output(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert await person.runs(f"info x | cat > {out}") == "unknown command: 'info x'"
        assert await person.runs(f"info x > {out}") == "unknown command: 'info x'"
        assert await person.runs(f"qmp nosuch > {out}") == "CommandNotFound: The command nosuch has not been found"

    sit_reading(scene, monkeypatch, printed=lambda line: f"unknown command: '{line}'\n")
    assert not out.exists()


# -- a file ---------------------------------------------------------------------------------------------------------------


def test_file_has_what_was_printed_as_it_is(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert await person.runs("info x > out") == "2 lines written to out"
        assert await person.runs("info x >> out") == "2 lines appended to out"
        assert content(out) == HOSTILE * 2
        said = await person.runs("qmp query-jobs > out")
        assert said == f"1 line written to out, over the {len((HOSTILE * 2).encode())} bytes that were there"

    sit_reading(scene, monkeypatch, printed=lambda line: HOSTILE)
    assert content(out) == "[]\n"


def test_snapshots_plans_and_help_go_into_files_too(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        for line, begin in (("info snapshots", "TAG "), ("plan savevm t", "plan of: savevm t\n"), ("help", "QEMU's monitor\n")):
            qemu.vm.save_snapshot("t", overwrite=True)
            await person.runs(f"{line} > out")
            assert content(out).startswith(begin)
        assert "\nexit -- leave the prompt" in content(out)

    sit_reading(scene, monkeypatch)


def test_what_cannot_be_written_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        said = await person.runs("info x > /dev/full")
        assert said == "a line\ncannot write /dev/full: No space left on device"

    sit_reading(scene, monkeypatch, printed=lambda line: "a line\n")


def test_disk_that_does_not_answer_is_not_waited_for_for_ever(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that is full is the same to whoever writes."""
    os.mkfifo(out)
    reading_end = os.open(out, os.O_RDONLY | os.O_NONBLOCK)

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type("info x > out" + ENTER)
        await person.sees_match(r"info x > out  .*Ctrl-C: do not wait")
        person.type(CTRL_C)
        await person.sees("no longer waiting for out; it may still be written")
        await person.sees_prompt()
        os.close(reading_end)

    sit_reading(scene, monkeypatch, printed=lambda line: "x" * 200_000)


# -- the pager ------------------------------------------------------------------------------------------------------------


def pager_named(name: str, folder: Path, script: str = "cat > out") -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return shlex.quote(str(path))


def test_what_is_longer_than_the_screen_goes_through_the_pager(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert await person.runs("pager cat > out") == "long output goes through cat > out"
        assert await person.runs("info x") == ""
        assert content(out) == LONG
        os.unlink(out)
        assert await person.runs("pager off") == "output is shown without a pager"
        assert (await person.runs("info x")).endswith("line 99\nline 100")
        assert await person.runs("pager on") == "long output goes through cat > out"
        await person.runs("info x")
        assert content(out) == LONG

    sit_reading(scene, monkeypatch)


@pytest.mark.parametrize(("lines", "is_paged"), [(23, False), (24, True)])
def test_what_fits_is_shown(lines: int, is_paged: bool, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.runs("pager cat > out")
        assert (await person.runs("info x") == "") is is_paged

    sit_reading(scene, monkeypatch, printed=lambda line: "x\n" * lines)
    assert out.exists() is is_paged


def test_less_gets_colours_and_others_do_not(tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LESS", raising=False)

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.runs(f"pager {pager_named('less', tmp_path)}")
        await person.runs("help")
        assert "\x1b[0;1mQEMU's monitor\n" in content(out)
        assert "\x1b[?" not in content(out)
        await person.runs(f"pager {pager_named('most', tmp_path)}")
        await person.runs("help")
        assert content(out).startswith("QEMU's monitor\n")
        assert "\x1b" not in content(out)

    monkeypatch.setattr("repl.prompt.answers.hmp_text", lambda text, is_failure: [("", LONG)])
    sit_reading(scene, monkeypatch)


def test_our_commands_stand_below_a_help_that_was_read_in_the_pager(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.runs("pager cat > out")
        said = await person.runs("help")
        assert said.startswith("At this prompt\n")
        assert "watch [seconds] command -- " in said
        assert content(out).endswith("line 100\n")
        await person.runs("help | cat > out")
        assert "\nAt this prompt\n" in content(out)

    monkeypatch.setattr("repl.prompt.answers.hmp_text", lambda text, is_failure: [("", LONG)])
    sit_reading(scene, monkeypatch)


@pytest.mark.parametrize("script", ["exit 0", "head -n 1 > /dev/null", "exit 1", "kill -INT $$"])
def test_pager_that_is_left_early_is_no_error(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.runs(f"pager {script}")
        assert await person.runs("info x") == ""

    sit_reading(scene, monkeypatch)


def test_what_a_pager_that_is_not_there_would_show_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.runs("pager no-such-pager -S 2> /dev/null")
        said = await person.runs("info x")
        assert "line 99\nline 100\n'no-such-pager -S 2> /dev/null' ended with status 127; 'pager COMMAND' sets" in said

    sit_reading(scene, monkeypatch)


def test_terminal_that_cannot_move_its_cursor_has_no_pager(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type("pager cat > out" + ENTER)
        await person.sees("long output goes through")
        person.type("info x" + ENTER)
        await person.sees("line 100")

    sit_reading(scene, monkeypatch)
    assert not out.exists()


def test_pager_stays_where_the_person_connects_to_another_vm(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the terminal's."""
    monkeypatch.setenv("HMPSHIM_PAGER", "less -S")
    assert str(Terminal().pager) == "long output goes through less -S"


# -- meanwhile ------------------------------------------------------------------------------------------------------------


def test_events_wait_while_the_pager_has_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.runs("pager touch begun; until [ -e end ]; do sleep 0.02; done")
        person.type("info x" + ENTER)
        await person.until((tmp_path / "begun").exists, "the pager")
        for number in range(3):
            await qemu.send_event("WATCHDOG", {"action": str(number)})
        await qemu.stop("paused")
        await person.until(lambda: person.console is not None and person.console.knowledge.run_state == "paused", "the event")
        assert "WATCHDOG" not in person.screen.text
        (tmp_path / "end").touch()
        await person.sees_match(r'WATCHDOG {"action": "0"}\n.*WATCHDOG {"action": "1"}\n.*WATCHDOG {"action": "2"}\n.* STOP\n')
        await person.sees_prompt()

    sit_reading(scene, monkeypatch)


def test_command_that_was_left_does_not_take_the_terminal(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pager is left out, its shell command runs behind the prompt, its file is written."""

    async def leaves(person: Person, qemu: FakeQEMU, line: str) -> None:
        qemu.hold("human-monitor-command")
        person.type(line + ENTER)
        await person.sees_match(r"info x.*Ctrl-C: do not wait")
        person.type(CTRL_C)
        await person.sees(f"{line} goes on in QEMU")
        await person.sees_prompt()
        person.type("typing")
        await person.sees_line("typing")
        qemu.release("human-monitor-command")

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.runs("pager touch paged")
        outcomes = (
            ("info x", "line 100\ndone: info x ("),
            ("info x | head -n 1; exit 3", "line 1\n'head -n 1; exit 3' ended with status 3\ndone: info x ("),
            ("info x | printf '\\033[2J'", "\\x1b[2J\ndone: info x ("),
            ("info x > out", "100 lines written to out\ndone: info x ("),
            ("info x > none/out", "line 100\ncannot write none/out: No such file or directory\ndone: info x ("),
        )
        for ends, (line, said) in enumerate(outcomes, 1):
            await leaves(person, qemu, line)
            await person.sees("done: info x (", times=ends)
            await person.sees(said)
            await person.sees_line("typing")
            await person.gives_up()
        assert person.console is not None
        assert content(out) == LONG
        assert not out.with_name("paged").exists()

    sit_reading(scene, monkeypatch)


def test_command_that_was_left_tells_what_no_shell_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert person.console is not None
        delivery: Delivery = person.console.commands._readout.delivery
        told, is_well = await delivery.behind(Printed.of([("", "a")]), ToShell("a\0b"))
        assert told == [("class:error", "'a\\x00b' cannot be run: embedded null byte\n")]
        assert not is_well

    sit_reading(scene, monkeypatch)


def test_loop_goes_on_while_a_shell_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type("info x | touch begun; until [ -e end ]; do sleep 0.02; done" + ENTER)
        await person.until((tmp_path / "begun").exists, "the command")
        before = len(qemu.commands)
        await qemu.stop("paused")
        deadline = time.monotonic() + DEADLINE_S
        await person.until(lambda: len(qemu.commands) > before or time.monotonic() > deadline, "a look at the VM")
        (tmp_path / "end").touch()
        await person.sees_prompt()

    sit_reading(scene, monkeypatch)
