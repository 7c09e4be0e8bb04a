"""How long commands take, and what is told at their end."""

import re
from typing import Final

import pytest

from repl.errors import LostError
from repl.prompt.reading.readout import Readout
from tests.fakes.qemu import FakeQEMU
from tests.support.repl.printing_qemu import sit_reading
from tests.support.repl.screen import CTRL_C, ENTER, Person

TIME: Final = r"Time: \d+\.\d{3} ms( \([\d.]+ s\))?"


def test_time_is_shown_of_each_command(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert person.console is not None
        assert isinstance(person.console.commands._readout, Readout)
        assert await person.runs(r"\timing") == "timing is on"
        assert re.fullmatch(rf"out\n{TIME}", await person.runs("info x"))
        assert re.fullmatch(rf"\[\]\n{TIME}", await person.runs("qmp query-jobs"))
        assert re.fullmatch(rf"CommandNotFound: .*\n{TIME}", await person.runs("qmp nosuch"))
        assert re.search(rf"\n{TIME}$", await person.runs("plan savevm t"))
        assert re.search(rf"\n{TIME}$", await person.runs("help"))
        assert re.fullmatch(TIME, await person.runs("info x | true"))
        # It has its time anyway, and what asks nobody has none.
        assert "Time: " not in await person.runs("savevm t")
        assert await person.runs("events") == "all events are shown"
        assert await person.runs("timing off") == "timing is off"
        assert await person.runs("info x") == "out"
        assert await person.runs("timing on") == "timing is on"
        assert await person.runs("timing") == "timing is off"

    sit_reading(scene, monkeypatch, printed=lambda line: "out\n")


def test_failure_of_a_command_that_was_left_is_told_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        qemu.hold("human-monitor-command")
        person.type("info x > out" + ENTER)
        await person.sees("(Ctrl-C: do not wait)")
        person.type(CTRL_C)
        await person.sees_prompt()
        qemu.release("human-monitor-command")
        await person.sees_match(r"Error: no\nfailed: info x \(")

    sit_reading(scene, monkeypatch, printed=lambda line: "Error: no\n")


def test_lost_connection_after_a_save_does_not_take_back_that_it_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(executor: object) -> str | None:
        raise LostError("unix:/q", "QEMU closed it")

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert re.match(r"[\d:.]+ STOP\n[\d:.]+ RESUME\ndone: savevm \(", await person.runs("savevm"))

    monkeypatch.setattr("repl.prompt.commands.made_tag", lost)
    sit_reading(scene, monkeypatch)
