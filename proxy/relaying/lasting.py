"""The state of a VM that outlasts one connection to QEMU (`Lasting`), and what outlasts even its proxy (`Standing`)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from host.audit_log.losses import LossesByLog
from host.ids import own_ids
from host.intents import IntentStore, intents_of
from host.settings.config import VMConfig
from proxy.fairness.ledger import Ledger
from proxy.fairness.visits import Visits
from proxy.recording.audit_writer import AuditWriter
from proxy.recording.disk_thread import DiskThread
from proxy.relaying.counters import Counters
from proxy.relaying.leaving import Leaving
from proxy.relaying.pausing import Pausing
from proxy.routing.turns import Turns
from proxy.routing.vm_history import History
from shim.plans.jobs import JOB_PREFIX
from shim.qmp import JSON

__all__ = ["Lasting", "Shared", "Standing"]


@dataclass(frozen=True, slots=True)
class Shared:
    """What all VMs of a process share.

    ledger: counts the bytes queued for clients. state: the thread that reads and writes the state kept on disk for the next
    start. visits: runs what can wait, VM by VM. losses: of the audit logs.
    """

    ledger: Ledger
    state: DiskThread
    visits: Visits = field(default_factory=Visits)
    losses: LossesByLog = field(default_factory=LossesByLog)


class Standing:
    """What is kept as long as a VM is wanted, even if its proxy fails or restarts with other settings."""

    __slots__ = ("_history", "counters", "pausing")

    def __init__(self, counters: Counters | None = None) -> None:
        self.counters = counters or Counters()
        self.pausing = Pausing()
        self._history: History | None = None

    @property
    def history(self) -> History:
        """What has become of the VM's commands. It is made when it is first needed."""
        if self._history is None:
            self._history = History()
        return self._history


@dataclass(frozen=True, slots=True)
class Lasting:
    """What all connections of a VM to QEMU are served with.

    Attributes:
        intents: the store in which each savevm's intent is written down.
        own_prefix: the prefix of the ids of all our jobs and commands, which no client knows.
        new_id: makes such ids.
        turns: the VM's, for all its clients.
        shared: what the VMs of the process share.
        leaving: the clients that have left but still read.
        audit: where records are written; None if nowhere.
        standing: what is kept as long as the VM is wanted.
    """

    intents: IntentStore
    own_prefix: str
    new_id: Callable[[], str]
    turns: Turns
    shared: Shared
    leaving: Leaving
    audit: AuditWriter | None
    standing: Standing = field(default_factory=Standing)

    @classmethod
    async def begin(
        cls,
        config: VMConfig,
        audit: AuditWriter | None,
        shared: Shared,
        standing: Standing | None = None,
        kept: Mapping[str, JSON] | None = None,
    ) -> Self:
        """Begin to serve a VM.

        standing: None if nothing is known of it yet. kept: the intents that another process has handed over
        (`IntentStore.to_members`), None if there was none.
        """
        standing = standing or Standing()
        intents = await shared.state.run(partial(intents_of, config.upstream))
        if kept is not None:
            intents.take_up(kept)
        own_prefix = f"{JOB_PREFIX}{intents.token}-"
        leaving = Leaving(shared.ledger, standing.counters, config.name_of("total_buffer_mib", "--total-buffer"))
        turns = Turns(standing.pausing.pause)
        return cls(intents, own_prefix, own_ids(own_prefix), turns, shared, leaving, audit, standing)
