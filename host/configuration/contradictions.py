"""Settings of a VM, or of several, that contradict each other: the key of one of them, and what would be right.

Files and command lines are checked in the same way, after they have become a VMConfig.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields

from host.configuration.access_contradictions import contradiction_of_access
from host.net.addresses import StdioAddress, plain
from host.settings.config import STANDARD_OUTPUT, AuditSettings, VMConfig
from host.settings.listener import listener_name
from host.settings.settings import SETTINGS, Owner
from shim.graph.policy import Mode, Policy, PolicyKind, WhenFull

__all__ = ["audit_disagreement", "contradiction", "contradiction_without_sockets", "contradictions"]

_STDIO_IS_SERVED = "standard output belongs to the client on stdio; write a file, or syslog:"
_OF_FILES_ONLY = ("audit_sync", "audit_rotate_mib", "audit_rotate_hours", "audit_keep")


def contradiction(vm: VMConfig) -> tuple[str, str] | None:
    """Return the first contradiction: the key of one setting, and what would be right. None if there is none."""
    return next(contradictions(vm), None)


def contradictions(vm: VMConfig) -> Iterator[tuple[str, str]]:
    """Yield contradictions, the first of each kind."""
    for look in (contradiction_without_sockets, _contradiction_of_sockets, contradiction_of_access, _contradiction_of_rules):
        if (problem := look(vm)) is not None:
            yield problem


def contradiction_without_sockets(vm: VMConfig) -> tuple[str, str] | None:
    """Return the first contradiction that does not depend on which sockets there are."""
    policy = vm.policy
    if policy.kind is PolicyKind.HMP:
        for key in ("vmstate", "include", "exclude"):
            if getattr(policy, key):
                return key, 'policy "hmp" leaves the choice to HMP\'s rule; drop this, or use policy "auto"'
    both = [str(pattern) for pattern in policy.include if pattern in policy.exclude]
    if both:
        return "include", f"'{both[0]}' is excluded too; name it in only one of them"
    if policy.allow and policy.mode is not Mode.ENFORCE:
        return "allow", 'it works only in mode "enforce"; set that mode, or drop this'
    return _contradiction_of_limits(policy) or (None if vm.audit is None else _contradiction_of_audit(vm.audit, vm))


def audit_disagreement(vms: Sequence[VMConfig]) -> tuple[int, str, str] | None:
    """Return a VM whose log disagrees with an earlier VM's, or with a client on stdio: its index, a key, and why."""
    seen: dict[str, AuditSettings] = {}
    serves_stdio = any(StdioAddress() in vm.listeners for vm in vms)
    for number, audit in ((number, vm.audit) for number, vm in enumerate(vms) if vm.audit is not None):
        earlier = seen.setdefault(audit.destination, audit)
        for key, name in _audit_members():
            # These may differ: if one VM wants the log synchronous, it is so for all.
            if name != "sync" and getattr(earlier, name) != getattr(audit, name):
                return number, key, f"an earlier VM logs to '{audit.destination}' too, with another value; give both the same"
        if audit.destination == STANDARD_OUTPUT and serves_stdio:
            return number, "audit", _STDIO_IS_SERVED
    return None


def _contradiction_of_audit(audit: AuditSettings, vm: VMConfig) -> tuple[str, str] | None:
    defaults = {field.name: field.default for field in fields(AuditSettings)}
    wishes = [key for key, name in _audit_members() if getattr(audit, name) != defaults[name]]
    if not audit.destination:
        return wishes[0], "it needs audit, which says where the log is"
    for key in _OF_FILES_ONLY if not audit.is_file else ():
        if key in wishes:
            return key, f"it works only with a file, and the audit log goes to '{audit.destination}'"
    if "audit_keep" in wishes and audit.rotate_bytes is None and audit.rotate_age_s is None:
        return "audit_keep", "it needs audit_rotate_mib or audit_rotate_hours"
    if audit.destination == STANDARD_OUTPUT and StdioAddress() in vm.listeners:
        return "audit", _STDIO_IS_SERVED
    return None


def _contradiction_of_limits(policy: Policy) -> tuple[str, str] | None:
    deletes = policy.when_full is WhenFull.DELETE_OLDEST
    if deletes and not policy.max_snapshots:
        return "when_full", "it needs max_snapshots, which says how many there may be"
    if deletes and not policy.delete_prefix:
        return "when_full", '"delete-oldest" needs delete_prefix, which says what may be deleted'
    if policy.delete_prefix and not deletes:
        return "delete_prefix", 'it works only with when_full "delete-oldest"; set that, or drop this'
    return None


def _contradiction_of_sockets(vm: VMConfig) -> tuple[str, str] | None:
    if vm.take_over is not None and vm.attach is not None:
        return "attach", "it leaves QEMU's socket where it is, and take_over moves it aside; drop one of them"
    if vm.take_over is not None and vm.upstream != plain(vm.take_over):
        return "upstream", "take_over says where QEMU is; drop one of them"
    if vm.attach is not None and vm.upstream != vm.attach:
        return "upstream", "attach says where QEMU is; drop one of them"
    if not vm.listeners:
        return "listen", "say where the tools connect, or take over QEMU's socket"
    if vm.take_over is None and vm.upstream in map(plain, vm.listeners):
        return "listen", "it is QEMU's own socket; the proxy needs one of its own"
    if len(vm.listeners) > 1 and StdioAddress() in vm.listeners:
        return "listen", "stdio must be the only address: the proxy ends when that client leaves"
    return None


def _contradiction_of_rules(vm: VMConfig) -> tuple[str, str] | None:
    names = [listener_name(address) for address in vm.listeners]
    for number, rule in enumerate(vm.rules, 1):
        for listener in rule.whom.listeners:
            if listener not in names:
                return "rules", f"rule {number} is for '{listener}', which is not a listener here; there is {', '.join(names)}"
    return None


def _audit_members() -> Iterator[tuple[str, str]]:
    """Yield the keys of the audit log, and their members of AuditSettings."""
    return ((setting.key, setting.field) for setting in SETTINGS if setting.owner is Owner.AUDIT)
