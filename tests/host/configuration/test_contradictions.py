"""Which wishes for a VM contradict each other, and which of several VMs."""

from dataclasses import replace
from typing import Any

import pytest

from host.configuration.contradictions import audit_disagreements, contradictions, contradictions_without_sockets
from host.net.addresses import DescriptorAddress, StdioAddress, SystemdAddress, TCPAddress, UnixAddress
from host.settings.config import AuditFailure, AuditSettings, VMConfig
from shim.graph.policy import Mode, Overwrite, Policy, PolicyKind, WhenFull
from shim.records.confidential import Confidential
from tests.support.shim.graphs import patterns

QEMU = UnixAddress("/run/qmp")
TOOLS = UnixAddress("/run/legacy")
OTHER = UnixAddress("/run/other")
LEFT_TO_HMP = 'policy "hmp" leaves the choice to HMP\'s rule; drop this, or use policy "auto"'
NOWHERE = "it needs audit, which says where the log is"
DELETES = Policy(when_full=WhenFull.DELETE_OLDEST, delete_prefix="auto-")
STDIO_IS_SERVED = "standard output belongs to the client on stdio; write a file, or syslog:"


def vm(policy: Policy | None = None, *, audit: AuditSettings | None = None) -> VMConfig:
    return VMConfig(QEMU, (TOOLS,), policy=policy or Policy(), audit=audit)


def logging(destination: str = "", **members: Any) -> VMConfig:
    return vm(audit=AuditSettings(destination, **members))


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (vm(Policy(PolicyKind.HMP, vmstate=patterns("a"))), ("vmstate", LEFT_TO_HMP)),
        (vm(Policy(PolicyKind.HMP, include=patterns("a"))), ("include", LEFT_TO_HMP)),
        (vm(Policy(PolicyKind.HMP, exclude=patterns("a"))), ("exclude", LEFT_TO_HMP)),
        (
            vm(Policy(include=patterns("b", "node:a"), exclude=patterns("node:a", "c"))),
            ("include", "'node:a' is excluded too; name it in only one of them"),
        ),
        (vm(Policy(allow=frozenset({"help"}))), ("allow", 'it works only in mode "enforce"; set that mode, or drop this')),
        (
            vm(Policy(mode=Mode.OBSERVE, allow=frozenset({"help"}))),
            ("allow", 'it works only in mode "enforce"; set that mode, or drop this'),
        ),
        (logging(sync=True), ("audit_sync", NOWHERE)),
        (logging(failure=AuditFailure.REFUSE), ("audit_failure", NOWHERE)),
        (logging(redact=frozenset({Confidential.TAGS})), ("audit_redact", NOWHERE)),
        (logging(rotate_bytes=1), ("audit_rotate_mib", NOWHERE)),
        (logging(rotate_age_s=1), ("audit_rotate_hours", NOWHERE)),
        (logging(keep=1), ("audit_keep", NOWHERE)),
        (logging(key="/key"), ("audit_key", NOWHERE)),
        (logging("/log", keep=1), ("audit_keep", "it needs audit_rotate_mib or audit_rotate_hours")),
        (logging("-", sync=True), ("audit_sync", "it works only with a file, and the audit log goes to '-'")),
        (
            logging("syslog:", rotate_bytes=1),
            ("audit_rotate_mib", "it works only with a file, and the audit log goes to 'syslog:'"),
        ),
        (
            logging("syslog:", rotate_age_s=1),
            ("audit_rotate_hours", "it works only with a file, and the audit log goes to 'syslog:'"),
        ),
        (logging("-", keep=1), ("audit_keep", "it works only with a file, and the audit log goes to '-'")),
        (VMConfig(QEMU, (StdioAddress(),), audit=AuditSettings("-")), ("audit", STDIO_IS_SERVED)),
        (vm(DELETES), ("when_full", "it needs max_snapshots, which says how many there may be")),
        (
            vm(Policy(max_snapshots=1, when_full=WhenFull.DELETE_OLDEST)),
            ("when_full", '"delete-oldest" needs delete_prefix, which says what may be deleted'),
        ),
        (
            vm(Policy(max_snapshots=1, delete_prefix="a")),
            ("delete_prefix", 'it works only with when_full "delete-oldest"; set that, or drop this'),
        ),
        (VMConfig(QEMU, take_over=OTHER), ("upstream", "take_over says where QEMU is; drop one of them")),
        (VMConfig(QEMU, (TOOLS,), attach=OTHER), ("upstream", "attach says where QEMU is; drop one of them")),
        (
            VMConfig(QEMU, attach=OTHER, take_over=QEMU),
            ("attach", "it leaves QEMU's socket where it is, and take_over moves it aside; drop one of them"),
        ),
        (VMConfig(QEMU), ("listen", "say where the tools connect, or take over QEMU's socket")),
        (
            VMConfig(QEMU, (UnixAddress(QEMU.path, holds=True),)),
            ("listen", "it is QEMU's own socket; the proxy needs one of its own"),
        ),
        (VMConfig(QEMU, (TOOLS, QEMU)), ("listen", "it is QEMU's own socket; the proxy needs one of its own")),
        (
            VMConfig(QEMU, (StdioAddress(), TOOLS)),
            ("listen", "stdio must be the only address: the proxy ends when that client leaves"),
        ),
        (
            VMConfig(QEMU, (StdioAddress(),), take_over=QEMU),
            ("listen", "stdio must be the only address: the proxy ends when that client leaves"),
        ),
        (VMConfig(QEMU, (TOOLS,), upstream_tls_key="/k"), ("upstream_tls_key", "it needs upstream_tls_ca")),
    ],
)
def test_contradictions(config: VMConfig, problem: tuple[str, str]) -> None:
    first = next(contradictions(config))
    assert (first.key, first.reason) == problem


