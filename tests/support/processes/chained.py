"""Proxies in a row in front of a modelled QEMU, each with a policy and an audit log of its own."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from host.net.addresses import UnixAddress
from host.settings.config import AuditSettings, VMConfig
from proxy.recording.audit_writer import AuditWriter
from proxy.vm_proxy import VMProxy
from shim.graph.policy import Policy
from tests.support.proxy.running_vm_proxy import until
from tests.support.raw_client import DEADLINE_S
from tests.support.routing.shared import a_shared

__all__ = ["Chain", "chained"]


class Chain:
    """The first proxy is the one at QEMU. path: the socket of the last one."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._logs: list[Path] = []

    def add(self, path: Path, log: Path) -> None:
        self.path = str(path)
        self._logs.append(log)

    def records(self, number: int) -> list[dict[str, Any]]:
        """Return the records of one proxy, from 0."""
        return [json.loads(line) for line in self._logs[number].read_text().splitlines()]


@asynccontextmanager
async def chained(upstream: str, *policies: Policy) -> AsyncIterator[Chain]:
    """Start a proxy for each policy, in front of the one before."""
    chain = Chain(upstream)
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as folder:
        async with AsyncExitStack() as stack:
            for number, policy in enumerate(policies):
                path, log = Path(folder, f"s{number}"), Path(folder, f"log{number}")
                await stack.enter_async_context(_serving(chain.path, path, log, policy))
                chain.add(path, log)
            yield chain


@asynccontextmanager
async def _serving(upstream: str, path: Path, log: Path, policy: Policy) -> AsyncIterator[None]:
    audit = await AuditWriter.open(AuditSettings(str(log)))
    config = VMConfig(UnixAddress(upstream), listen=(UnixAddress(str(path)),), name=path.name, policy=policy)
    server = VMProxy(config, audit, a_shared())
    task = asyncio.create_task(server.run(), name="VMProxy")
    try:
        await until(path.exists)
        yield
    finally:
        server.stop()
        async with asyncio.timeout(DEADLINE_S):
            await task
        await audit.close()
