"""A wrapped QEMU, modelled, with what serves it."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from host.net.addresses import DescriptorAddress
from host.settings.config import VMConfig
from host.settings.listener import Listener, Terms
from proxy.qemu_command_line.monitors import Kind
from proxy.wrapping.doors import Door, open_door
from proxy.wrapping.loading import Load
from proxy.wrapping.reception import Reception
from proxy.wrapping.wrapped_vm import WrappedVM
from shim.client import Client
from tests.fakes.qemu import FakeQEMU, Snapshot, disk
from tests.support.processes.wrapped_monitors import line_of
from tests.support.raw_client import RawClient

__all__ = ["HMP", "QMP", "Scene", "play", "status"]

QMP = "-qmp unix:q,server=on,wait=off"
HMP = "-monitor unix:h,server=on,wait=off"
SAVED = Snapshot("1", "t", vm_state_size=1)
STARTER = Client(os.getpid(), os.getuid(), "/usr/bin/tool")


@dataclass
class Scene:
    """A modelled QEMU, and what serves it."""

    qemu: FakeQEMU
    reception: Reception
    vm: WrappedVM

    async def begin(self, load: Load | None = None) -> None:
        await self.reception.open()
        await self.vm.begin(load)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve until the scene or QEMU ends."""
        task = asyncio.create_task(self.vm.serve())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait((task,))


def config_of(doors: list[Door], control: socket.socket) -> VMConfig:
    human = [door.address for door in doors if door.monitor.kind is Kind.HMP]
    return VMConfig(
        DescriptorAddress(control.fileno()),
        tuple(door.address for door in doors if door.address not in human),
        tuple(human),
        own_listeners=tuple(Listener(door.address, Terms(pretty=door.monitor.kind is Kind.QMP_PRETTY)) for door in doors),
    )


def play(words: str, scene: Callable[[Scene], Awaitable[None]], **settings: Any) -> None:
    """Play a scene with a QEMU that has the monitors of these words. settings: of the configuration."""

    async def run() -> None:
        async with FakeQEMU(disk("d0", snapshots=[SAVED]), run_state="prelaunch") as qemu:
            control = socket.socket(socket.AF_UNIX)
            control.setblocking(False)
            await asyncio.get_running_loop().sock_connect(control, qemu.path)
            doors = [open_door(monitor) for monitor in line_of(words).served]
            reception = Reception(replace(config_of(doors, control), **settings), control, doors, STARTER)
            vm = WrappedVM(reception, None)
            try:
                await scene(Scene(qemu, reception, vm))
            finally:
                await vm.close()
                reception.close()

    asyncio.run(run())


def status(path: str) -> str:
    with RawClient.connect(path) as client:
        client.negotiate()
        found: str = client.returned("query-status")["status"]
        return found
