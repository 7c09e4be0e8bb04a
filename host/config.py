"""What the proxy is told about one VM, from the command line or a file, and which wishes contradict each other."""

from dataclasses import dataclass, field

from host.addresses import Address, StdioAddress, UnixAddress
from shim.policy import Mode, Policy, PolicyKind

__all__ = ["CLIENT_BUFFER_MIB", "Origin", "VMConfig", "contradiction"]

# A client that lets this much wait is stuck: it is 80 replies to query-qmp-schema, or 160,000 events.
CLIENT_BUFFER_MIB = 16


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a VM's configuration stands: the nth [[vm]] table of a file."""

    path: str
    number: int


@dataclass(frozen=True, slots=True)
class VMConfig:
    """One VM.

    take_over: `upstream` is this socket, and clients come in by its path too.
    name: in the audit; None takes QEMU's own (`-name`), else the address.
    audit: a file; None writes no log. audit_sync: each record is on the disk before its command is answered.
    client_buffer_bytes: a client that leaves more unread is cut off.
    wait: if QEMU is not there at start, wait for it.
    origin: None for the command line.
    """

    upstream: Address
    listen: tuple[Address, ...] = ()
    take_over: UnixAddress | None = None
    name: str | None = None
    policy: Policy = field(default_factory=Policy)
    audit: str | None = None
    audit_sync: bool = False
    client_buffer_bytes: int = CLIENT_BUFFER_MIB * 1024 * 1024
    wait: bool = False
    origin: Origin | None = None

    @property
    def entrances(self) -> tuple[Address, ...]:
        """All addresses by which clients come in."""
        return self.listen if self.take_over is None else (*self.listen, self.take_over)


def contradiction(vm: VMConfig) -> tuple[str, str] | None:
    """Find two wishes that cannot both be meant: the key of one, and what would be right."""
    policy = vm.policy
    if policy.kind is PolicyKind.HMP:
        for key in ("vmstate", "include", "exclude"):
            if getattr(policy, key):
                return key, 'policy "hmp" leaves the choice to HMP\'s rule; drop this, or use policy "auto"'
    both = [str(pattern) for pattern in policy.include if pattern in policy.exclude]
    if both:
        return "include", f"'{both[0]}' is excluded too; name it in one of them"
    if policy.allow and policy.mode is not Mode.ENFORCE:
        return "allow", 'it has a meaning in mode "enforce" only'
    if vm.audit_sync and vm.audit is None:
        return "audit_sync", "it goes with audit, the file to write"
    return _contradiction_of_sockets(vm)


def _contradiction_of_sockets(vm: VMConfig) -> tuple[str, str] | None:
    if vm.take_over is not None and vm.upstream != vm.take_over:
        return "upstream", "take_over says where QEMU is; drop one of them"
    if not vm.entrances:
        return "listen", "say where the tools come in, or take QEMU's socket over"
    if vm.take_over is None and vm.upstream in vm.listen:
        return "listen", "it is QEMU's own socket; the proxy needs one of its own"
    if len(vm.entrances) > 1 and StdioAddress() in vm.listen:
        return "listen", "stdio stands alone: the proxy ends with that client"
    return None
