"""What a command comes down to: its own deed, and those of the commands that do the same."""

from typing import Any

import pytest

from shim.rules.asked import Asked, may_be_risky
from shim.rules.deeds import Deed, fold
from shim.rules.risks import EXEC, MONITOR
from tests.support.shim.commands import hmp_message, message


def deeds(command: dict[str, Any]) -> list[Deed]:
    asked = Asked.of(command)
    return [asked.deed, *asked.equivalents]


def test_hyphens_and_underscores_are_the_same() -> None:
    assert fold("device_add") == fold("device-add") == "device-add"


def test_command_has_a_twin_with_x() -> None:
    assert deeds(message("quit")) == [Deed("quit"), Deed("x-quit")]
    assert deeds(message("x-blockdev-reopen")) == [Deed("x-blockdev-reopen"), Deed("blockdev-reopen")]


@pytest.mark.parametrize("command", [{}, {"execute": 1}, {"execute": None, "arguments": []}, {"arguments": {}}])
def test_command_without_a_name_has_none(command: dict[str, Any]) -> None:
    asked = Asked.of(command)
    assert (asked.name, asked.deed, asked.equivalents, asked.line, asked.is_hmp) == ("", Deed(""), (), None, False)


def test_command_with_both_keys_is_taken_for_both() -> None:
    names = [deed.name for deed in deeds({"execute": "query-status", "exec-oob": "quit"})]
    assert names == ["query-status", "quit", "x-query-status", "x-quit"]


def test_out_of_band_command_is_read_like_another() -> None:
    assert Asked.of({"exec-oob": "migrate-recover", "arguments": {"uri": "tcp:a:1"}}).deed == Deed(
        "migrate-recover", ("tcp:a:1",)
    )


@pytest.mark.parametrize(
    ("command", "values"),
    [
        (message("object-add", qom_type="monitor-qmp", id="m"), ("monitor-qmp",)),
        (message("x-object-add", qom_type="secret"), ("secret",)),
        (message("object-add", qom_type=1), None),
        (message("object-add"), None),
        ({"execute": "object-add", "arguments": 1}, None),
        (message("device_add", driver="virtio-rng-pci"), ("virtio-rng-pci",)),
        (message("netdev_add", type="user", id="n"), ("user",)),
        (message("chardev-add", id="c", backend={"type": "socket", "data": {}}), ("socket",)),
        (message("chardev-change", id="c", backend={}), None),
        (message("chardev-add", id="c", backend="null"), None),
        (message("add_client", protocol="vnc", fdname="x"), ("vnc",)),
        (message("snapshot-save", tag="t"), ("t",)),
        (message("migrate", uri="exec:cat"), ("exec:cat",)),
        (message("migrate"), None),
        (message("migrate", uri=1), None),
        (message("migrate", channels=1), None),
        (message("migrate", channels=[1]), None),
        (message("migrate", channels=[{"addr": {"transport": "new"}}]), None),
        (message("migrate", channels=[{"addr": {"transport": "exec", "args": ["/bin/sh", "-c"]}}]), ("exec:/bin/sh -c",)),
        (message("migrate", channels=[{"addr": {"transport": "file", "filename": "/f", "offset": 0}}]), ("file:/f",)),
        (
            message("migrate", channels=[{"addr": {"transport": "socket", "type": "inet", "host": "h", "port": "1"}}]),
            ("tcp:h:1",),
        ),
        (message("migrate", channels=[{"addr": {"transport": "socket", "type": "unix", "path": "/s"}}]), ("unix:/s",)),
        (message("migrate", channels=[{"addr": {"transport": "socket", "type": "fd", "str": "f"}}]), ("fd:f",)),
        (
            message("migrate", channels=[{"addr": {"transport": "socket", "type": "vsock", "cid": "3", "port": "1"}}]),
            ("vsock:3:1",),
        ),
        (message("migrate", channels=[{"addr": {"transport": "rdma", "host": "h", "port": "1"}}]), ("rdma:h:1",)),
        (
            message("migrate", uri="tcp:a:1", channels=[{"addr": {"transport": "exec", "args": ["a"]}}]),
            ("tcp:a:1", "exec:a"),
        ),
        (message("transaction", actions=[{"type": "drive-backup"}, {"type": "abort"}]), ("drive-backup", "abort")),
        (message("transaction", actions=[{"type": "abort"}, 1]), None),
        (message("transaction", actions=[{"type": 1}]), None),
        (message("transaction", actions=[]), None),
        (message("transaction", actions=1), None),
        (message("quit", unheard_of=1), ()),
    ],
)
def test_argument_that_a_command_is_about(command: dict[str, Any], values: tuple[str, ...] | None) -> None:
    assert Asked.of(command).deed.values == values


def test_transaction_does_what_its_actions_do_as_commands() -> None:
    actions: list[Any] = [
        {"type": "blockdev-backup", "data": {}},
        {"type": "x-new"},
        1,
        {"type": 2},
        {"type": "abort", "data": 3},
    ]
    names = [deed.name for deed in Asked.of(message("transaction", actions=actions)).equivalents]
    assert names == ["x-transaction", "blockdev-backup", "x-blockdev-backup", "x-new", "new", "abort", "x-abort"]
    assert [deed.name for deed in Asked.of(message("transaction", actions=1)).equivalents] == ["x-transaction"]


