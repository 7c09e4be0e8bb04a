"""FakeQEMU: QEMU 7.2's QMP socket in front of a modelled machine, with switches for rare faults and interleavings.

The machine is tests/fakes/vm.py, its block nodes tests/fakes/block.py, the commands tests/fakes/commands.py. This file is
the connection (monitor/qmp.c, chardev/char-socket.c): one client at a time, the others wait for the greeting; the
commands of a client run in order; a reply whose client has gone is given to the next one.
tests/integration/wire/test_fake_against_qemu.py compares it with the real thing.

Unlike QEMU it reads ahead, up to eight commands, so that `received` shows what a client has really sent.
"""

import asyncio
import contextlib
import select
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from shim.qmp import QEMUVersion
from tests.fakes.block import Backend, BlockGraph, Node, Snapshot, disk, two_disks, uefi_vm
from tests.fakes.faults import Drop, DropCounter, Faults, Holds, When
from tests.fakes.jobs import Job, VMFaults
from tests.fakes.monitor import Monitor, is_oob
from tests.fakes.vm import DEBIAN_12, VM
from tests.fakes.wire import Framer, spell
from tests.support.raw_client import DEADLINE_S

__all__ = [
    "Backend",
    "Drop",
    "FakeQEMU",
    "Faults",
    "Job",
    "Node",
    "Snapshot",
    "VMFaults",
    "When",
    "disk",
    "two_disks",
    "uefi_vm",
]

DEBIAN_PACKAGE: Final = "Debian 1:7.2+dfsg-7+deb12u18+b3"
READ_BYTES: Final = 64 * 1024
# monitor/qmp.c, QMP_REQ_QUEUE_LEN_MAX
QUEUE_COMMANDS: Final = 8


@dataclass(slots=True)
class _Connection:
    sock: socket.socket
    monitor: Monitor
    output: bytearray = field(default_factory=bytearray)
    queue: asyncio.Queue[Any] = field(default_factory=lambda: asyncio.Queue(QUEUE_COMMANDS))
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def is_gone(self) -> bool:
        """Tell whether the client has closed; a client that only half-closed has not (poll(2), POLLHUP)."""
        poll = select.poll()
        poll.register(self.sock, 0)
        return any(flags & (select.POLLHUP | select.POLLERR) for _, flags in poll.poll(0))


_EOF: Final = object()


