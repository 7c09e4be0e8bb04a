"""What a person can do while QEMU stands still, and what is told when the connection ends: on a real QEMU, as seen.

A save on a slow disk takes seconds (tests.integration.prompt.sitting), and a process stopped by SIGSTOP answers nothing at all.
"""

import re
from collections.abc import Iterator
from typing import Final

import pytest

from shim.plans.jobs import REPL_JOB_PREFIX
from tests.integration.machines import Machine
from tests.integration.prompt.sitting import brake, freeze, sit, slow_machine, thaw, two_disks
from tests.support.repl.screen import CTRL_C, CTRL_D, ENTER, TAB, Person

pytestmark = pytest.mark.needs_snapshot_jobs

STANDS_STILL: Final = r"savevm new  (\d+ ms|[\d.]+ s)  save-vm  the VM stands still for (\d+ ms|[\d.]+ s)  \(Ctrl-C: do not"
LEFT: Final = "savevm new goes on in QEMU; its end will be reported here"
DONE: Final = r"done: savevm new \([\d.]+ m?s; the VM stood still for [\d.]+ m?s\)"


@pytest.fixture
def slow() -> Iterator[Machine]:
    with slow_machine() as running:
        yield running


@pytest.fixture
def vm() -> Iterator[Machine]:
    with two_disks() as running:
        yield running


async def begins_to_save(person: Person, slow: Machine) -> None:
    brake(slow)
    person.type("savevm new" + ENTER)
    await person.sees_match(STANDS_STILL)


# -- while QEMU stands still ----------------------------------------------------------------------------------------------


def test_progress_tells_elapsed_time_and_the_pause(slow: Machine) -> None:
    async def scene(person: Person) -> None:
        await begins_to_save(person, slow)
        first = await person.sees_match(STANDS_STILL)
        await person.until(lambda: first[0] not in person.screen.text, "time that goes on")
        await person.sees_toolbar("save-vm")
        await person.sees_match(DONE)
        await person.sees_prompt()
        assert "Ctrl-C" not in person.screen.text
        await person.sees_toolbar("2 snapshots")
        await person.sees_toolbar("running")

    sit(slow, scene, columns=120)


def test_ctrl_c_gives_the_prompt_back_and_the_end_is_told_above_the_line(slow: Machine) -> None:
    """Typing and completing go on with what is known, although QEMU answers nothing."""

    async def scene(person: Person) -> None:
        await begins_to_save(person, slow)
        freeze(slow)
        person.type(CTRL_C)
        await person.sees(LEFT)
        await person.sees_prompt()
        person.type("info st")
        await person.sees_line("info st")
        person.type("atus")
        await person.sees_line("info status")
        await person.gives_up()
        for keys in ("delvm o" + TAB, "delvm ol"):
            person.type(keys)
            await person.until(lambda: "disk" not in person.screen.last_line, "the menu")
            await person.sees_match(r"delvm ol?d?\n? ")
            if keys.endswith(TAB):
                await person.sees_line("delvm old")
                await person.gives_up()
        thaw(slow)
        await person.sees_match(DONE)
        await person.sees_line("delvm ol")
        assert re.search(DONE + r"\nhmp> delvm ol", person.screen.text)
        assert slow.observer.returned("query-jobs") == []

    sit(slow, scene, columns=120)


def test_command_behind_one_that_was_left_waits_for_it(slow: Machine) -> None:
    async def scene(person: Person) -> None:
        await begins_to_save(person, slow)
        freeze(slow)
        person.type(CTRL_C)
        await person.sees_prompt()
        person.type("info name" + ENTER)
        await person.sees_match(r"info name  .*  behind savevm new  save-vm")
        person.type(CTRL_C)
        await person.sees("info name goes on in QEMU; its end will be reported here")
        await person.sees_prompt()
        thaw(slow)
        await person.sees_match(DONE)
        await person.sees("\nslow\n")
        await person.sees_match(r"done: info name \(")

    sit(slow, scene, columns=120)


def test_look_before_a_question_is_given_up_by_ctrl_c(vm: Machine) -> None:
    assert vm.observer.hmp("savevm t1") == ""

    async def scene(person: Person) -> None:
        await person.sees_toolbar("1 snapshot")
        freeze(vm)
        person.type("delvm t1" + ENTER)
        await person.sees_match(r"delvm t1  (\d+ ms|[\d.]+ s)")
        person.type(CTRL_C)
        await person.sees("not done")
        await person.sees_prompt()
        thaw(vm)
        assert await person.runs("info name") == "vm1"
        assert vm.tags("d0.qcow2") == ["t1"]

    sit(vm, scene)


def test_what_is_typed_during_a_command_is_the_next_line(slow: Machine) -> None:
    async def scene(person: Person) -> None:
        await begins_to_save(person, slow)
        person.type("info name" + ENTER + "info ver")
        await person.sees_match(DONE)
        await person.sees("hmp> info name\nslow\n")
        await person.sees_line("info ver")

    sit(slow, scene, columns=120)


