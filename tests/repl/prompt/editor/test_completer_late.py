"""Completion at a prompt whose QEMU answers late: keys are taken meanwhile, and the menu opens when the answer is there."""

from dataclasses import replace

import pytest
from prompt_toolkit.application import get_app

from repl.completion_data import CommandHelp, Named
from repl.prompt.editor import completer as module
from tests.fakes.qemu import FakeQEMU, When, two_disks
from tests.support.raw_client import DEADLINE_S
from tests.support.repl.hanging_files import hanging_files
from tests.support.repl.modelled_sitting import sit
from tests.support.repl.screen import Person

QEMU_IO = CommandHelp(("qemu-io",), '[-d] [device] "[command]"', "run a qemu-io command on a block device")


async def knows_qemu_io(person: Person, qemu: FakeQEMU) -> None:
    """Wait until all is loaded, and make that a command be known which the model's help does not have."""
    console = person.console
    assert console is not None
    await person.until(lambda: console.knowledge.snapshot_count is not None, "the first look")
    await qemu.wait_received("query-qmp-schema")  # asked for last
    console.knowledge.facts = replace(console.knowledge.facts, commands=(QEMU_IO,), nodes=())


def knows_disks(person: Person, *names: str) -> None:
    """Make these be the disks that are known; without names those of the model, as after a look."""
    assert person.console is not None
    knowledge = person.console.knowledge
    knowledge.facts = replace(knowledge.facts, nodes=tuple(Named(name, "") for name in names or ("d0", "d1")))


def offered() -> list[str]:
    state = get_app().current_buffer.complete_state
    return [] if state is None else [one.text for one in state.completions]


async def has_given_up(person: Person) -> None:
    """Wait until the answer is late."""
    assert person.console is not None
    answers, buffer = person.console.knowledge.answers, get_app().current_buffer
    await person.until(lambda: bool(answers.under_way) and buffer.complete_state is None, "completing without the answer")


def test_menu_opens_when_the_answer_is_there() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await knows_qemu_io(person, qemu)
        qemu.hold("query-block", When.RECEIVED)
        person.type("qemu-io ")
        await person.sees_line("qemu-io ")
        await has_given_up(person)
        assert "d1" not in offered()
        knows_disks(person)
        qemu.release()
        await person.until(lambda: "d1" in offered(), "the menu with the answer")

    sit(scene, FakeQEMU(two_disks()))


def test_menu_that_is_open_gets_what_comes_late() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await knows_qemu_io(person, qemu)
        knows_disks(person, "first", "second")
        qemu.hold("query-block", When.RECEIVED)
        person.type("qemu-io ")
        await person.until(lambda: "second" in offered(), "the menu without the answer")
        assert "d1" not in offered()
        knows_disks(person)
        qemu.release()
        await person.until(lambda: "d1" in offered(), "the menu with the answer")

    sit(scene, FakeQEMU(two_disks()))


def test_completion_waits_only_for_its_own_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of files on a disk that hangs is never there."""
    monkeypatch.setattr(module, "_FRESH_LOOK_S", 2 * DEADLINE_S)

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await knows_qemu_io(person, qemu)
        knows_disks(person)
        assert person.console is not None
        with hanging_files(monkeypatch, person.console.knowledge.answers):
            person.type("qemu-io ")
            await person.until(lambda: "d1" in offered(), "the menu")

    sit(scene, FakeQEMU(two_disks()))


def test_answer_that_comes_to_another_line_opens_no_menu() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await knows_qemu_io(person, qemu)
        qemu.hold("query-block", When.RECEIVED)
        person.type("qemu-io ")
        await has_given_up(person)
        person.type("-d /")
        await person.sees_line("qemu-io -d /")
        qemu.release()
        assert person.console is not None
        answers = person.console.knowledge.answers
        await person.until(lambda: not answers.under_way, "the answers")
        await person.sees_line("qemu-io -d /")
        assert "d1" not in offered()

    sit(scene, FakeQEMU(two_disks()))


def test_toolbar_says_what_the_command_takes() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await knows_qemu_io(person, qemu)
        person.type("qemu-io ")
        await person.sees_toolbar('qemu-io [-d] [device] "[command]" -- run a qemu-io')
        await person.gives_up()
        await person.sees_toolbar("policy auto")

    sit(scene, FakeQEMU(two_disks()))
