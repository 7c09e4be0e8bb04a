"""What of a VM outlasts one connection to QEMU."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Self

from host.config import VMConfig
from host.ids import own_ids
from host.intents import IntentStore, intents_of
from proxy.recording.audit_writer import AuditWriter
from proxy.recording.disk_thread import DiskThread
from proxy.relaying.leaving import Leaving
from proxy.relaying.ledger import Ledger
from proxy.routing.turns import Turns
from shim.jobs import JOB_PREFIX

__all__ = ["Lasting", "Shared"]


@dataclass(frozen=True, slots=True)
class Shared:
    """What all VMs of a process have together.

    ledger: of what is queued. state: reads and writes what is kept for the next start.
    """

    ledger: Ledger
    state: DiskThread


@dataclass(frozen=True, slots=True)
class Lasting:
    """Each connection of a VM is served with the same of these.

    Attributes:
        intents: where it is written down what a savevm intends.
        own_prefix: what the ids of all jobs and commands of ours begin with, and no client knows.
        new_id: makes such ids.
        turns: of the VM's clients.
        shared: of the process.
        leaving: the clients that have gone and still read.
        audit: where records are written; None if nowhere.
    """

    intents: IntentStore
    own_prefix: str
    new_id: Callable[[], str]
    turns: Turns
    shared: Shared
    leaving: Leaving
    audit: AuditWriter | None

    @classmethod
    async def begin(cls, config: VMConfig, audit: AuditWriter | None, shared: Shared) -> Self:
        """Begin to serve a VM."""
        intents = await shared.state.run(partial(intents_of, config.upstream))
        own_prefix = f"{JOB_PREFIX}{intents.token}-"
        return cls(intents, own_prefix, own_ids(own_prefix), Turns(), shared, Leaving(shared.ledger), audit)
