"""`watch`, at a modelled QEMU. tests/integration/prompt/test_reading_in_pty.py has a real one."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from repl.prompt.reading import repeating
from tests.fakes.qemu import Drop, FakeQEMU, When
from tests.support.repl.printing_qemu import LONG, sit_reading
from tests.support.repl.screen import CTRL_C, ENTER, Person, pasted

# Of 24 rows; the last of them says how much there is more.
SHOWN: Final = 24 - repeating._OTHER_ROWS - 1


def counting(text: str = "look {}\n") -> Callable[[str], str]:
    """Return what prints another number each time."""
    count = 0

    def printed(line: str) -> str:
        nonlocal count
        count += 1
        return text.format(count)

    return printed


def test_looks_are_redrawn_in_their_place_and_the_last_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type("watch 0.1 info x" + ENTER)
        await person.sees_match(r"every 0.1 s: info x  \d\d:\d\d:\d\d\nlook [5-9]\n")
        assert person.screen.text.count("every 0.1 s") == 1
        await person.sees_toolbar("running")
        person.type(CTRL_C)
        await person.sees_prompt()
        assert re.search(r"hmp> watch 0.1 info x\nevery 0.1 s: info x  [\d:]+\nlook \d+\nhmp>", person.screen.text)
        assert "goes on in QEMU" not in person.screen.text

    sit_reading(scene, monkeypatch, printed=counting())


def test_what_is_typed_and_what_comes_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type("watch 0.1 info x" + ENTER)
        await person.sees("look 2")
        await qemu.stop("paused")
        await person.sees_match(r" STOP\nevery 0.1 s: ")
        person.type("events")
        person.type(CTRL_C)
        await person.sees_line("events")

    sit_reading(scene, monkeypatch, printed=counting())


def test_plans_qmp_and_errors_are_watched_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        for line, seen in (
            ("qmp query-status", '"status": "running"'),
            ("plan savevm t", "plan of: savevm t"),
            ("qmp query-nosuch", "CommandNotFound: The command query-nosuch has not been found"),
            ("info x", "unknown command: 'info x'"),
        ):
            person.type(f"watch 0.2 {line}" + ENTER)
            await person.sees_match(rf"every 0.2 s: {re.escape(line)}  [\d:]+\n")
            await person.sees(seen)
            await person.gives_up()

    sit_reading(scene, monkeypatch, printed=lambda line: f"unknown command: '{line}'\n")


def test_shell_command_and_file_are_for_each_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type("watch 0.1 info x | tr a-z A-Z" + ENTER)
        await person.sees_match(r"every 0.1 s: info x \| tr a-z A-Z  [\d:]+\nLOOK [3-9]\n")
        await person.gives_up()
        person.type(f"watch 0.1 info x >> {out}" + ENTER)
        await person.until(lambda: out.exists() and out.read_text().count("\n") >= 3, "three looks in the file")
        await person.sees(f"1 line appended to {out}")
        await person.gives_up()
        person.type("watch 0.1 info x > /none/out" + ENTER)
        await person.sees_match(r"look \d+\ncannot write /none/out: No such file or directory")
        await person.gives_up()

    sit_reading(scene, monkeypatch, printed=counting())
    assert re.fullmatch(r"(look \d+\n)+", out.read_text())


def test_shell_command_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type("watch 0.1 info x | sleep 1000" + ENTER)
        await person.sees_match(r"info x \| sleep 1000  .*Ctrl-C: do not wait")
        person.type(CTRL_C)
        await person.sees("not done")
        await person.sees_prompt()

    sit_reading(scene, monkeypatch)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (LONG, rf"line {SHOWN}\n\({100 - SHOWN} more of 100 lines do not fit here\)\n"),
        ("x" * 30_000, r"every [^\n]+\n\(1 more of 1 lines do not fit here\)\n"),
    ],
)
def test_what_has_no_room_is_counted(text: str, rest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type("watch 0.1 info x" + ENTER)
        await person.sees_match(rest)
        await person.sees_toolbar("running")
        await person.gives_up()
        await person.sees_match(rest + "hmp>")

    sit_reading(scene, monkeypatch, printed=lambda line: text)


def test_lost_connection_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type(pasted("watch 0.1 info x\nevents off") + ENTER)
        await person.sees("look 2")
        count = qemu.commands.count("human-monitor-command")
        qemu.faults.drops = [Drop("human-monitor-command", When.RECEIVED, nth=count + number) for number in (1, 2, 3)]
        await person.sees("'reconnect' tries again")
        await person.sees("1 more of the pasted lines were not run")
        await person.sees_prompt()

    sit_reading(scene, monkeypatch, printed=counting())


def test_paste_goes_on_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type(pasted("watch 0.1 info x\nevents off") + ENTER)
        await person.sees("look 2")
        person.type(CTRL_C)
        await person.sees("no events are shown")
        await person.sees_prompt()

    sit_reading(scene, monkeypatch, printed=counting())


@pytest.mark.parametrize("line", ["watch 1 savevm t", "watch quit", "watch qmp stop", "watch 1 watch 1 info x"])
def test_what_changes_the_vm_is_refused(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        before = len(qemu.commands)
        assert "^ watch repeats only what shows the VM" in await person.runs(line)
        assert not {"human-monitor-command", "stop", "snapshot-save"} & set(qemu.commands[before:])

    sit_reading(scene, monkeypatch)


def test_colours_within_a_line_stay_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type("watch 0.1 qmp query-named-block-nodes" + ENTER)
        await person.sees_match(r'\n\[\n  \{\n    "[^\n]+\n(.*\n)+\(\d+ more of \d+ lines do not fit here\)\n')
        await person.gives_up()

    sit_reading(scene, monkeypatch)
