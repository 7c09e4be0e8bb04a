"""What gives a client another monitor, and what has QEMU run a program. Tried on real QEMUs in test_rules_on_qemu.py."""

from typing import Any

import pytest

from shim.rules.asked import Asked, may_be_risky
from shim.rules.deeds import fold
from shim.rules.risks import EXEC, MONITOR
from tests.support.shim.commands import hmp_message, message

EXEC_CHANNEL = {"channel-type": "main", "addr": {"transport": "exec", "args": ["/bin/sh"]}}
UNIX_CHANNEL = {"channel-type": "main", "addr": {"transport": "socket", "type": "unix", "path": "/s"}}


MONITORS = [
    message("object-add", qom_type="monitor-qmp", id="m", chardev="c"),
    message("object-add", qom_type="monitor-hmp"),
    message("object-add", qom_type="monitor-to-come"),
    message("object_add", qom_type="monitor-hmp"),
    message("x-object-add", qom_type="monitor-hmp"),
    message("object-add"),
    message("add_client", protocol="second", fdname="x"),
    message("add-client", protocol="second"),
    message("add_client"),
    message("add_client", protocol="vnc", fdname="x"),
    message("add_client", protocol="vnc", fdname="x", skipauth=True),
    message("add_client", protocol="@dbus-display", fdname="x"),
    message("set_password", protocol="vnc", password="x"),
    message("set-password", protocol="spice", password="x"),
    message("expire_password", protocol="vnc", time="never"),
    message("change-vnc-password", password="x"),
    message("display-update", type="vnc", addresses=[]),
    message("change", device="vnc", target=":1"),
    message("change"),
    message("object-add", qom_type="authz-simple", id="a", identity="CN=x"),
    message("qom-set", path="/objects/a", property="identity", value="CN=x"),
    message("qom-set", path="/objects/a", property="policy", value="allow"),
    message("qom-set", path="/objects/tls", property="verify-peer", value=False),
    message("qom-set", path="/objects/m", property="chardev", value="c"),
    message("qom-set", path="/objects/m"),
    hmp_message("gdbserver tcp::1"),
    hmp_message("gdbserver"),
    hmp_message("object_add monitor-hmp,id=m"),
    hmp_message('object_add "rng"'),
    hmp_message('object_add {"qom-type": "\\u006donitor-qmp"}'),
    hmp_message("qom-set /objects/m chardev c"),
    hmp_message('qom-set "/objects/m" x'),
    hmp_message("qom-set /objects/tls verify-peer off"),
    hmp_message("qom-set /objects/a\u00a0x\videntity CN=x"),
    hmp_message("object_add authz-list,id=a,policy=allow"),
    hmp_message("set_password vnc x"),
    hmp_message("expire_password vnc never"),
    hmp_message("change vnc password x"),
    hmp_message("change\tvnc"),
    hmp_message('change "vnc" password x'),
    hmp_message("change"),
    hmp_message("acl_policy vnc.x509dname allow"),
]


@pytest.mark.parametrize("command", MONITORS)
def test_leads_to_another_monitor(command: dict[str, Any]) -> None:
    assert Asked.of(command).risks == {MONITOR}


