"""What of a VM outlasts one connection to QEMU, and what outlasts its proxy, too."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Self

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
    """What all VMs of a process have together.

    ledger: of what is queued. state: reads and writes what is kept for the next start. visits: what can wait, VM by VM.
    """

    ledger: Ledger
    state: DiskThread
    visits: Visits = field(default_factory=Visits)


class Standing:
    """What stands as long as a VM is wanted, also where its proxy fails, or begins anew with other settings."""

    __slots__ = ("_history", "counters", "pausing")

    def __init__(self, counters: Counters | None = None) -> None:
        self.counters = counters or Counters()
        self.pausing = Pausing()
        self._history: History | None = None

    @property
    def history(self) -> History:
        """What has become of the commands, made when somebody needs it."""
        if self._history is None:
            self._history = History()
        return self._history


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
        standing: what is known of the VM.
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

        standing: None if nothing is known of it yet. kept: what another process has kept for it (`IntentStore.to_members`).
        """
        standing = standing or Standing()
        intents = await shared.state.run(partial(intents_of, config.upstream))
        if kept is not None:
            intents.take_up(kept)
        own_prefix = f"{JOB_PREFIX}{intents.token}-"
        leaving = Leaving(shared.ledger, standing.counters)
        turns = Turns(standing.pausing.pause)
        return cls(intents, own_prefix, own_ids(own_prefix), turns, shared, leaving, audit, standing)
