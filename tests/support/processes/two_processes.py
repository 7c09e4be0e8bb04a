"""What are two processes of `hmp-proxy` otherwise, in the test's own loop: a fleet, and one that takes over from it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from host.configuration.config_file import load_config_file
from proxy.fleet.fleet import Fleet
from proxy.handover.giver import Giver
from proxy.handover.stored import Stored
from proxy.handover.taking import Taking, take_from
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import table, until
from tests.support.raw_client import DEADLINE_S, RawClient

__all__ = ["Party", "in_use"]


class Party:
    """A fleet as a process has it. Leaving the context stops it.

    takes: it replaces the one that waits at the meeting point; else it waits there itself. settles: wait until it is known of
    each VM whether it is served. given: the pids it has told of. stored: it begins with that instead.
    """

    def __init__(
        self, folder: Path, *tables: str, takes: bool = False, settles: bool = True, stored: Stored | None = None
    ) -> None:
        self.meeting_path = str(folder / "meet")
        path = folder / ("new.toml" if takes else "old.toml")
        path.write_text("".join(tables))
        self.fleet = Fleet(load_config_file(str(path)), forgives=True)
        self.names = sorted(self.fleet.wanted)
        self.takes, self.settles, self.stored = takes, settles, stored
        self.given: list[int | None] = []
        self.giver: Giver | None = None
        self.taking: Taking | None = None
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self.takes:
            self.fleet.taking = self.taking = await take_from(self.meeting_path, self.fleet.audit_logs.losses)
        elif self.stored is not None:
            self.fleet.taking = self.stored
        else:
            self.giver = Giver(self.meeting_path, self.fleet, self.given.append)
            self.giver.start()
        self.task = asyncio.create_task(self._run(), name="a process")
        await until(lambda: self.has_ended or not self.settles or self.fleet.settled.is_set())
        if self.fleet.taking is not None:
            await self.fleet.taking.end_others(self.fleet.wanted)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.fleet.stop()
        await self.ended()

    @property
    def has_ended(self) -> bool:
        return self.task is not None and self.task.done()

    async def ended(self) -> None:
        """Wait for its end; TimeoutError after the deadline."""
        assert self.task is not None
        async with asyncio.timeout(DEADLINE_S):
            await self.task

    def served(self) -> Sequence[str]:
        """Name the VMs whose QEMU is there."""
        return sorted(name for name, vm in self.fleet.by_key.items() if vm.is_connected)

    async def _run(self) -> None:
        try:
            await self.fleet.run()
        finally:
            if self.giver is not None:
                await self.giver.close()
            if self.taking is not None:
                await self.taking.close()


@asynccontextmanager
async def in_use(folder: Path) -> AsyncIterator[tuple[FakeQEMU, str, Party, RawClient]]:
    """Begin a process that serves VM "a". Yields its QEMU, its table, the process, and a client in command mode."""
    async with FakeQEMU(two_disks()) as qemu:
        config = table(qemu, folder / "a")
        async with Party(folder, config) as old:
            with await asyncio.to_thread(RawClient.connect, folder / "a") as client:
                await asyncio.to_thread(client.negotiate)
                yield qemu, config, old, client
