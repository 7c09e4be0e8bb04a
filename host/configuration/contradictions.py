"""Settings of a VM, or of several, that contradict each other: the key of one of them, and what would be right.

Files and command lines are checked in the same way, after they have become a VMConfig.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields

from host.configuration.access_contradictions import access_contradictions
from host.configuration.contradiction import Contradiction, key_of_listener
from host.net.addresses import StdioAddress, plain
from host.settings.config import AUDIT_KEEP, STANDARD_OUTPUT, AuditSettings, VMConfig
from host.settings.listener import listener_name
from host.settings.settings import SETTINGS, Owner
from shim.graph.policy import Mode, Policy, PolicyKind, WhenFull

__all__ = ["audit_disagreements", "contradictions", "contradictions_without_sockets"]

_STDIO_IS_SERVED = "standard output belongs to the client on stdio; write a file, or syslog:"
_OF_FILES_ONLY = ("audit_sync", "audit_rotate_mib", "audit_rotate_hours", "audit_keep")
_LISTENERS = ("listen", "hmp_listen", "take_over")


def contradictions(vm: VMConfig) -> Iterator[Contradiction]:
    """Yield all contradictions."""
    yield from contradictions_without_sockets(vm)
    yield from _of_sockets(vm)
    yield from access_contradictions(vm)
    yield from _of_rules(vm)


def contradictions_without_sockets(vm: VMConfig) -> Iterator[Contradiction]:
    """Yield the contradictions that do not depend on which sockets there are."""
    yield from _of_disks(vm.policy)
    if vm.policy.allow and vm.policy.mode is not Mode.ENFORCE:
        yield Contradiction("allow", 'it works only in mode "enforce"; set that mode, or drop this', ("mode",))
    yield from _of_limits(vm.policy)
    if vm.audit is not None:
        yield from _of_audit(vm.audit, vm)


def audit_disagreements(vms: Sequence[VMConfig]) -> Iterator[tuple[int, int, Contradiction]]:
    """Yield each audit setting in which a VM's log disagrees with an earlier VM's, or with a client on stdio.

    That is the index of the VM, the index of the other one, and the contradiction.
    """
    seen: dict[str, tuple[int, AuditSettings]] = {}
    on_stdio = next((number for number, vm in enumerate(vms) if StdioAddress() in vm.listeners), None)
    for number, audit in ((number, vm.audit) for number, vm in enumerate(vms) if vm.audit is not None):
        if not audit.destination:
            continue
        first, earlier = seen.setdefault(audit.destination, (number, audit))
        for key, name in _audit_members() if earlier != audit else ():
            # These may differ: if one VM wants the log synchronous, it is so for all.
            if name != "sync" and getattr(earlier, name) != getattr(audit, name):
                reason = f"an earlier VM logs to '{audit.destination}' too, with another value; give both the same"
                yield number, first, Contradiction(key, reason, ("audit",))
        if audit.destination == STANDARD_OUTPUT and on_stdio is not None and on_stdio != number:
            yield number, on_stdio, Contradiction("audit", _STDIO_IS_SERVED, ("listen", "hmp_listen"))


def _of_disks(policy: Policy) -> Iterator[Contradiction]:
    if policy.kind is PolicyKind.HMP:
        for key in ("vmstate", "include", "exclude"):
            if getattr(policy, key):
                reason = 'policy "hmp" leaves the choice to HMP\'s rule; drop this, or use policy "auto"'
                yield Contradiction(key, reason, ("policy",))
        return
    for at, pattern in enumerate(policy.include):
        if pattern in policy.exclude:
            yield Contradiction("include", f"'{pattern}' is excluded too; name it in only one of them", ("exclude",), at)


def _of_limits(policy: Policy) -> Iterator[Contradiction]:
    deletes = policy.when_full is WhenFull.DELETE_OLDEST
    if deletes and not policy.max_snapshots:
        yield Contradiction("when_full", "it needs max_snapshots, which says how many there may be", ("max_snapshots",))
    if deletes and not policy.delete_prefix:
        reason = '"delete-oldest" needs delete_prefix, which says what may be deleted'
        yield Contradiction("when_full", reason, ("delete_prefix",))
    if policy.delete_prefix and not deletes:
        reason = 'it works only with when_full "delete-oldest"; set that, or drop this'
        yield Contradiction("delete_prefix", reason, ("when_full",))


def _of_audit(audit: AuditSettings, vm: VMConfig) -> Iterator[Contradiction]:
    for key in _audit_wishes(audit):
        if not audit.destination:
            yield Contradiction(key, "it needs audit, which says where the log is", ("audit",))
        elif key in _OF_FILES_ONLY and not audit.is_file:
            reason = f"it works only with a file, and the audit log goes to '{audit.destination}'"
            yield Contradiction(key, reason, ("audit",))
    if audit.keep != AUDIT_KEEP and audit.rotate_bytes is None and audit.rotate_age_s is None and audit.is_file:
        rotation = ("audit_rotate_mib", "audit_rotate_hours")
        yield Contradiction("audit_keep", f"it needs {' or '.join(rotation)}", ("audit", *rotation))
    if audit.destination == STANDARD_OUTPUT and StdioAddress() in vm.listeners:
        yield Contradiction("audit", _STDIO_IS_SERVED, ("listen", "hmp_listen"))


def _of_sockets(vm: VMConfig) -> Iterator[Contradiction]:
    yield from _of_qemus_socket(vm)
    if not vm.listeners:
        yield Contradiction("listen", "say where the tools connect, or take over QEMU's socket", _LISTENERS)
    for address in vm.listeners if vm.take_over is None else ():
        if plain(address) == vm.upstream:
            key, at = key_of_listener(vm, address)
            yield Contradiction(key, "it is QEMU's own socket; the proxy needs one of its own", ("upstream", *_LISTENERS), at)
    if len(vm.listeners) > 1 and StdioAddress() in vm.listeners:
        key, at = key_of_listener(vm, StdioAddress())
        yield Contradiction(key, "stdio must be the only address: the proxy ends when that client leaves", _LISTENERS, at)


def _of_qemus_socket(vm: VMConfig) -> Iterator[Contradiction]:
    if vm.take_over is not None and vm.attach is not None:
        reason = "it leaves QEMU's socket where it is, and take_over moves it aside; drop one of them"
        yield Contradiction("attach", reason, ("take_over",))
    elif vm.take_over is not None and vm.upstream != plain(vm.take_over):
        yield Contradiction("upstream", "take_over says where QEMU is; drop one of them", ("take_over",))
    elif vm.attach is not None and vm.upstream != vm.attach:
        yield Contradiction("upstream", "attach says where QEMU is; drop one of them", ("attach",))


def _of_rules(vm: VMConfig) -> Iterator[Contradiction]:
    names = [listener_name(address) for address in vm.listeners] if vm.rules else []
    for at, rule in enumerate(vm.rules):
        for listener in rule.whom.listeners:
            if listener not in names:
                there = f"there is {', '.join(names)}"
                reason = f"rule {at + 1} is for '{listener}', which is not a listener here; {there}"
                yield Contradiction("rules", reason, _LISTENERS, at)


def _audit_wishes(audit: AuditSettings) -> Iterator[str]:
    """Yield the keys of what is not as it is by default, but for the destination."""
    defaults = {field.name: field.default for field in fields(AuditSettings)}
    for key, name in _audit_members():
        if name != "destination" and getattr(audit, name) != defaults[name]:
            yield key


def _audit_members() -> Iterator[tuple[str, str]]:
    """Yield the keys of the audit log, and their members of AuditSettings."""
    return ((setting.key, setting.field) for setting in SETTINGS if setting.owner is Owner.AUDIT)
