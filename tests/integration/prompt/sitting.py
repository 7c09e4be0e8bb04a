"""Somebody at the prompt of a real QEMU, with another monitor of it beside the prompt."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from host.net.addresses import UnixAddress
from repl.command_line import Invocation
from shim.graph.policy import Policy
from tests.integration.command_lines import BIOS, disk, drive, virtio
from tests.integration.machines import Machine, machine
from tests.support.repl.screen import Person, at_prompt

__all__ = ["Scene", "brake", "freeze", "invocation", "restore", "sit", "slow_machine", "thaw", "two_disks"]

Scene: TypeAlias = Callable[[Person], Awaitable[None]]

_MEMORY: Final = "16"
# QEMU lets a large write through at once, and the next one waits until that is allowed for: about four seconds.
_SLOW_BYTES_PER_S: Final = 500_000
_WRITE: Final = 'qemu-io -d /machine/peripheral/vd0/virtio-backend "write -q 0 2M"'
_SLOW_DISK: Final = ",".join(
    (
        "-blockdev driver=qcow2,node-name=d0,cache.no-flush=on,file.driver=throttle,file.throttle-group=brake",
        "file.file.driver=file,file.file.filename=d0.qcow2",
    )
)


@contextmanager
def two_disks(**options: Any) -> Iterator[Machine]:
    """Start a VM with the disks d0 and d1."""
    args = f"{BIOS} {drive('d0')} {virtio('d0', 'id=vd0')} {disk('d1')} -name vm1"
    with machine(args, {"d0.qcow2": "", "d1.qcow2": ""}, memory=_MEMORY, **options) as running:
        yield running


@contextmanager
def slow_machine() -> Iterator[Machine]:
    """Start a VM with the disk d0 and the snapshot `old`; see `brake`."""
    args = f"{BIOS} -object throttle-group,id=brake {_SLOW_DISK} {virtio('d0', 'id=vd0')} -name slow"
    with machine(args, {"d0.qcow2": ""}, memory=_MEMORY) as running:
        assert running.observer.hmp("savevm old") == ""
        # Its clusters are new, and all writes after this one are one write each.
        assert running.observer.hmp(_WRITE) == ""
        limits = {"path": "/objects/brake", "property": "limits", "value": {"bps-write": _SLOW_BYTES_PER_S}}
        running.observer.returned("qom-set", limits)
        yield running


def brake(slow: Machine) -> None:
    """Have the next save take seconds, in which QEMU stands still, if it begins within these seconds."""
    assert slow.observer.hmp(_WRITE) == ""


def restore(running: Machine) -> None:
    """Have the VM run again, without snapshots."""
    for tags in running.images.values():
        for tag, _ in tags:
            running.observer.returned("human-monitor-command", {"command-line": f'delvm "{tag}"'})
    running.observer.returned("cont")


def invocation(running: Machine, **options: Any) -> Invocation:
    """Return what a command line means. path: of another socket than QEMU's."""
    path = options.pop("path", running.vm.qmp_path)
    return Invocation(UnixAddress(path), options.pop("policy", Policy()), **options)


def sit(running: Machine, scene: Scene, *, columns: int = 80, rows: int = 24, **options: Any) -> None:
    """Play a scene at a prompt that the person leaves at its end, if he has not left before."""

    async def play() -> None:
        async with at_prompt(invocation(running, **options), columns=columns, rows=rows) as person:
            await person.knows_all()
            await scene(person)
            if person.is_there:
                await person.gives_up()
                await person.leaves()

    asyncio.run(play())


def freeze(running: Machine) -> None:
    """Have QEMU stand still, whatever it does, until `thaw`."""
    assert running.vm.process is not None
    running.vm.process.send_signal(signal.SIGSTOP)


def thaw(running: Machine) -> None:
    assert running.vm.process is not None
    running.vm.process.send_signal(signal.SIGCONT)
