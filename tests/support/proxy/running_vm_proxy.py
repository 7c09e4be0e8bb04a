"""A Server in the test's own event loop, configured by a command line, so that a test can be on both of its sides.

Blocking clients talk to it from threads (`talk`). Leaving the context stops it as an operator would, by SIGTERM.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from proxy.command_line.invocations import ServeInvocation
from proxy.command_line.subcommands import parse_command_line
from proxy.net.sockets import is_answered
from proxy.process.daemon import Daemon
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.proxy_command import run_proxy
from tests.support.raw_client import DEADLINE_S, Address, RawClient

__all__ = [
    "RunningServer",
    "answering",
    "bound",
    "connected",
    "exists",
    "free_port",
    "in_thread",
    "played",
    "proxy_ends",
    "serving",
    "talk",
    "until",
]

Result = TypeVar("Result")
RETRY_S: Final = 0.002


async def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds; TimeoutError after the deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - what is waited for may be another process's doing
            await asyncio.sleep(RETRY_S)


def in_thread(function: Callable[..., Result], *arguments: Any) -> Awaitable[Result]:
    """Run a blocking call beside the loop."""
    return asyncio.to_thread(function, *arguments)


async def connected(address: Address, *, oob: bool = False, pretty: bool = False) -> RawClient:
    """Return a client in command mode; while QEMU is away nobody listens, so that may be waited for."""
    client = await _connect(address, pretty=pretty)
    try:
        await asyncio.to_thread(client.negotiate, oob=oob)
    except BaseException:
        client.close()
        raise
    return client


async def _connect(address: Address, *, pretty: bool) -> RawClient:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return RawClient.connect(address, pretty=pretty)
            except (FileNotFoundError, ConnectionRefusedError):
                await asyncio.sleep(RETRY_S)


async def talk(address: Address, conversation: Callable[[RawClient], Result], *, oob: bool = False) -> Result:
    """Have a blocking conversation as a new client in command mode."""
    with await connected(address, oob=oob) as client:
        return await asyncio.to_thread(conversation, client)


class RunningServer:
    """`hmp-proxy` with a client socket at `path`, in front of `upstream`; further options as on its command line.

    audit: where its audit log is; None makes one, read by `records`. has_prompt: HMP's prompt is at `hmp_path`.
    """

    def __init__(self, upstream: str, *options: str, audit: str | None = None, has_prompt: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="s", dir="/tmp"))
        self.path = str(self.folder / "legacy.sock")
        self.audit_path = str(self.folder / "audit.jsonl") if audit is None else audit
        self.hmp_path = str(self.folder / "monitor.sock")
        arguments = ["--upstream", upstream, "--listen", f"unix:{self.path}", "--audit", self.audit_path, *options]
        arguments += ["--hmp-listen", f"unix:{self.hmp_path}"] if has_prompt else []
        invocation = parse_command_line(arguments)
        assert isinstance(invocation, ServeInvocation)
        self._invocation = invocation
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(Daemon(self._invocation).run(), name="Daemon")
        try:
            await until(lambda: self.has_ended or is_answered(self.path))
            if self.has_ended:
                await self.task
        except BaseException:
            self._clean_up()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.stop()
        finally:
            self._clean_up()

    @property
    def has_ended(self) -> bool:
        return self.task is None or self.task.done()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The audit records so far."""
        return [json.loads(line) for line in Path(self.audit_path).read_text().splitlines()]

    def actions(self) -> list[tuple[str | None, str]]:
        """Command line and action of each audit record."""
        return [(record["command_line"], record["action"]) for record in self.records]

    async def stop(self) -> None:
        """Stop it by SIGTERM and wait for its end. A second call does nothing."""
        if self.task is not None:
            if not self.task.done():
                os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(DEADLINE_S):
                await self.task

    def _clean_up(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.asynccontextmanager
async def serving(listener: socket.socket, serve: Callable[[socket.socket], Awaitable[None]]) -> AsyncIterator[None]:
    """Serve one client after the other on a bound socket, which is closed at the end."""

    async def accept() -> None:
        while True:
            sock, _ = await asyncio.get_running_loop().sock_accept(listener)
            with sock, contextlib.suppress(ConnectionError):
                await serve(sock)

    with listener:
        listener.listen()
        listener.setblocking(False)
        accepting = asyncio.create_task(accept())
        try:
            yield
        finally:
            accepting.cancel()
            await asyncio.wait((accepting,))


def exists(path: str | Path) -> bool:
    return os.path.lexists(path)


def bound(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    return sock


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


@contextlib.asynccontextmanager
async def answering(path: Path, said: bytes, *, waits: bool = True) -> AsyncIterator[None]:
    """Serve what is no QEMU: it says something, and then waits for the client to leave, or hangs up."""

    async def serve(sock: socket.socket) -> None:
        await asyncio.get_running_loop().sock_sendall(sock, said)
        while waits and await asyncio.get_running_loop().sock_recv(sock, 4096):
            pass

    async with serving(bound(path), serve):
        yield


def proxy_ends(*arguments: str) -> tuple[int, str]:
    """Run `hmp-proxy` until it ends by itself; give its status and what it wrote to standard error."""
    ended = run_proxy(*arguments)
    return ended.returncode, ended.stderr


Scene = Callable[[FakeQEMU, RunningServer], Awaitable[None]]


def played(scene: Scene, fake: FakeQEMU | None = None, *options: str, audit: str | None = None) -> None:
    """Run a scene with a server in front of the fake, and see that nothing was written to the log that should not be."""

    async def run() -> None:
        async with fake or FakeQEMU(two_disks()) as qemu, RunningServer(f"unix:{qemu.path}", *options, audit=audit) as server:
            await scene(qemu, server)

    asyncio.run(run())
