"""What must be the same in both processes, and what need not be."""

from dataclasses import replace
from typing import Any, Final

import pytest

from host.net.addresses import TCPAddress, UnixAddress
from host.settings.config import AuditSettings, VMConfig
from host.settings.listener import ErrorStyle, Listener, Terms
from proxy.handover.settings import differences, settings_of
from shim.graph.policy import Mode, Policy
from shim.rules.permissions import Role
from shim.rules.rules import Rule

LISTEN: Final = (UnixAddress("/a"), TCPAddress("::1", 1, holds=True))
CONFIG: Final = VMConfig(UnixAddress("/q"), LISTEN, name="vm1")


@pytest.mark.parametrize(
    "members",
    [
        {"policy": Policy(mode=Mode.ENFORCE), "is_strict": True},
        {"rules": (Rule.deny("quit"),)},
        {"terms": Terms(role=Role.READ_ONLY)},
        {"own_listeners": (Listener(LISTEN[0], Terms(role=Role.READ_ONLY)),)},
        {"audit": AuditSettings("/log"), "client_buffer_bytes": 1, "max_clients": 2},
        {"wait": True, "ends_with_vm": True, "stop_timeout_s": 1.0},
    ],
)
def test_what_need_not_be_the_same(members: dict[str, Any]) -> None:
    assert settings_of(replace(CONFIG, **members)) == settings_of(CONFIG)


@pytest.mark.parametrize(
    ("members", "names"),
    [
        ({"upstream": UnixAddress("/r")}, ["upstream"]),
        ({"listen": LISTEN[:1]}, ["listen"]),
        ({"listen": LISTEN[:1], "hmp_listen": LISTEN[1:]}, ["hmp_listen", "listen"]),
        ({"take_over": UnixAddress("/q", holds=True)}, ["take_over"]),
        ({"attach": UnixAddress("/q")}, ["attach"]),
        ({"upstream_tls_ca": "/ca"}, ["upstream_tls"]),
        ({"terms": Terms(allow_users=frozenset({2, 1}), errors=ErrorStyle.QMP)}, ["terms"]),
        ({"own_listeners": (Listener(LISTEN[1], Terms(tls_certificate="/c")),)}, ["terms"]),
    ],
)
def test_what_must_be_the_same(members: dict[str, Any], names: list[str]) -> None:
    assert differences(settings_of(CONFIG), settings_of(replace(CONFIG, **members))) == names


def test_what_is_as_by_default_is_not_told() -> None:
    """So a setting that only one of two versions has is no difference."""
    assert settings_of(CONFIG) == {"upstream": "unix:/q", "listen": ["unix:/a", "hold:tcp:[::1]:1"]}
    terms = Terms(allow_groups=frozenset({3, 20, 1}))
    assert settings_of(VMConfig(UnixAddress("/q"), LISTEN[:1], terms=terms))["terms"] == {
        "unix:/a": {"allow_groups": [1, 20, 3]}
    }