@pytest.mark.parametrize(
    "config",
    [
        vm(),
        vm(Policy(PolicyKind.HMP, overwrite=Overwrite.REFUSE, guard=False, mode=Mode.OBSERVE)),
        vm(Policy(vmstate=patterns("a"), include=patterns("a"), exclude=patterns("node:a"))),
        vm(Policy(vmstate=patterns("a"), exclude=patterns("a"))),
        vm(Policy(mode=Mode.ENFORCE)),
        vm(replace(DELETES, max_snapshots=1)),
        vm(Policy(max_snapshots=1, protect=frozenset({"a"}), protect_load=frozenset({"a"}), check_space=True)),
        vm(Policy(mode=Mode.ENFORCE, allow=frozenset({"info block"}))),
        logging("/log", sync=True, rotate_bytes=1, keep=1),
        logging("/log", rotate_age_s=1, keep=1),
        logging("-", failure=AuditFailure.REFUSE, redact=frozenset(Confidential)),
        logging("syslog:/run/log", failure=AuditFailure.REFUSE),
        VMConfig(QEMU, (StdioAddress(),), audit=AuditSettings("syslog:")),
        VMConfig(QEMU, take_over=QEMU),
        VMConfig(QEMU, (TOOLS,), attach=QEMU),
        VMConfig(QEMU, (TOOLS, OTHER), take_over=QEMU),
        VMConfig(QEMU, (StdioAddress(),)),
        VMConfig(QEMU, (SystemdAddress(),)),
        VMConfig(DescriptorAddress(3), (DescriptorAddress(4), TCPAddress("::1", 1))),
    ],
)
def test_what_goes_together(config: VMConfig) -> None:
    assert list(contradictions(config)) == []


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (vm(Policy(PolicyKind.HMP, vmstate=patterns("a"))), ("vmstate", LEFT_TO_HMP)),
        (logging(sync=True), ("audit_sync", NOWHERE)),
        # What sockets have to do with is not looked at.
        (replace(vm(), listen=()), None),
        (replace(vm(), listen=(QEMU,)), None),
    ],
)
def test_contradictions_where_no_socket_is_known_yet(config: VMConfig, problem: tuple[str, str] | None) -> None:
    told = [(one.key, one.reason) for one in contradictions_without_sockets(config)]
    assert told == ([] if problem is None else [problem])


def test_all_problems_are_told_each_with_the_settings_that_take_part() -> None:
    policy = Policy(
        PolicyKind.HMP,
        include=patterns("a"),
        exclude=patterns("a"),
        allow=frozenset({"help"}),
        when_full=WhenFull.DELETE_OLDEST,
    )
    found = contradictions(VMConfig(QEMU, policy=policy, audit=AuditSettings(sync=True, keep=1), upstream_tls_key="/k"))
    assert [(one.key, *one.others) for one in found] == [
        ("include", "policy"),
        ("exclude", "policy"),
        ("allow", "mode"),
        ("when_full", "max_snapshots"),
        ("when_full", "delete_prefix"),
        ("audit_sync", "audit"),
        ("audit_keep", "audit"),
        ("audit_keep", "audit", "audit_rotate_mib", "audit_rotate_hours"),
        ("listen", "listen", "hmp_listen", "take_over"),
        ("upstream_tls_key", "upstream_tls_ca"),
    ]


def test_problem_in_a_list_has_the_index_of_its_element() -> None:
    policy = Policy(include=patterns("a", "b", "c"), exclude=patterns("c", "b"))
    config = VMConfig(QEMU, (TOOLS, QEMU), hmp_listen=(StdioAddress(),), policy=policy)
    assert [(one.key, one.at) for one in contradictions(config)] == [
        ("include", 1),
        ("include", 2),
        ("listen", 1),
        ("hmp_listen", 0),
    ]


# -- several VMs --------------------------------------------------------------------------------------------------------


def disagreements(*vms: VMConfig) -> list[tuple[int, int, str, str]]:
    return [(number, other, one.key, one.reason) for number, other, one in audit_disagreements(vms)]


@pytest.mark.parametrize(
    ("members", "key"),
    [
        ({"failure": AuditFailure.REFUSE}, "audit_failure"),
        ({"redact": frozenset({Confidential.TAGS})}, "audit_redact"),
        ({"rotate_bytes": 2}, "audit_rotate_mib"),
        ({"rotate_age_s": 2}, "audit_rotate_hours"),
        ({"keep": 2}, "audit_keep"),
        ({"key": "/other"}, "audit_key"),
    ],
)
def test_vms_that_share_a_log_agree_about_it(members: dict[str, Any], key: str) -> None:
    first, second = logging("/log", rotate_bytes=1), logging("/log", **{"rotate_bytes": 1, **members})
    reason = "an earlier VM logs to '/log' too, with another value; give both the same"
    assert disagreements(first, vm(), second) == [(2, 0, key, reason)]
    assert disagreements(first, first, vm()) == []
    assert disagreements(first, logging("/other", **members)) == []


def test_one_vm_may_want_a_shared_log_synchronous() -> None:
    assert disagreements(logging("/log", sync=True), logging("/log")) == []


def test_standard_output_is_one_thing_only() -> None:
    served = VMConfig(OTHER, (StdioAddress(),))
    assert disagreements(logging("-"), logging("-")) == []
    assert disagreements(logging("-"), served) == [(0, 1, "audit", STDIO_IS_SERVED)]
    assert disagreements(logging("/log"), served) == []
