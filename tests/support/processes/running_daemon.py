"""A Daemon in the test's own loop on a configuration file, before modelled QEMUs."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pytest

from host.configuration.config_file import read_config_file
from proxy.command_line.invocations import ServeInvocation
from proxy.command_line.subcommands import parse_command_line
from proxy.control.status import VMStatus
from proxy.fleet.fleet import Fleet
from proxy.net.sockets import is_answered
from proxy.process.daemon import Daemon
from tests.fakes.qemu import FakeQEMU
from tests.support.raw_client import DEADLINE_S, RawClient

__all__ = ["RunningDaemon", "hmp", "records", "run", "statuses", "table", "until"]

RETRY_S: Final = 0.002


async def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds; TimeoutError after the deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - what is waited for may be another process's doing
            await asyncio.sleep(RETRY_S)


def statuses(fleet: Fleet) -> list[VMStatus]:
    """Return the status of each running VM, sorted by name."""
    return [vm.status() for vm in fleet.vms]


def table(qemu: FakeQEMU | str, listen: Path, *lines: str) -> str:
    """Return the [[vm]] table of a VM, named as its socket."""
    upstream = qemu if isinstance(qemu, str) else qemu.path
    first = f'[[vm]]\nname = "{listen.name}"\nupstream = "unix:{upstream}"\nlisten = "unix:{listen}"'
    return "\n".join([first, *lines]) + "\n"


class RunningDaemon:
    """A Daemon on a configuration file. Leaving the context stops it by SIGTERM.

    absent: names of VMs that are not waited for, beside those that wait themselves. options: of the command line.
    """

    def __init__(self, folder: Path, *tables: str, absent: Sequence[str] = (), options: Sequence[str] = ()) -> None:
        self.path = folder / "hmpshim.toml"
        self.path.write_text("".join(tables))
        invocation = parse_command_line(["--config", str(self.path), *options])
        assert isinstance(invocation, ServeInvocation)
        present = [vm for vm in read_config_file(str(self.path)).vms if not vm.wait and vm.name not in absent]
        self._listeners = [str(address).removeprefix("unix:") for vm in present for address in vm.listen]
        self.daemon = Daemon(invocation)
        self._is_stopped = False

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.daemon.run(), name="Daemon")
        await until(lambda: self.task.done() or all(map(is_answered, self._listeners)))
        if self.task.done():
            await self.task
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.task.done() and not self._is_stopped:
            self.stop()
        async with asyncio.timeout(DEADLINE_S):
            await self.task

    def stop(self) -> None:
        """Stop it, and do not wait for its end."""
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL, "it does not serve yet, and that would end the tests"
        self._is_stopped = True
        os.kill(os.getpid(), signal.SIGTERM)

    def status(self) -> Sequence[VMStatus]:
        """Return how its VMs are."""
        return statuses(self.daemon._fleet)

    async def read_again(self, caplog: pytest.LogCaptureFixture, *tables: str) -> list[str]:
        """Change the file, and give what the daemon says about it."""
        self.path.write_text("".join(tables))
        await until(lambda: not _announces())
        caplog.clear()
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: caplog.messages)
        return caplog.messages


def _announces() -> bool:
    """Tell whether it is still to be told that the daemon serves."""
    return any(task.get_name() == "announce" for task in asyncio.all_tasks())


async def hmp(path: Path, *command_lines: str) -> list[str]:
    """Run HMP commands as a new client."""

    def converse() -> list[str]:
        with RawClient.connect(path) as client:
            client.negotiate()
            return [client.hmp(line) for line in command_lines]

    return await asyncio.to_thread(converse)


def records(path: Path) -> list[dict[str, Any]]:
    """Read an audit log."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a test's coroutine."""
    asyncio.run(_awaited(main()))


async def _awaited(what: Awaitable[None]) -> None:
    await what