PROGRAMS = [
    message("migrate", uri="exec:cat"),
    message("migrate", uri=1),
    message("migrate", channels=[EXEC_CHANNEL]),
    message("migrate", channels=[UNIX_CHANNEL, EXEC_CHANNEL]),
    message("migrate", uri="tcp:a:1", channels=[EXEC_CHANNEL]),
    message("migrate", channels=[{}]),
    message("migrate", channels=1),
    message("migrate-incoming", uri="exec:cat"),
    message("migrate-recover", uri="exec:cat"),
    message("migrate-set-parameters", cpr_exec_command=["/bin/sh"]),
    message("netdev_add", type="tap", script="/tmp/x"),
    message("netdev_add", type="tap", downscript="/tmp/x"),
    message("netdev-add", type="bridge", helper="/tmp/x"),
    message("netdev_add", type="user", smb="/tmp"),
    message("netdev_add", type="user", guestfwd=[{"str": "tcp:10.0.2.100:1-cmd:sh"}]),
    message("netdev_add", type="user", guestfwd=[{"str": "tcp:10.0.2.100:1-unix:/x"}, {}]),
    message("netdev_add", type="user", guestfwd=[{"str": ""}] * 1001),
    message("netdev_add", type="user", guestfwd={}),
    message("netdev-add", type="bridge", helper="no"),
    message("netdev_add", type="user", smb="no"),
    message("netdev_add", type="passt", path="no"),
    message("migrate", channels=[UNIX_CHANNEL] * 17),
    message("netdev_add", type="passt", path="/tmp/x"),
    message("netdev_add", type="passt", param=[{"str": "--log-file"}]),
    hmp_message("migrate exec:cat"),
    hmp_message("migrate -d exec:cat"),
    hmp_message('migrate "exec:cat x"'),
    hmp_message("migrate_incoming exec:cat"),
    hmp_message("migrate_set_parameter cpr-exec-command sh"),
    hmp_message('migrate_set_parameter "x" sh'),
    hmp_message("netdev_add tap,script=/tmp/x"),
    hmp_message("netdev_add tap,script=nosuch"),
    hmp_message("netdev_add tap,script"),
    # A doubled comma is one of the value.
    hmp_message("netdev_add tap,id=x,script=no,,evil"),
    hmp_message("netdev_add tap,downscript=no,,"),
    hmp_message("netdev_add tap,ifname=a,,script=no,script=/tmp/x"),
    # The last one counts, and a flag is "on" or "off", which are programs.
    hmp_message("netdev_add tap,script=no,script=/tmp/x"),
    hmp_message("netdev_add tap,noscript"),
    hmp_message("netdev_add tap,nodownscript"),
    # Only scripts can be "no".
    hmp_message("netdev_add bridge,helper=no"),
    hmp_message("netdev_add user,smb=no"),
    hmp_message("netdev_add user,smb"),
    hmp_message("netdev_add user,nosmb"),
    hmp_message("netdev_add bridge,helper=/tmp/x"),
    hmp_message("netdev_add user,guestfwd=tcp::1-cmd:x"),
    hmp_message('netdev_add "tap"'),
]


@pytest.mark.parametrize("command", PROGRAMS)
def test_has_qemu_run_a_program(command: dict[str, Any]) -> None:
    assert Asked.of(command).risks == {EXEC}


@pytest.mark.parametrize(
    "command",
    [
        message("object-add", qom_type="rng-builtin", id="r"),
        message("change", device="ide1-cd0", target="/x"),
        message("display-reload", type="vnc", tls_certs=True),
        message("object-add", qom_type="tls-creds-x509", id="t", endpoint="client"),
        message("qom-set", path="/machine", property="rtc-time", value=1),
        message("migrate", uri="tcp:a:1"),
        message("migrate", channels=[UNIX_CHANNEL]),
        message("migrate-set-parameters", max_bandwidth=1),
        message("netdev_add", type="tap", script="no", downscript="no", ifname="t"),
        message("netdev_add", type="user", guestfwd=[{"str": "tcp:10.0.2.100:1-unix:/x"}]),
        message("chardev-add", id="c", backend={"type": "null"}),
        message("quit"),
        hmp_message("info status"),
        hmp_message("object_add rng-builtin,id=r"),
        hmp_message("qom-set /machine rtc-time 1"),
        hmp_message("qom-set /objects/chardev polling 1"),
        hmp_message("change ide1-cd0 /x"),
        hmp_message('change ide1-cd0 "/vnc x"'),
        hmp_message("netdev_add tap,ifname=a,,script,script=no"),
        hmp_message("netdev_add stream,id=s,addr.type=unix,addr.path=/x"),
        hmp_message("migrate tcp:a:1"),
        hmp_message("migrate_set_parameter max-bandwidth 1"),
        hmp_message("netdev_add tap,script=no,downscript=no"),
        hmp_message("netdev_add user,id=n"),
    ],
)
def test_is_no_risk(command: dict[str, Any]) -> None:
    assert Asked.of(command).risks == frozenset()


@pytest.mark.parametrize("command", [*MONITORS, *PROGRAMS])
def test_every_command_with_a_risk_is_known_to_be_one(command: dict[str, Any]) -> None:
    """Else a verdict about it would be kept by its name."""
    assert may_be_risky(fold(command["execute"]))