@pytest.mark.parametrize(
    ("line", "name", "values"),
    [
        ("object_add monitor-qmp,id=m,chardev=c", "object-add", ("monitor-qmp",)),
        ("object_add\tmonitor-qmp", "object-add", ("monitor-qmp",)),
        ("object_add rng-builtin,id=m,qom-type=monitor-qmp", "object-add", None),
        ("object_add qom-type=monitor-qmp,id=m", "object-add", None),
        ("object_add id=m,qom-type=monitor-qmp", "object-add", None),
        ('object_add "monitor-qmp,id=m"', "object-add", None),
        ('object_add {"qom-type":"monitor-qmp"}', "object-add", None),
        ("object_add rng,,x", "object-add", None),
        ("object_add", "object-add", None),
        ("device_add virtio-rng-pci,id=r", "device-add", ("virtio-rng-pci",)),
        ("device_add x,driver=y", "device-add", None),
        ("netdev_add user,id=n", "netdev-add", ("user",)),
        ("chardev-add socket,id=c,path=/x", "chardev-add", ("socket",)),
        ("chardev-change c null", "chardev-change", ("null",)),
        ('chardev-change "c" null', "chardev-change", None),
        ("chardev-change c", "chardev-change", None),
        ("migrate exec:cat", "migrate", ("exec:cat",)),
        ("migrate -d  -b tcp:h:1", "migrate", ("tcp:h:1",)),
        ('migrate "exec:cat x"', "migrate", None),
        ("migrate -d", "migrate", None),
        ("migrate_incoming tcp:h:1", "migrate-incoming", ("tcp:h:1",)),
        ("migrate_recover tcp:h:1", "migrate-recover", ("tcp:h:1",)),
        ("chardev-add tty,id=c,path=/x", "chardev-add", ("tty", "serial")),
        ("chardev-add memory,,x", "chardev-add", None),
        ("set_password vnc p", "set-password", ("vnc",)),
        ("expire_password \t spice now", "expire-password", ("spice",)),
        ('set_password "vnc" p', "set-password", None),
        ("set_password", "set-password", None),
        ("qom-set /objects/t verify-peer off", "qom-set", ("verify-peer",)),
        ("qom-set /objects/t\u00a0x\vdir /y", "qom-set", ("dir",)),
        ('savevm "a b"', "snapshot-save", ("a b",)),
        ("savevm", "snapshot-save", None),
        ("q", "quit", ()),
        ("c", "cont", ()),
        ("info status", "query-status", ()),
        ("info  block -v", "query-named-block-nodes", ()),
        ("x_colo_lost_heartbeat", "colo-lost-heartbeat", ()),
    ],
)
def test_hmp_line_does_what_qmp_does(line: str, name: str, values: tuple[str, ...] | None) -> None:
    asked = Asked.of(hmp_message(line))
    assert asked.is_hmp
    assert asked.line is not None
    assert Deed(name, values) in asked.equivalents


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("change vnc password x", ("vnc",)),
        ("change", None),
        ('change "vnc" password x', None),
    ],
)
def test_change_of_vnc_is_that_of_its_password(line: str, values: tuple[str, ...] | None) -> None:
    equivalents = Asked.of(hmp_message(line)).equivalents
    assert Deed("change-vnc-password", ("vnc",)) in equivalents
    assert Deed("display-update", values) in equivalents


def test_change_of_a_disk_is_not() -> None:
    names = [deed.name for deed in Asked.of(hmp_message("change ide1-cd0 /x")).equivalents]
    assert "change-vnc-password" not in names


def test_name_is_cut_to_more_than_any_of_qemus() -> None:
    asked = Asked.of({"execute": "x" * 300, "exec-oob": "y" * 300})
    assert asked.names == ("x" * 256, "y" * 256)


@pytest.mark.parametrize("name", ["human-monitor-command", "human_monitor_command"])
def test_line_that_is_longer_than_hmps_own_is_not_read(name: str) -> None:
    longest = Asked.of(message(name, command_line=f"savevm {'t' * 4088}"))
    assert longest.line is not None
    assert not longest.is_too_large
    longer = Asked.of(message(name, command_line=f"savevm {'t' * 4089}"))
    assert longer.line is None
    assert longer.is_too_large


def test_hmp_line_has_the_deed_of_its_own_name() -> None:
    assert Asked.of(hmp_message("drive_add x")).equivalents[1].name == "drive-add"
    assert [deed.name for deed in Asked.of(hmp_message("nosuch")).equivalents] == ["x-human-monitor-command", "nosuch"]


@pytest.mark.parametrize("text", [None, 1, "", "  \t", "/x", " /"])
def test_line_that_cannot_be_read_is_none(text: Any) -> None:
    asked = Asked.of(message("human-monitor-command", command_line=text))
    assert asked.is_hmp
    assert asked.line is None
    assert asked.risks == {EXEC, MONITOR}


def test_which_commands_may_be_risky() -> None:
    assert all(may_be_risky(name) for name in ("object-add", "x-object-add", "human-monitor-command", "qom-set", "migrate"))
    assert not any(may_be_risky(name) for name in ("quit", "query-status", "", "object-del"))
