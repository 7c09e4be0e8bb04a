"""What each change of a VM's settings needs."""

from dataclasses import fields, replace
from typing import Any

import pytest

from host.net.addresses import AcceptAddress, DescriptorAddress, StdioAddress, UnixAddress
from host.settings.config import AuditSettings, Origin, VMConfig
from host.settings.listener import ErrorStyle, Listener, Terms, listener_name
from proxy.needs import NEEDS, Need, describe, needs, unbound
from shim.graph.policy import Policy
from shim.rules.permissions import Role
from shim.rules.rules import Rule, Whom

QEMU, FIRST, SECOND = UnixAddress("/q"), UnixAddress("/a"), UnixAddress("/b")
RUNNING = VMConfig(QEMU, (FIRST,))


def test_each_member_is_classified() -> None:
    assert set(NEEDS) == {field.name for field in fields(VMConfig)}


@pytest.mark.parametrize(
    ("changed", "needed", "told"),
    [
        ({}, set(), ""),
        ({"origin": Origin("/f", 3)}, set(), ""),
        ({"own_listeners": (Listener(FIRST, Terms()),)}, set(), ""),
        ({"policy": Policy(max_snapshots=3)}, {Need.POLICY}, ""),
        ({"terms": Terms(role=Role.READ_ONLY)}, {Need.LISTENERS, Need.POLICY}, ""),
        ({"terms": Terms(errors=ErrorStyle.QMP)}, {Need.LISTENERS}, "errors"),
        ({"own_listeners": (Listener(FIRST, Terms(socket_mode=0o666)),)}, {Need.LISTENERS}, "socket_mode"),
        ({"listen": (FIRST, SECOND)}, {Need.LISTENERS}, "listen"),
        ({"hmp_listen": (SECOND,), "max_clients": 3}, {Need.LISTENERS, Need.CLIENTS}, "hmp_listen, max_clients"),
        ({"listen": (DescriptorAddress(5),)}, {Need.LISTENERS, Need.CONNECTION}, "listen"),
        ({"listen": (StdioAddress(),)}, {Need.LISTENERS, Need.CONNECTION}, "listen"),
        ({"audit": AuditSettings("/log")}, {Need.LOG}, "audit"),
        ({"name": "vm"}, {Need.NAME}, "name"),
        ({"client_buffer_bytes": 1}, {Need.CLIENTS}, "client_buffer_mib"),
        ({"stop_timeout_s": 1.0, "wait": True, "is_strict": True}, {Need.NOTHING}, "stop_timeout"),
        ({"upstream": SECOND}, {Need.CONNECTION}, "upstream"),
        ({"take_over": QEMU}, {Need.CONNECTION}, "take_over"),
        ({"upstream_tls_ca": "/ca"}, {Need.CONNECTION}, "upstream_tls_ca"),
    ],
)
def test_what_a_change_needs(changed: dict[str, Any], needed: set[Need], told: str) -> None:
    other = replace(RUNNING, **changed)
    assert needs(RUNNING, other) == needed
    assert describe(RUNNING, other) == (told and f"changed while it is served: {told}")


def test_socket_for_a_qemu_that_comes_to_us_is_made_with_its_access() -> None:
    running = replace(RUNNING, upstream=AcceptAddress(QEMU))
    other = replace(running, terms=Terms(socket_mode=0o660))
    assert needs(running, other) == {Need.LISTENERS, Need.CONNECTION}


def test_clients_of_a_listener_that_goes_stay_unless_its_bounds_go_with_it() -> None:
    other = replace(RUNNING, listen=(SECOND,))
    assert unbound(RUNNING, other) == set()
    name = listener_name(FIRST)
    ruled = replace(RUNNING, rules=(Rule.deny("stop", whom=Whom(listeners=(name,))),))
    assert unbound(ruled, other) == {name}
    bounded = replace(RUNNING, own_listeners=(Listener(FIRST, Terms(role=Role.READ_ONLY)),))
    assert unbound(bounded, other) == {name}
    assert unbound(bounded, replace(bounded, max_clients=3)) == set()
    # Another way with clients while QEMU is away is no other listener.
    assert unbound(bounded, replace(bounded, listen=(UnixAddress("/a", holds=True),))) == set()
