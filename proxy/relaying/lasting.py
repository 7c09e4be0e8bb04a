"""What of a VM outlasts one connection to QEMU."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from host.audit_log import AuditLog
from host.config import VMConfig
from host.ids import own_ids
from host.intents import IntentStore, intents_of
from proxy.relaying.leaving import Leaving
from proxy.relaying.ledger import Ledger
from proxy.routing.turns import Turns
from shim.jobs import JOB_PREFIX

__all__ = ["Lasting"]


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
    """

    intents: IntentStore
    own_prefix: str
    new_id: Callable[[], str]
    turns: Turns
    ledger: Ledger
    leaving: Leaving
    audit_log: AuditLog | None

    @classmethod
    def of(cls, config: VMConfig, audit_log: AuditLog | None, ledger: Ledger) -> Self:
        """Begin to serve a VM."""
        intents = intents_of(config.upstream)
        own_prefix = f"{JOB_PREFIX}{intents.token}-"
        return cls(intents, own_prefix, own_ids(own_prefix), Turns(), ledger, Leaving(ledger), audit_log)
