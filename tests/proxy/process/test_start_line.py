"""What the log says once a process serves."""

from host.net.addresses import UnixAddress
from host.settings.config import VMConfig
from proxy.process.start_line import start_line
from shim.graph.policy import Mode, Policy, PolicyKind
from shim.version import VERSION


def a_vm(name: str, policy: Policy | None = None) -> VMConfig:
    return VMConfig(UnixAddress("/q"), name=name, policy=policy or Policy())


def test_each_vm_is_named_with_its_policy() -> None:
    observed = Policy(kind=PolicyKind.HMP, mode=Mode.OBSERVE)
    assert start_line([a_vm("a"), a_vm("b", observed), a_vm("c")], "VMs served: 3") == (
        f"hmpshim {VERSION}; VMs served: 3; policy auto, mode rewrite: a, c; policy hmp, mode observe: b"
    )


def test_very_many_are_counted() -> None:
    line = start_line([a_vm(f"v{number}") for number in range(1000)], "VMs served: 1000")
    assert line.endswith("v18, v19 and 980 more")
