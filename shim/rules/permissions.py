"""Ready-made rules: the roles of clients, what mode "enforce" adds, and which rules apply to one client.

A role comes after the operator's own rules and decides what they leave open. Mode "enforce" is a separate layer: a command has
to pass both it and the rules. For HMP it judges by names (shim/hmp/allowance.py); here is what it refuses of QMP, because a
client would get HMP, or the machine, in another way.

Whoever allows only queries has to know what a query does. Those of QEMU 5.2 to 11.1 were reviewed; of these and similar
commands, `read-only` has

* not `query-rx-filter`: it re-arms the event NIC_RX_FILTER_CHANGED, so one reader changes what the next one sees;
* not `query-sev-launch-measure` and `query-sev-attestation-report`: the host's security processor signs, and reveals secrets;
* not `info registers` (nor `x-query-registers`, should it come): it shows what the guest computes with, including keys;
* not `info profile` and `x-query-profile` (up to 8.0): they reset their counters to 0;
* not `info usbhost`: it opens the host's USB devices, which may take as long as a device likes;
* `info sync-profile`, `info jit` and the other `x-query-…`, which only count, and `x-debug-query-block-graph`, a query too;
* `qom-list`, which shows names only, but not `qom-get`, which reads any property, even that of a secret, and not
  `qom-list-types`, which loads every module;
* not `ringbuf-read`, which removes what it reads, and not `memsave`, `screendump` and `dump-guest-memory`, which write files.

Queries about disks (`query-block`, `query-blockstats`, `query-named-block-nodes`) ask the file system for sizes: on a network
file system that hangs they block QEMU, whoever sends them.
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
    """What a client may do if no rule decides: only query, also save and load snapshots, or everything."""

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

    rules: the operator's, in order. role: of all clients, except those of listeners with a role of their own. roles: these
    roles, by the listener's name (`Client.listener`).
    """

    rules: tuple["Rule", ...] = ()
    role: Role = Role.ALL
    roles: Mapping[str, Role] = field(default_factory=dict)

    def rules_for(self, client: Client, policy: Policy) -> "ClientRules | None":
        """Return the rules for one client's commands; None if all are allowed.

        policy: its mode and, for mode "enforce", what it allows.
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
        """Return the verdict on a client's HMP line; None if no rules apply to the client."""
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
    """Return the rules that mode "enforce" adds for QMP. For HMP it has a list of names (shim/hmp/allowance.py)."""
    from shim.rules.rules import Rule

    exempt = sorted(word for word in policy.allow if ":" in word)
    name = f"mode {policy.mode}"
    return Rule.allow("human-monitor-command", *exempt, name=name), Rule.deny("@monitor", "@exec", name=name)
