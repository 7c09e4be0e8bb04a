"""What of a VM outlasts one connection to QEMU, and what outlasts its proxy, too."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from host.audit_log import AuditLog
from host.config import VMConfig
from host.ids import own_ids
from host.intents import IntentStore, intents_of
from proxy.relaying.counters import Counters
from proxy.relaying.leaving import Leaving
from proxy.relaying.ledger import Ledger
from proxy.relaying.pausing import Pausing
from proxy.routing.turns import Turns
from proxy.routing.vm_history import History
from shim.jobs import JOB_PREFIX

__all__ = ["Lasting", "Standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands as long as a VM is wanted, also where its proxy fails, or begins anew with other settings."""

    counters: Counters = field(default_factory=Counters)
    history: History = field(default_factory=History)
    pausing: Pausing = field(default_factory=Pausing)


@dataclass(frozen=True, slots=True)
class Lasting:
    """Each connection of a VM is served with the same of these.

    Attributes:
        intents: where it is written down what a savevm intends.
        own_prefix: what the ids of all jobs and commands of ours begin with, and no client knows.
        new_id: makes such ids.
        turns: of the VM's clients.
        ledger: that of the process.
        leaving: the clients that have gone and still read.
        audit_log: None if there is none.
        standing: what is known of the VM.
    """

    intents: IntentStore
    own_prefix: str
    new_id: Callable[[], str]
    turns: Turns
    ledger: Ledger
    leaving: Leaving
    audit_log: AuditLog | None
    standing: Standing = field(default_factory=Standing)

    @classmethod
    def of(cls, config: VMConfig, audit_log: AuditLog | None, ledger: Ledger, standing: Standing | None = None) -> Self:
        """Begin to serve a VM. standing: None if nothing is known of it yet."""
        standing = standing or Standing()
        leaving = Leaving(ledger, standing.counters)
        intents = intents_of(config.upstream)
        own_prefix = f"{JOB_PREFIX}{intents.token}-"
        turns = Turns(standing.pausing.pause)
        return cls(intents, own_prefix, own_ids(own_prefix), turns, ledger, leaving, audit_log, standing)
