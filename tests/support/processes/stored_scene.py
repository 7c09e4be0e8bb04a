"""VM "a" of a process that leaves its VMs to a modelled service manager, which starts the next process with them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.fleet.service_manager import ServiceManager
from proxy.handover.stored import Stored
from proxy.handover.storing import Storing
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.fake_service_manager import FakeServiceManager
from tests.support.processes.running_daemon import run, table
from tests.support.processes.two_processes import Party
from tests.support.raw_client import RawClient

__all__ = ["Scene", "played", "reply", "scene", "works"]


@dataclass
class Scene:
    """A process that serves VM "a", whose listener is folder/a, and its service manager."""

    folder: Path
    qemu: FakeQEMU
    config: str
    manager: FakeServiceManager
    party: Party

    async def leave(self, **options: Any) -> dict[str, str]:
        """Have the process leave its VMs to the manager."""
        told = ServiceManager(self.manager.environment)
        try:
            why_not = await Storing(self.party.fleet, told).leave(None, **{"ends_others": False, **options})
        finally:
            told.close()
        return dict(why_not)

    async def upgrade(self, **options: Any) -> None:
        """Have the manager start another process after this one."""
        assert await self.leave(**options) == {}
        await self.party.ended()
        await self.begin()

    async def begin(self, *tables: str) -> None:
        """Begin another process."""
        told = ServiceManager(self.manager.environment)
        self.party = Party(self.folder, *(tables or [self.config]))
        stored = self.party.stored = Stored(self.manager.passed(), told, self.party.fleet.audit_logs.losses)
        await self.party.__aenter__()
        await told.has_heard()
        stored.close()
        told.close()

    async def client(self, path: Path | None = None, *, oob: bool = False) -> RawClient:
        client = await asyncio.to_thread(RawClient.connect, path or self.folder / "a")
        await asyncio.to_thread(client.negotiate, oob=oob)
        return client


@asynccontextmanager
async def scene(folder: Path, *lines: str, most: int = 100, config: str | None = None) -> AsyncIterator[Scene]:
    async with FakeQEMU(two_disks(), path=f"{folder}/q") as qemu:
        tables = config or table(qemu, folder / "a", *lines)
        with FakeServiceManager(folder / "n", most=most) as manager:
            played = Scene(folder, qemu, tables, manager, Party(folder, tables))
            await played.party.__aenter__()
            try:
                yield played
                assert manager.names == []
            finally:
                await played.party.__aexit__(None, None, None)


def played(folder: Path, main: Callable[[Scene], Awaitable[None]], *lines: str, **options: Any) -> None:
    async def play() -> None:
        async with scene(folder, *lines, **options) as one:
            await main(one)

    run(play)
    assert not (folder / "a").exists()


def reply(client: RawClient) -> Any:
    """Return the next one, whatever events come before it."""
    return json.loads(client.read_until_reply()[-1])


async def works(client: RawClient) -> bool:
    return "return" in await asyncio.to_thread(client.execute, "query-name")
