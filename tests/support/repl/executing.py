"""An executor of the prompt on a modelled QEMU, with its audit log."""

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from host.audit_log.log import open_audit_log
from host.errors import AuditError
from host.intents import IntentStore
from host.net.addresses import UnixAddress
from host.settings.config import AuditFailure, AuditSettings
from repl.errors import LostError
from repl.executor import Executor
from repl.link import Link
from shim.client import Client
from shim.graph.policy import Policy
from tests.fakes.qemu import FakeQEMU
from tests.support.raw_client import DEADLINE_S

__all__ = ["ASKER", "Bench", "comparable", "executing", "played", "spelled"]

ASKER: Final = Client(pid=11, uid=22, exe="/usr/bin/hmp-repl")

# What differs between any two runs, wherever it stands in a record.
TIMELY: Final = frozenset(
    {
        *("time", "duration_ms", "after_ms", "stopped_ms", "return_bytes", "client", "vm"),
        # query-migrate's statistics of the save before (qapi/migration.json, MigrationInfo)
        *("ram", "downtime", "expected-downtime", "setup-time", "total-time"),
        # The prompt shows a failure to whoever typed, so nothing behind one is silent there.
        "after_failure",
    }
)
JOB_ID: Final = re.compile(r"hmp(?:shim|repl)-(?:[0-9a-f]{16}-)?[0-9a-f]{8}-\d+")
NODE_NAME: Final = re.compile(r"#block\d+")
TIMELY_TAG: Final = re.compile(r"vm-\d{14}")


@dataclass
class Bench:
    """An executor, what it complained of, and the connections that were lost. audit_path: "" for no audit log."""

    link: Link
    executor: Executor
    audit_path: str
    complaints: list[AuditError] = field(default_factory=list)
    losses: list[LostError] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in Path(self.audit_path).read_text().splitlines()]

    async def reconnect(self) -> None:
        await self.link.connect()
        await self.executor.learn()


@asynccontextmanager
async def executing(
    path: str,
    *,
    policy: Policy | None = None,
    name: str | None = None,
    audit: str | None = None,
    failure: AuditFailure = AuditFailure.CONTINUE,
    intents: IntentStore | None = None,
) -> AsyncIterator[Bench]:
    """Connect to this socket. audit: a file that is there; None makes one, "" writes none."""
    bench: Bench
    with tempfile.TemporaryDirectory(prefix="x", dir="/tmp") as folder:
        audit_path = f"{folder}/audit" if audit is None else audit
        log = open_audit_log(AuditSettings(audit_path, failure=failure)) if audit_path else None
        link = Link(
            UnixAddress(path),
            on_event=lambda event: bench.executor.take_event(event),
            on_lost=lambda loss: bench.losses.append(loss),
        )
        executor = Executor(
            link,
            policy or Policy(),
            ASKER,
            name=name,
            audit_log=log,
            complain=lambda exc: bench.complaints.append(exc),
            intents=intents,
            on_failure=lambda exc: bench.failures.append(exc),
        )
        bench = Bench(link, executor, audit_path)
        try:
            async with asyncio.timeout(DEADLINE_S):
                await bench.reconnect()
                yield bench
        finally:
            await link.close()
            if log is not None:
                log.close()


Scene: TypeAlias = Callable[[FakeQEMU, Bench], Awaitable[None]]


def played(scene: Scene, fake: FakeQEMU, **options: Any) -> None:
    """Run a scene with an executor that is connected to the fake."""

    async def run() -> None:
        async with fake as qemu, executing(qemu.path, **options) as bench:
            await scene(qemu, bench)

    asyncio.run(run())


def comparable(value: Any) -> Any:
    """Take out of a record what differs between any two runs."""
    match value:
        case dict():
            return {key: None if key in TIMELY else comparable(member) for key, member in value.items()}
        case list():
            return [comparable(member) for member in value]
        case str():
            return TIMELY_TAG.sub("vm-<time>", JOB_ID.sub("<job>", NODE_NAME.sub("#block<number>", value)))
    return value


def spelled(records: Sequence[dict[str, Any]]) -> list[str]:
    """The order of members counts too. What a connection asks once is left out: a proxy has asked it at its start."""
    asked_once = ("query-block", "query-replay", "query-jobs")
    kept = [{**record, "qmp": [one for one in record["qmp"] if one["execute"] not in asked_once]} for record in records]
    return [json.dumps(comparable(record), indent=1) for record in kept]
