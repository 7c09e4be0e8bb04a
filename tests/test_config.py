"""Which wishes for a VM contradict each other."""

import pytest

from host.addresses import Address, DescriptorAddress, StdioAddress, SystemdAddress, TCPAddress, UnixAddress
from host.config import CLIENT_BUFFER_MIB, VMConfig, contradiction
from shim.policy import Mode, Overwrite, Policy, PolicyKind
from tests.graphs import patterns

QEMU = UnixAddress("/run/qmp")
TOOLS = UnixAddress("/run/legacy")
OTHER = UnixAddress("/run/other")
LEFT_TO_HMP = 'policy "hmp" leaves the choice to HMP\'s rule; drop this, or use policy "auto"'


def vm(policy: Policy | None = None, *, audit: str | None = None, audit_sync: bool = False) -> VMConfig:
    return VMConfig(QEMU, (TOOLS,), policy=policy or Policy(), audit=audit, audit_sync=audit_sync)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (vm(Policy(PolicyKind.HMP, vmstate=patterns("a"))), ("vmstate", LEFT_TO_HMP)),
        (vm(Policy(PolicyKind.HMP, include=patterns("a"))), ("include", LEFT_TO_HMP)),
        (vm(Policy(PolicyKind.HMP, exclude=patterns("a"))), ("exclude", LEFT_TO_HMP)),
        (
            vm(Policy(include=patterns("b", "node:a"), exclude=patterns("node:a", "c"))),
            ("include", "'node:a' is excluded too; name it in one of them"),
        ),
        (vm(Policy(allow=frozenset({"help"}))), ("allow", 'it has a meaning in mode "enforce" only')),
        (vm(Policy(mode=Mode.OBSERVE, allow=frozenset({"help"}))), ("allow", 'it has a meaning in mode "enforce" only')),
        (vm(audit_sync=True), ("audit_sync", "it goes with audit, the file to write")),
        (VMConfig(QEMU, take_over=OTHER), ("upstream", "take_over says where QEMU is; drop one of them")),
        (VMConfig(QEMU), ("listen", "say where the tools come in, or take QEMU's socket over")),
        (VMConfig(QEMU, (TOOLS, QEMU)), ("listen", "it is QEMU's own socket; the proxy needs one of its own")),
        (VMConfig(QEMU, (StdioAddress(), TOOLS)), ("listen", "stdio stands alone: the proxy ends with that client")),
        (
            VMConfig(QEMU, (StdioAddress(),), take_over=QEMU),
            ("listen", "stdio stands alone: the proxy ends with that client"),
        ),
    ],
)
def test_contradictions(config: VMConfig, problem: tuple[str, str]) -> None:
    assert contradiction(config) == problem


@pytest.mark.parametrize(
    "config",
    [
        vm(),
        vm(Policy(PolicyKind.HMP, overwrite=Overwrite.REFUSE, guard=False, mode=Mode.OBSERVE)),
        vm(Policy(vmstate=patterns("a"), include=patterns("a"), exclude=patterns("node:a"))),
        vm(Policy(vmstate=patterns("a"), exclude=patterns("a"))),
        vm(Policy(mode=Mode.ENFORCE)),
        vm(Policy(mode=Mode.ENFORCE, allow=frozenset({"info block"}))),
        vm(audit="/log", audit_sync=True),
        VMConfig(QEMU, take_over=QEMU),
        VMConfig(QEMU, (TOOLS, OTHER), take_over=QEMU),
        VMConfig(QEMU, (StdioAddress(),)),
        VMConfig(QEMU, (SystemdAddress(),)),
        VMConfig(DescriptorAddress(3), (DescriptorAddress(4), TCPAddress("::1", 1))),
    ],
)
def test_what_goes_together(config: VMConfig) -> None:
    assert contradiction(config) is None


def test_first_problem_is_the_one_that_is_told() -> None:
    policy = Policy(PolicyKind.HMP, include=patterns("a"), exclude=patterns("a"), allow=frozenset({"help"}))
    assert contradiction(VMConfig(QEMU, policy=policy)) == ("include", LEFT_TO_HMP)


@pytest.mark.parametrize(
    ("config", "entrances"),
    [
        (VMConfig(QEMU, (TOOLS, OTHER)), (TOOLS, OTHER)),
        (VMConfig(QEMU, take_over=QEMU), (QEMU,)),
        (VMConfig(QEMU, (TOOLS,), take_over=QEMU), (TOOLS, QEMU)),
    ],
)
def test_entrances(config: VMConfig, entrances: tuple[Address, ...]) -> None:
    assert config.entrances == entrances


def test_defaults() -> None:
    config = VMConfig(QEMU)
    assert config.policy == Policy()
    assert config.client_buffer_bytes == CLIENT_BUFFER_MIB * 1024 * 1024 == 16 * 1024 * 1024
    assert (config.name, config.audit, config.audit_sync, config.wait, config.origin) == (None, None, False, False, None)
