"""Nothing that QEMU's own monitor offers at TAB is missing at the prompt, on the same VM."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from host.net.addresses import UnixAddress
from repl.completion_data import CompletionData
from repl.executor import Executor
from repl.link import Link
from repl.prompt.editor.completer import LineCompleter
from repl.vm_cache import VMCache
from shim.client import Client
from shim.graph.policy import Policy
from shim.qmp import QEMUVersion
from tests.integration.command_lines import BIOS, disk, drive
from tests.integration.machines import Machine, machine
from tests.support.raw_client import DEADLINE_S
from tests.support.repl.monitor_offers import all_offers, offers

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

MACHINE: Final = " ".join(
    (
        f"-monitor unix:hmp.sock,server=on,wait=off {BIOS} {disk('d0')} {disk('r0', format='raw')} {drive('unused')}",
        "-drive if=none,id=cd0,media=cdrom -device virtio-scsi-pci,id=scsi -device scsi-cd,drive=cd0,id=cd",
        "-device virtio-rng-pci,id=rng1 -device virtio-net-pci,netdev=n0,id=nic0",
        "-netdev user,id=n0 -netdev hubport,hubid=1,id=h0",
        "-chardev ringbuf,id=rb -chardev memory,id=mem -chardev null,id=nu -object iothread,id=io1",
    )
)
IMAGES: Final = {"d0.qcow2": "", "r0.raw": "", "unused.qcow2": ""}
TAGGED: Final = (("d0.qcow2", "t1"), ("unused.qcow2", "x"))
TAB: Final = CompleteEvent(completion_requested=True)

# QEMU offers them, and takes them in no command: test_what_is_missing_is_refused_by_qemu.
IDS: Final = frozenset({"1"})
NO_TYPES: Final = frozenset({"authz-list-file"})
LINES: Final = (
    *("", *map(chr, range(ord("a"), ord("z") + 1)), "?", "help ", "help b", "info ", "info b", "help info ", "? e"),
    *("eject -f ", "eject d", "info block -n -v ", "drive_mirror -n -f ", "dump-guest-memory -p ", "change cd0 "),
    *("screendump /", "screendump /us", "screendump /usr/", "change -f cd0 /usr/", "logfile d", "info trace-events b"),
    *("sendkey ctrl-", "sendkey ctrl-alt-de", "object_add memory-", "device_add virtio-", "netdev_add v", "loadvm t"),
    *("set_link nic0 ", "set_link nic0 o", "migrate_set_capability events o", "migrate_set_parameter multifd-"),
    *("trace-event bdrv_", "trace-event bdrv_lock_medium o", "watchdog_action p", "chardev-add s"),
)


class Completer:
    """The prompt's completion, of a VM of which all is known that a line needs."""

    def __init__(self, running: Machine) -> None:
        self._path = running.vm.qmp_path
        self.facts = CompletionData()

    def offered(self, lines: Sequence[str]) -> dict[str, set[str]]:
        return asyncio.run(self._offered(lines))

    async def _offered(self, lines: Sequence[str]) -> dict[str, set[str]]:
        link = Link(UnixAddress(self._path), on_event=lambda event: None, on_lost=lambda error: None)
        await link.connect()
        executor = Executor(link, Policy(), Client(), name=None, audit_log=None, complain=lambda error: None)
        knowledge = VMCache(executor, on_change=lambda: None)
        try:
            async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
                await executor.learn()
                knowledge.load_soon(tasks)
            self.facts = knowledge.facts
            completer = LineCompleter(knowledge)
            async with asyncio.timeout(DEADLINE_S * len(lines)):
                return {line: await self._words(completer, knowledge, line) for line in lines}
        finally:
            await knowledge.close()
            await link.close()

    async def _words(self, completer: LineCompleter, knowledge: VMCache, line: str) -> set[str]:
        while True:
            words = {one.text.strip('"') for one in completer.get_completions(Document(line), TAB)}
            if not knowledge.answers.under_way:
                return words
            await asyncio.wait(knowledge.answers.under_way)


@pytest.fixture(scope="module")
def running() -> Iterator[Machine]:
    with machine(MACHINE, IMAGES, TAGGED) as started:
        yield started


@pytest.fixture(scope="module")
def completer(running: Machine) -> Completer:
    return Completer(running)


def native_words(running: Machine, line: str) -> set[str]:
    """Return what QEMU offers. Of a key it puts the whole combination into the line, of a file only its name may differ."""
    found = offers(running.vm.path("hmp.sock"), line)
    typed = line.rpartition(" ")[2]
    if line.startswith("sendkey "):
        return {word.rpartition("-")[2] for word in found}
    return (
        found
        - (NO_TYPES if line.startswith("object_add ") else IDS if line.startswith(("loadvm", "delvm")) else set())
        - {typed}
    )


