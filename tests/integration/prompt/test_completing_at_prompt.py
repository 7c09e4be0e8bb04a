"""Completion as it is seen at a real QEMU, and at one that stands still."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from repl.completing.questions import Kind, Question
from tests.integration.command_lines import BIOS, disk
from tests.integration.machines import Machine, machine
from tests.integration.prompt.sitting import sit
from tests.support.repl.screen import ENTER, TAB, Person

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]


@pytest.fixture(scope="module")
def vm() -> Iterator[Machine]:
    args = f"{BIOS} {disk('d0')} -object iothread,id=io1 -chardev ringbuf,id=rb"
    with machine(args, {"d0.qcow2": ""}) as running:
        yield running


@contextmanager
def standing_still(vm: Machine) -> Iterator[None]:
    assert vm.vm.process is not None
    os.kill(vm.vm.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(vm.vm.process.pid, signal.SIGCONT)


def test_typing_never_waits_for_qemu(vm: Machine) -> None:
    """Whatever is typed asks QEMU something, which stands still until all of it has been seen."""

    async def scene(person: Person) -> None:
        await person.knows_all()
        assert person.console is not None
        answers = person.console.knowledge.answers
        with standing_still(vm):
            for line in (
                "chardev-remove r",
                "qom-get /machine/x/y",
                "trace-event b",
                "device_add virtio-blk-pci,iothread=i",
                "set_link x",
            ):
                for length in range(1, len(line) + 1):
                    person.type(line[length - 1])
                    await person.sees_line(line[:length])
                person.type(TAB)
                assert len(answers.under_way) <= 4
                await person.gives_up()
            person.type("chardev-remove ")
            await person.sees_line("chardev-remove ")
        await person.until(lambda: not answers.under_way, "QEMU's answers")
        await person.gives_up()
        person.type("chardev-remove ")
        await person.sees("rb")

    sit(vm, scene)


def test_property_and_its_values(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        await person.knows_all()
        person.type("device_add virtio-blk-pci,write-ca")
        await person.sees("write-cache=")
        person.type(TAB)
        await person.sees_line("device_add virtio-blk-pci,write-cache=")
        await person.sees_toolbar("write-cache: on|off|auto OnOffAuto")
        person.type("au" + TAB)
        await person.sees_line("device_add virtio-blk-pci,write-cache=auto")
        person.type(",iothread=io")
        await person.sees("io1 ")
        person.type(TAB)
        await person.sees_line("device_add virtio-blk-pci,write-cache=auto,iothread=io1")

    sit(vm, scene)


def test_json_is_completed_by_the_schema(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        await person.knows_all()
        person.type('qmp object-add {"qom-type": "iothr' + TAB)
        await person.sees_line('qmp object-add {"qom-type": "iothread"')
        person.type(', "poll-max' + TAB)
        await person.sees_line('qmp object-add {"qom-type": "iothread", "poll-max-ns": ')

    sit(vm, scene)


def test_json_over_several_rows_and_in_single_quotes(vm: Machine) -> None:
    async def scene(person: Person) -> None:
        await person.knows_all()
        person.type("{'execute': 'object-a" + TAB)
        await person.sees_line("{'execute': 'object-add'")
        person.type("," + ENTER + "'arguments': {'qom-type': 'iothr" + TAB)
        await person.sees("'arguments': {'qom-type': 'iothread'")
        await person.sees_toolbar("object-add qom-type=")

    sit(vm, scene)


@pytest.mark.parametrize(
    ("wrong", "right", "asked"),
    [
        ("device_add virtio-blk-pcii", "device_add virtio-blk-pci", Kind.DRIVERS),
        ("migrate_set_capability xbzrl on", "migrate_set_capability xbzrle on", Kind.CAPABILITIES),
        ("trace-event vm_state_notif on", "trace-event vm_state_notify on", Kind.TRACE_EVENTS),
    ],
)
def test_name_that_qemu_refuses_is_corrected_by_tab(vm: Machine, wrong: str, right: str, asked: Kind) -> None:
    async def scene(person: Person) -> None:
        await person.knows_all()
        assert person.console is not None
        answers = person.console.knowledge.answers
        name, blank, rest = wrong.partition(" ")
        person.type(name + blank)
        await person.until(lambda: bool(answers.known(Question(asked))), "the names")
        person.type(rest + ENTER)
        await person.sees("Tab puts it on the empty line")
        await person.sees_prompt()
        person.type(TAB)
        await person.sees_line(right)

    sit(vm, scene)
