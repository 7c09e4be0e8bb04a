"""What two VMs of a file cannot both have, as far as their values are right."""

from dataclasses import replace

from host.configuration.comparison import FoundVM, disagreements, had_twice
from host.net.addresses import SystemdAddress, UnixAddress
from host.settings.config import AuditSettings, VMConfig

FIRST = VMConfig(UnixAddress("/q"), (UnixAddress("/l"),), name="a")
SECOND = VMConfig(UnixAddress("/q2"), (UnixAddress("/l2"),))


def found(vm: VMConfig, *wrong: str) -> FoundVM:
    return FoundVM(vm, frozenset(wrong))


def twice(*vms: FoundVM) -> list[tuple[int, str, int | None]]:
    return [(vms.index(one), problem.key, problem.at) for one, problem in had_twice(vms)]


def test_all_that_is_had_twice_is_told_of_the_later_vm() -> None:
    assert twice(found(FIRST), found(SECOND)) == []
    other = VMConfig(FIRST.upstream, (UnixAddress("/k"), UnixAddress("/l", holds=True)), (UnixAddress("/k"),), name="a")
    problems = [(1, "upstream", None), (1, "listen", 1), (1, "hmp_listen", 0), (1, "name", None)]
    assert twice(found(FIRST), found(other)) == problems
    assert twice(found(FIRST), found(other, "listen", "name")) == [(1, "upstream", None)]
    assert twice(found(FIRST, "upstream", "name"), found(other)) == [(1, "listen", 1), (1, "hmp_listen", 0)]


def test_upstream_is_told_under_the_key_that_says_where_it_is() -> None:
    path = UnixAddress("/q")
    taken, attached = VMConfig(path, take_over=path), VMConfig(path, (UnixAddress("/m"),), attach=path)
    assert twice(found(FIRST), found(taken), found(attached)) == [(1, "take_over", None), (2, "attach", None)]


def test_systemd_takes_all_sockets_of_systemd() -> None:
    every = replace(FIRST, listen=(SystemdAddress(),))
    named = replace(SECOND, listen=(UnixAddress("/k"), SystemdAddress("b")))
    assert twice(found(named), found(every)) == [(0, "listen", 1)]
    assert twice(found(named), found(every, "listen")) == []


def test_logs_are_compared_as_far_as_they_are_right() -> None:
    first = replace(FIRST, audit=AuditSettings("/log", keep=1, rotate_bytes=1))
    second = replace(SECOND, audit=AuditSettings("/log", keep=2, rotate_bytes=1))
    nowhere = replace(SECOND, audit=AuditSettings(keep=3))

    def keys(*vms: FoundVM) -> list[str]:
        return [problem.key for _, problem in disagreements(vms)]

    assert keys(found(first), found(second)) == ["audit_keep"]
    assert keys(found(first, "audit_keep"), found(second)) == []
    assert keys(found(first), found(second, "audit")) == []
    assert keys(found(nowhere), found(replace(nowhere, audit=AuditSettings(keep=4)))) == []