def test_every_command_at_its_first_argument(running: Machine, completer: Completer) -> None:
    completer.offered([])
    names = [one.name for one in completer.facts.commands if one.name not in ("help", "info")]
    lines = [f"{name} " for name in [*names, *(f"info {one.name}" for one in completer.facts.topics)]]
    assert len(lines) > 150
    missing = compared(running, completer, lines)
    assert missing == {}


def test_lines(running: Machine, completer: Completer) -> None:
    assert compared(running, completer, LINES) == {}


def compared(running: Machine, completer: Completer, lines: Sequence[str]) -> dict[str, set[str]]:
    """Return what is missing, by line."""
    ours = completer.offered(lines)
    natively = {line: native_words(running, line) for line in lines}
    assert any(natively.values())
    return {line: missing for line in lines if (missing := natively[line] - ours[line])}


@pytest.mark.parametrize("command", ["device_add", "object_add", "trace-event", "info trace-events"])
def test_more_names_than_qemu_lists_at_once(running: Machine, completer: Completer, command: str) -> None:
    line = f"{command} "
    natively = all_offers(running.vm.path("hmp.sock"), command) - NO_TYPES
    assert natively - completer.offered([line])[line] == set()
    assert len(natively) > 30


def test_later_arguments(running: Machine, completer: Completer) -> None:
    """QEMU counts a flag that is left out as an argument, and repeats the last one; what it offers again there is refused."""
    completer.offered([])
    names = [one.name for one in completer.facts.commands if one.name not in ("help", "info", "sendkey")]
    first = {name: native_words(running, f"{name} ") for name in names}
    second = {name: words - first[name] for name in names if (words := native_words(running, f"{name} x "))}
    lines = [f"{name} x " for name, words in second.items() if words]
    assert {"change x ", "set_link x ", "trace-event x ", "migrate_set_capability x "} <= set(lines)
    assert compared(running, completer, lines) == {}


def test_what_is_missing_is_refused_by_qemu(running: Machine, qemu_version: QEMUVersion) -> None:
    assert "Error" in running.observer.hmp("loadvm 1")
    running.observer.hmp("cont")
    assert "does not accept value" in running.observer.hmp("object_add authz-list-file,id=x")


def test_only_what_a_command_takes(completer: Completer) -> None:
    """What is missing here, QEMU refuses: test_qemu_refuses_what_is_not_offered."""
    expected = {
        "block_resize ": {"d0", "r0", "unused", "cd0"},
        "device_add virtio-net-pci,netdev=": {"h0"},
        "device_add virtio-blk-pci,iothread=": {"io1"},
        "device_add scsi-hd,bus=": {"scsi.0"},
        "device_add virtio-rng-pci,rng=": set[str](),
        "qmp netdev_del id=": {"n0", "h0"},
        "qmp object-del id=": {"io1"},
        "qmp set_link name=": {"nic0", "n0", "h0"},
    }
    offered = completer.offered(tuple(expected))
    assert {line: words - {"pc.ram"} for line, words in offered.items()} == expected


def test_qemu_refuses_what_is_not_offered(running: Machine) -> None:
    hmp = running.observer.hmp
    assert "in use" in hmp("device_add virtio-net-pci,netdev=n0")
    assert "can't go on" in hmp("device_add scsi-hd,bus=main-system-bus")
    assert "Error" in hmp("device_add virtio-blk-pci,drive=unused,iothread=rng1")
    assert "Error" in hmp("block_resize #block1 64M")


def test_log_items_and_values_of_a_drive_are_qemus(running: Machine, completer: Completer) -> None:
    lines = (
        "log ",
        "drive_add 0 if=",
        "drive_add 0 werror=",
        "drive_add 0 rerror=",
        "drive_add 0 cache=",
        "drive_add 0 media=",
    )
    offered = completer.offered(lines)
    assert {"none", "int", "guest_errors", "trace:"} <= offered["log "]
    assert {"none", "virtio", "ide"} <= offered["drive_add 0 if="]
    assert offered["drive_add 0 media="] == {"disk", "cdrom"}
    refused = {
        (key, value)
        for key in ("werror", "rerror", "cache")
        for value in offered[f"drive_add 0 {key}="]
        if "invalid" in running.observer.hmp(f"drive_add 0 if=none,id=no,file=/nosuch,{key}={value}")
    }
    assert refused == set()


def test_every_device_can_be_asked_about(running: Machine, completer: Completer) -> None:
    """And QEMU lives on; what would load a module is not asked (repl/completing/__init__.py)."""
    drivers = sorted(completer.offered(["device_add "])["device_add "])
    lines = [f"device_add {driver}," for driver in drivers]
    offered = completer.offered(lines)
    assert {"id=", "bus=", "drive=", "iothread=", "write-cache="} < offered["device_add virtio-blk-pci,"]
    assert all({"id=", "bus="} <= words for words in offered.values())
    assert running.vm.is_alive
