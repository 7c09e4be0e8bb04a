"""Ready-made rules: the roles of clients, what mode "enforce" adds, and which rules hold for one client.

A role is looked at after the operator's own rules, and decides what they leave open. Mode "enforce" is asked besides: what
passes the rules still has to pass it, and the other way round. Of HMP it judges by names (shim/hmp/allowance.py); here is what
it refuses of QMP, because a client would get HMP, or the machine, in another way.

Whoever allows nothing but queries has to know what a query does. Those of QEMU 5.2 to 11.1 were looked through, and these are
left out of `read-only`:

* `query-rx-filter` arms an event again, NIC_RX_FILTER_CHANGED, so a reader changes what the next one hears.
* `query-sev-launch-measure` and `query-sev-attestation-report` have the host's security processor sign, and tell its secrets.
* `info registers` (and `x-query-registers`, should it come) shows what the guest computes with, keys among it.
* `info profile` and `x-query-profile` (up to 8.0) set their counters back to 0.
* `info usbhost` opens the host's USB devices, which may take as long as a device likes.
* `info sync-profile`, `info jit` and the other `x-query-…` only count, and stay; `x-debug-query-block-graph` is a query too.
* `qom-get` reads any property, also that of a secret; `qom-list` tells names only. `qom-list-types` loads every module.
* `ringbuf-read` takes out what it reads, and `memsave`, `screendump` and `dump-guest-memory` write files.

Queries of disks (`query-block`, `query-blockstats`, `query-named-block-nodes`) ask the file system for sizes: on a network file
system that hangs they hold QEMU, as they do for everybody who may ask at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from shim.client import Client
from shim.graph.policy import Mode, Policy
from shim.hmp.line import HMPLine

if TYPE_CHECKING:  # a start without rules is quicker without them
    from shim.rules.rules import ClientRules, Rule, Verdict

__all__ = ["EVERYTHING", "Permissions", "Role"]


class Role(StrEnum):
    """What a client may do that no rule decides about: only ask, also save and load snapshots, or all."""

    READ_ONLY = "read-only"
    SNAPSHOTS = "snapshots"
    ALL = "all"


_LEFT_OUT: Final = (
    *("query-rx-filter", "query-sev-launch-measure", "query-sev-attestation-report", "x-query-profile", "x-query-registers"),
    *("human-monitor-command: info registers", "human-monitor-command: info profile", "human-monitor-command: info usbhost"),
)
_READ_ONLY: Final = (
    *("query-*", "x-query-*", "x-debug-query-block-graph", "xen-event-list", "trace-event-get-state", "x-accel-stats"),
    *("qom-list", "qom-list-properties", "device-list-properties", "qmp_capabilities"),
    *("__hmpshim_query-proxy", "__hmpshim_plan"),
    *("human-monitor-command: info *", "human-monitor-command: help *"),
)
_SNAPSHOTS: Final = (
    *("snapshot-save", "snapshot-load", "snapshot-delete", "job-dismiss", "stop", "cont"),
    *("human-monitor-command: savevm *", "human-monitor-command: loadvm *", "human-monitor-command: delvm *"),
    *("human-monitor-command: stop", "human-monitor-command: cont"),
)


@dataclass(frozen=True, slots=True)
class Permissions:
    """Who may send what.

    rules: the operator's, in their order. role: of all clients but those of listeners with a role of their own. roles: those,
    by the listener's name (`Client.listener`).
    """

    rules: tuple["Rule", ...] = ()
    role: Role = Role.ALL
    roles: Mapping[str, Role] = field(default_factory=dict)

    def rules_for(self, client: Client, policy: Policy) -> "ClientRules | None":
        """Return what decides about the commands of one client; None where all are allowed.

        policy: its mode, and what it allows in that.
        """
        if client.is_proxy:
            return None
        own = [rule for rule in self.rules if rule.whom.fits(client)]
        role = self.role if client.listener is None else self.roles.get(client.listener, self.role)
        denies = role is not Role.ALL or any(not rule.is_allowed for rule in own)
        if not denies and policy.mode is not Mode.ENFORCE:
            return None
        from shim.rules.rules import ClientRules  # here, because most proxies have no rules

        layers: list[Sequence[Rule]] = [(*own, *_rules_of_role(role))]
        if policy.mode is Mode.ENFORCE:
            layers.append(_rules_of_enforce(policy))
        return ClientRules(layers)

    def verdict_on(self, line: HMPLine, client: Client, policy: Policy) -> "Verdict | None":
        """Return what decides about an HMP line of a client, and how; None where it has no rules."""
        rules = self.rules_for(client, policy)
        return None if rules is None else rules.judge_line(line)


EVERYTHING: Final = Permissions()


def _rules_of_role(role: Role) -> Sequence["Rule"]:
    from shim.rules.rules import Rule

    if role is Role.ALL:
        return ()
    name = f"role {role}"
    allowed = _READ_ONLY if role is Role.READ_ONLY else (*_READ_ONLY, *_SNAPSHOTS)
    return Rule.deny(*_LEFT_OUT, name=name, is_literal=True), Rule.allow(*allowed, name=name), Rule.deny("*", name=name)


def _rules_of_enforce(policy: Policy) -> Sequence["Rule"]:
    """Return what mode "enforce" adds for QMP. HMP has its own list of names there."""
    from shim.rules.rules import Rule

    exempt = sorted(word for word in policy.allow if ":" in word)
    name = f"mode {policy.mode}"
    return Rule.allow("human-monitor-command", *exempt, name=name), Rule.deny("@monitor", "@exec", name=name)