def test_leaving_waits_for_the_end_of_what_was_left(slow: Machine) -> None:
    """A job that nobody dismisses would stay in QEMU."""

    async def scene(person: Person) -> None:
        await begins_to_save(person, slow)
        person.type(CTRL_C)
        await person.sees_prompt()
        person.type(CTRL_D)
        await person.sees("leaving when savevm new is done")
        assert person.is_there
        await person.until_gone()
        assert re.search(DONE, person.screen.text)

    sit(slow, scene, columns=120)
    assert slow.observer.returned("query-jobs") == []
    assert slow.tags("d0.qcow2") == ["old", "new"]


def test_leaving_does_not_wait_when_it_is_told_not_to(slow: Machine) -> None:
    """The job is left in QEMU, and the next prompt tidies it up."""

    async def scene(person: Person) -> None:
        await begins_to_save(person, slow)
        freeze(slow)
        person.type(CTRL_C)
        await person.sees_prompt()
        person.type(CTRL_D)
        await person.sees("leaving when savevm new is done")
        await person.sees_match(r"savevm new  .*Ctrl-C: do not wait")
        person.type(CTRL_C)
        await person.sees("left; savevm new goes on in QEMU")
        await person.until_gone()

    async def later(person: Person) -> None:
        await person.sees_match(rf"job '{REPL_JOB_PREFIX}\S+' of an earlier connection ended: success")
        assert slow.observer.returned("query-jobs") == []

    sit(slow, scene, columns=120)
    thaw(slow)
    sit(slow, later, columns=120)
    assert slow.tags("d0.qcow2") == ["old", "new"]


# -- when the connection ends ---------------------------------------------------------------------------------------------


def test_lost_connection_is_told_at_once_and_the_line_is_kept(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        person.type("info sta")
        await person.sees_line("info sta")
        vm.vm.kill()
        await person.sees_match(r"is lost: (QEMU closed it|Connection reset by peer|Broken pipe); 'reconnect' connects again")
        await person.sees_line("info sta")
        await person.sees_toolbar("not connected")
        person.type("tus" + ENTER)
        await person.sees("it has ended; 'reconnect' connects again")
        await person.sees_prompt()
        person.type("info na" + TAB)
        await person.sees_line("info name")

    sit(vm, scene, columns=140)


def test_reconnect(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        assert await person.runs("reconnect") == "the connection is there"
        vm.vm.kill()
        await person.sees("'reconnect' connects again")
        assert "cannot connect to QEMU at unix:" in await person.runs("reconnect")
        vm.vm.start()
        said = await person.runs("reconnect")
        assert re.fullmatch(r"connected to QEMU \d+\.\d+\.\d+, VM vm1", said)
        assert await person.runs("info status") == "VM status: running"
        assert "done: savevm t1" in await person.runs("savevm t1")
        await person.sees_toolbar("1 snapshot")

    sit(vm, scene, columns=140)


def test_reconnecting_is_given_up_by_ctrl_c(vm: Machine) -> None:
    """A QEMU that stands still does not greet."""

    async def scene(person: Person) -> None:
        vm.vm.kill()
        await person.sees("'reconnect' connects again")
        vm.vm.start()
        freeze(vm)
        person.type("reconnect" + ENTER)
        await person.sees_match(r"reconnect  (\d+ ms|[\d.]+ s)")
        person.type(CTRL_C)
        await person.sees("not done")
        await person.sees_prompt()
        await person.sees_toolbar("not connected")
        thaw(vm)
        assert re.fullmatch(r"connected to QEMU \S+, VM vm1", await person.runs("reconnect"))

    sit(vm, scene, columns=140)


def test_connection_comes_back_by_itself_where_that_is_wanted(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        for number in (1, 2):
            person.type("info sta")
            await person.sees_line("info sta")
            vm.vm.kill()
            await person.sees("connecting again as soon as it is back", times=number)
            vm.vm.start()
            await person.sees("connected to QEMU", times=number)
            await person.sees_line("info sta")
            person.type("tus" + ENTER)
            await person.sees("VM status: running", times=number)
            await person.sees_prompt()

    sit(vm, scene, columns=140, reconnects=True)


def test_outcome_of_a_command_that_lost_its_connection_is_not_known(slow: Machine) -> None:
    async def scene(person: Person) -> None:
        await begins_to_save(person, slow)
        slow.vm.kill()
        await person.sees("what became of 'savevm new' is not known")
        await person.sees("'reconnect' connects again")
        await person.sees_prompt()
        await person.sees_toolbar("not connected")

    sit(slow, scene, columns=140)


def test_leaving_without_a_connection(slow: Machine) -> None:
    async def scene(person: Person) -> None:
        await begins_to_save(person, slow)
        freeze(slow)
        person.type(CTRL_C)
        await person.sees_prompt()
        slow.vm.kill()
        await person.sees("what became of 'savevm new' is not known")
        person.type(CTRL_D)
        await person.until_gone()

    sit(slow, scene, columns=140)


def test_hang_up_does_not_take_a_question_for_answered(vm: Machine) -> None:
    assert vm.observer.hmp("savevm t1") == ""

    async def scene(person: Person) -> None:
        person.type("delvm t1" + ENTER)
        await person.sees("Delete it? [y/N]")
        vm.vm.kill()
        await person.sees("'reconnect' connects again")
        person.type("y")
        await person.sees("it has ended; 'reconnect' connects again")
        await person.sees_prompt()

    sit(vm, scene, columns=140)