class FakeQEMU:
    """A modelled QEMU on the unix socket `path`, from entering the context to leaving it.

    `received` holds every command in order, decoded, `received_raw` the bytes of each, `received_bytes` all bytes that
    came. `vm` is the machine: a test may look at it and change it, as another monitor would.
    """

    def __init__(
        self,
        nodes: Iterable[Node] = (),
        *,
        backends: Sequence[Backend] | None = None,
        faults: Faults | None = None,
        vm_faults: VMFaults | None = None,
        version: QEMUVersion = DEBIAN_12,
        package: str = DEBIAN_PACKAGE,
        capabilities: Sequence[str] = ("oob",),
        pretty: bool = False,
        run_state: str = "running",
        jobs: Iterable[Job] = (),
        path: str | None = None,
    ) -> None:
        self.faults = faults or Faults()
        graph = BlockGraph(nodes, backends)
        state: dict[str, Any] = {"run_state": run_state, "jobs": jobs, "faults": vm_faults}
        self.vm = VM(graph, version=version, package=package, emit=self._emit, **state)
        self.capabilities = list(capabilities)
        self.pretty = pretty
        self.received: list[dict[str, Any]] = []
        self.received_raw: list[bytes] = []
        self.received_bytes = bytearray()
        self.client_count = 0
        self._folder = None if path is not None else tempfile.mkdtemp(prefix="f", dir="/tmp")
        self.path = path if path is not None else f"{self._folder}/qmp.sock"
        self._listener: socket.socket | None = None
        self._serve_task: asyncio.Task[None] | None = None
        self._connection: _Connection | None = None
        self._stale = bytearray()
        self._holds = Holds()
        self._drops = DropCounter()
        self._changed = asyncio.Condition()
        self._write_lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._listener = self._listen()
        self._serve_task = asyncio.create_task(self._serve(self._listener), name="FakeQEMU")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End as a killed QEMU: all sockets close at once. A second call does nothing.

        What went wrong inside the fake is raised here.
        """
        task, self._serve_task = self._serve_task, None
        try:
            if task is not None:
                task.cancel()
                await asyncio.wait((task,))
                if not task.cancelled():
                    task.result()
        finally:
            if self._listener is not None:
                self._listener.close()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    # -- what a test steers and sees -----------------------------------------------------------------------------------

    @property
    def commands(self) -> list[str]:
        """The names of the commands received, in order."""
        return [str(command.get("execute", command.get("exec-oob"))) for command in self.received]

    def hold(self, command: str, when: When = When.DONE) -> None:
        """Stop at the next command of that name until it is released; a hold works once."""
        self._holds.add(command, when)

    async def reached(self, command: str) -> None:
        """Wait until the held command has come to its hold; TimeoutError after the deadline."""
        await self._holds.wait_reached(command)

    def release(self, command: str | None = None) -> None:
        """Let a held command go on; None lets all."""
        self._holds.release(command)

    async def wait_received(self, command: str, count: int = 1) -> None:
        """Wait until so many commands of that name have come; TimeoutError after the deadline."""
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(lambda: self.commands.count(command) >= count)

    async def wait_gone(self) -> None:
        """Wait until the client has closed or half-closed; TimeoutError after the deadline."""
        async with asyncio.timeout(DEADLINE_S):
            if self._connection is not None:
                await self._connection.ended.wait()

    async def send_event(self, name: str, data: Mapping[str, Any] | None = None) -> None:
        """Send an event now, to a negotiated client only, as QEMU does."""
        self._emit(name, data)
        await self._flush()

    async def stop(self, state: str) -> None:
        """Have the VM stop by itself now; vm.stop() alone leaves its event for what is sent next."""
        self.vm.stop(state)
        await self._flush()

    async def start(self) -> None:
        """Have the VM go on by itself now."""
        self.vm.start()
        await self._flush()

    async def send_raw(self, raw: bytes) -> None:
        """Write bytes to the client now, whatever they are."""
        if self._connection is not None:
            self._connection.output += raw
        await self._flush()

    async def finish_jobs(self) -> None:
        """Conclude the jobs that VMFaults.running_queries keeps running."""
        self.vm.jobs.finish()
        await self._flush()

    def disconnect(self) -> None:
        """Close the client's connection now."""
        if self._connection is not None:
            self._connection.sock.shutdown(socket.SHUT_RDWR)

    # -- connections ---------------------------------------------------------------------------------------------------

    async def _serve(self, listener: socket.socket) -> None:
        while not self.vm.has_quit:
            sock = await _accept(listener)
            self.client_count += 1
            with sock:
                monitor = Monitor(self.vm, capabilities=self.capabilities, pretty=self.pretty)
                self._connection = _Connection(sock, monitor)
                try:
                    await self._serve_client(self._connection)
                finally:
                    self._connection = None
        listener.close()
        self._remove_socket()

    def _listen(self) -> socket.socket:
        self._remove_socket()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.setblocking(False)
        listener.bind(self.path)
        listener.listen()
        return listener

    def _remove_socket(self) -> None:
        Path(self.path).unlink(missing_ok=True)

    async def _serve_client(self, connection: _Connection) -> None:
        connection.output += self._greeting() + self._stale
        self._stale.clear()
        await self._flush()
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(self._read(connection))
            await self._run_commands(connection)
            reader.cancel()

    def _greeting(self) -> bytes:
        if self.faults.greeting is not None:
            return self.faults.greeting
        version = {"qemu": self.vm.version._asdict(), "package": self.vm.package}
        return spell({"QMP": {"version": version, "capabilities": self.capabilities}}, pretty=self.pretty)

    async def _read(self, connection: _Connection) -> None:
        framer = Framer()
        while received := await self._receive(connection.sock):
            self.received_bytes += received
            for raw, value in framer.feed(received):
                await self._take(connection, raw, value)
        connection.ended.set()
        await connection.queue.put(_EOF)

    async def _receive(self, sock: socket.socket) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(sock, READ_BYTES)
        except ConnectionError:
            return b""

    async def _take(self, connection: _Connection, raw: bytes, value: Any) -> None:
        if isinstance(value, dict):
            async with self._changed:
                self.received.append(value)
                self.received_raw.append(raw)
                self._changed.notify_all()
        if connection.monitor.has_oob and is_oob(value):
            connection.output += connection.monitor.reply(value)
            await self._flush()
        else:
            await connection.queue.put(value)

    # -- commands ------------------------------------------------------------------------------------------------------

    async def _run_commands(self, connection: _Connection) -> None:
        """Run the client's commands until it, or a fault, ends the connection; what is queued by then is discarded."""
        while (value := await connection.queue.get()) is not _EOF:
            if connection.is_gone() or not await self._run_one(connection, value) or self.vm.has_quit:
                break
        await self._flush()

    async def _run_one(self, connection: _Connection, value: Any) -> bool:
        name = str(value.get("execute")) if isinstance(value, dict) else ""
        if not await self._pass(name, When.RECEIVED):
            return False
        if name in self.faults.mute:
            await connection.ended.wait()
            return False
        reply = connection.monitor.reply(value)
        if not await self._pass(name, When.DONE) or connection.is_gone():
            self._keep_stale(reply)
            self.vm.jobs.settle()
            return False
        connection.output += reply
        self.vm.jobs.settle()
        if not self.faults.coalesces or connection.queue.empty():
            await self._flush()
        return await self._pass(name, When.REPLIED)

    async def _pass(self, name: str, when: When) -> bool:
        """Go past a moment of a command; False when the connection is to end there."""
        if self._holds.is_held(name, when):
            await self._flush()
            await self._holds.wait_released(name)
        drop = self._drops.due(self.faults.drops, name, when)
        if drop is None:
            return True
        self.vm.has_quit = self.vm.has_quit or drop.dies
        return False

    def _keep_stale(self, reply: bytes) -> None:
        if self.faults.keeps_stale_replies:
            self._stale += reply

    # -- output --------------------------------------------------------------------------------------------------------

    def _emit(self, name: str, data: Mapping[str, Any] | None) -> None:
        if self._connection is None or not self._connection.monitor.is_negotiated:
            return
        seconds, ns = divmod(time.time_ns(), 10**9)
        event: dict[str, Any] = {"timestamp": {"seconds": seconds, "microseconds": ns // 1000}, "event": name}
        if data is not None:
            event["data"] = dict(data)
        self._connection.output += spell(event, pretty=self.pretty)

    async def _flush(self) -> None:
        async with self._write_lock:
            connection = self._connection
            if connection is None:
                return
            raw, connection.output = bytes(connection.output), bytearray()
            size = self.faults.piece_bytes or len(raw) or 1
            for start in range(0, len(raw), size):
                await self._write(connection, raw[start : start + size])

    async def _write(self, connection: _Connection, piece: bytes) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(connection.sock, piece)
        except ConnectionError:
            connection.output.clear()
        if self.faults.piece_bytes:
            await asyncio.sleep(0)


async def _accept(listener: socket.socket) -> socket.socket:
    """Accept a client. With asyncio's sock_accept one that comes while its task is cancelled is accepted by nobody (3.11)."""
    loop = asyncio.get_running_loop()
    while True:
        with contextlib.suppress(BlockingIOError):
            sock, _ = listener.accept()
            sock.setblocking(False)
            return sock
        readable = asyncio.Event()
        loop.add_reader(listener, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(listener)
