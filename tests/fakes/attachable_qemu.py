"""AttachableQEMU: QEMU 11.1's way to add monitors while it runs, as far as the proxy uses it.

Unlike FakeQEMU it serves any number of monitors: the one at `path`, one client after the other, and those that clients add on
a socket that they pass. The snapshot commands are the modelled machine's. tests/integration/process/test_attaching_on_qemu.py
has the same scenes with the real thing.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from shim.qmp import QEMUVersion
from tests.fakes.block import BlockGraph, two_disks
from tests.fakes.jobs import QMPError
from tests.fakes.monitor import Monitor
from tests.fakes.vm import VM
from tests.fakes.wire import Framer, spell

__all__ = ["AttachableQEMU", "Chardev"]

QEMU_11_1: Final = QEMUVersion(11, 1, 3)
READ_BYTES: Final = 64 * 1024
MOST_DESCRIPTORS: Final = 16


@dataclass(slots=True)
class Chardev:
    """A character device that was added. sock: None once its other end has gone. monitor: whether one is on it."""

    sock: socket.socket | None = None
    monitor: bool = False

    @property
    def filename(self) -> str:
        return "disconnected:fd:x" if self.sock is None else "unix:"


class AttachableQEMU:
    """A modelled QEMU on the unix socket `path`, from entering the context to leaving it.

    `received` has the name of each command with where it came in: "path", or a monitor's label. refused: what a command is
    answered with instead. deletes: whether a monitor goes with its client, as its close-action says; QEMU fails to do so while
    it is at one of its commands.
    """

    def __init__(
        self,
        *,
        version: QEMUVersion = QEMU_11_1,
        refused: Mapping[str, str] | None = None,
        deletes: bool = True,
        path: str | None = None,
    ) -> None:
        self.vm = VM(BlockGraph(two_disks()), version=version)
        self.refused = refused or {}
        self.deletes = deletes
        self.received: list[tuple[str, str]] = []
        self.descriptors: dict[str, socket.socket] = {}
        self.chardevs: dict[str, Chardev] = {}
        self._folder = tempfile.mkdtemp(prefix="f", dir="/tmp")
        self.path = f"{self._folder}/qmp.sock" if path is None else path
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._listener.setblocking(False)
        self._tasks.append(asyncio.create_task(self._serve(), name="AttachableQEMU"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        self._listener.close()
        for sock in (*self.descriptors.values(), *(chardev.sock for chardev in self.chardevs.values())):
            if sock is not None:
                sock.close()
        os.unlink(self.path)
        shutil.rmtree(self._folder)
        for task in self._tasks:
            if not task.cancelled():
                task.result()

    def commands(self, where: str = "path") -> list[str]:
        """Return the names of the commands that came in there."""
        return [name for place, name in self.received if place == where]

    async def _serve(self) -> None:
        while True:
            sock, _ = await asyncio.get_running_loop().sock_accept(self._listener)
            with sock:
                await self._converse(sock, "path")

    async def _converse(self, sock: socket.socket, where: str) -> None:
        sock.setblocking(False)
        monitor, framer = Monitor(self.vm, capabilities=["oob"], pretty=False), Framer()
        version = {"qemu": self.vm.version._asdict(), "package": ""}
        send = asyncio.get_running_loop().sock_sendall
        with contextlib.suppress(ConnectionError):
            await send(sock, spell({"QMP": {"version": version, "capabilities": ["oob"]}}, pretty=False))
            while received := await _receive(sock):
                data, descriptors = received
                for _, value in framer.feed(data):
                    self.received.append((where, value["execute"]))
                    await send(sock, self._reply(monitor, value, descriptors))

    def _reply(self, monitor: Monitor, value: Any, descriptors: list[int]) -> bytes:
        message: dict[str, Any]
        try:
            result = self._run(value["execute"], value.get("arguments", {}), descriptors)
            if result is None:
                reply = monitor.reply(value)
                self.vm.jobs.settle()
                return reply
            message = {"return": result}
        except QMPError as exc:
            message = {"error": {"class": exc.error_class, "desc": exc.desc}}
        return spell(message | {"id": value["id"]}, pretty=False)

    def _run(self, name: str, arguments: Mapping[str, Any], descriptors: list[int]) -> Any:
        """Run what the modelled machine does not have; None for what it has."""
        if name in self.refused:
            for descriptor in descriptors:
                os.close(descriptor)
            raise QMPError(self.refused[name])
        match name:
            case "query-chardev":
                return [{"label": label, "filename": chardev.filename} for label, chardev in self.chardevs.items()]
            case "getfd":
                self.descriptors[arguments["fdname"]] = socket.socket(fileno=descriptors.pop(0))
            case "closefd":
                self._take_descriptor(arguments["fdname"]).close()
            case "chardev-add":
                named = arguments["backend"]["data"]["addr"]["data"]["str"]
                self.chardevs[arguments["id"]] = Chardev(self._take_descriptor(named))
            case "object-add":
                assert (arguments["qom-type"], arguments["close-action"]) == ("monitor-qmp", "delete")
                if arguments["chardev"] not in self.chardevs:
                    raise QMPError(f'chardev "{arguments["chardev"]}" not found')
                self.chardevs[arguments["chardev"]].monitor = True
                self._tasks.append(asyncio.create_task(self._serve_added(arguments["id"], arguments["chardev"])))
            case "object-del":
                if not (arguments["id"] in self.chardevs and self.chardevs[arguments["id"]].monitor):
                    raise QMPError(f"object '{arguments['id']}' not found")
                self.chardevs[arguments["id"]].monitor = False
            case "chardev-remove":
                self._remove_chardev(arguments["id"])
            case _:
                return None
        return {}

    def _take_descriptor(self, name: str) -> socket.socket:
        if name not in self.descriptors:
            raise QMPError(f"File descriptor named '{name}' not found")
        return self.descriptors.pop(name)

    def _remove_chardev(self, label: str) -> None:
        if label not in self.chardevs:
            raise QMPError(f"Chardev '{label}' not found")
        if self.chardevs[label].monitor:
            raise QMPError(f"Chardev '{label}' is busy")
        removed = self.chardevs.pop(label).sock
        if removed is not None:
            removed.close()

    async def _serve_added(self, monitor: str, label: str) -> None:
        chardev = self.chardevs[label]
        assert chardev.sock is not None
        with chardev.sock as sock:
            await self._converse(sock, monitor)
        chardev.sock = None
        if self.deletes:
            del self.chardevs[label]


async def _receive(sock: socket.socket) -> tuple[bytes, list[int]] | None:
    while True:
        try:
            data, descriptors, _, _ = socket.recv_fds(sock, READ_BYTES, MOST_DESCRIPTORS)
        except BlockingIOError:
            await _readable(sock)
        else:
            return (data, descriptors) if data else None


async def _readable(sock: socket.socket) -> None:
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sock, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(sock)
