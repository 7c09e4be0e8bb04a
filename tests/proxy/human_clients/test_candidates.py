"""What QEMU is asked for a TAB, and the names in its answers; test_completion_on_qemu.py compares them with QEMU's own."""

from collections.abc import Iterable

import pytest

from proxy.human_clients.candidates import Candidates, look_up
from proxy.human_monitor.completion import CompletionRequest
from shim.qmp import JSON, ErrorReply, Execute, Reply, ReturnReply
from tests.fakes.vm import DEBIAN_12
from tests.support.routing.played_steps import outcome_of
from tests.support.shim.graphs import VIRTIO, Machine, drive, rows

CHARDEVS = [{"label": "rb", "filename": "ringbuf"}, {"label": "nu", "filename": "null"}]
CHILDREN = [
    {"name": "type", "type": "string"},
    {"name": "a", "type": "child<e1000>"},
    {"name": "b", "type": "child<virtio-vga>"},
]
SCHEMA = [
    {"name": "1", "meta-type": "enum", "values": ["shift", "sysrq"]},
    {"name": "2", "meta-type": "enum", "values": ["vhost-user", "nic"]},
    {"name": "3", "meta-type": "enum", "values": ["inject-nmi", "none"]},
    {"name": "4", "meta-type": "object", "members": [{"name": "tls-creds", "type": "str"}]},
    {"name": "migrate-set-parameters", "meta-type": "command", "arg-type": "4"},
]
DISKS = [{"device": "d0"}, {"device": ""}]


def request(line: str) -> CompletionRequest:
    read = CompletionRequest.read(line.encode())
    assert read is not None
    return read


def candidates(line: str, replies: Iterable[Reply]) -> tuple[list[str], Candidates]:
    """Return the commands that were asked, and what came of them."""
    asked, found = outcome_of(look_up(request(line), DEBIAN_12), replies)
    return [step.command for step in asked if isinstance(step, Execute)], found


@pytest.mark.parametrize(
    ("line", "command", "value", "names"),
    [
        ("s", "human-monitor-command", "stop|s  -- stop\r\n", ["stop", "s"]),
        ("info s", "human-monitor-command", "info status  -- show\r\n", ["status"]),
        ("device_del ", "qom-list", [], []),
        ("object_del ", "qom-list", CHILDREN, ["a", "b"]),
        ("chardev-add ", "query-chardev-backends", [{"name": "null"}], ["null"]),
        ("chardev-remove ", "query-chardev", CHARDEVS, ["rb", "nu"]),
        ("chardev-send-break ", "query-chardev", CHARDEVS, ["rb", "nu"]),
        ("ringbuf_read ", "query-chardev", CHARDEVS, ["rb"]),
        ("ringbuf_write ", "query-chardev", CHARDEVS, ["rb"]),
        ("migrate_set_capability ", "query-migrate-capabilities", [{"capability": "events"}], ["events"]),
        ("migrate_set_parameter ", "query-qmp-schema", SCHEMA, ["tls-creds"]),
        ("netdev_add ", "query-qmp-schema", SCHEMA, ["vhost-user", "nic"]),
        ("watchdog_action ", "query-qmp-schema", SCHEMA, ["inject-nmi", "none"]),
        ("watchdog_action ", "query-qmp-schema", [], []),
    ],
)
def test_list(line: str, command: str, value: JSON, names: list[str]) -> None:
    assert candidates(line, [ReturnReply(value)]) == ([command], Candidates(names))


@pytest.mark.parametrize(
    "line",
    [
        *("drive_del ", "drive_del x ", "drive_del x y ", "eject ", "eject -f ", "block_resize ", "qemu-io ", "qemu-io -d "),
        *("info block ", "info block -n -v ", "drive_backup -n -f -c ", "change ", "help eject "),
    ],
)
def test_disk(line: str) -> None:
    assert candidates(line, [ReturnReply(DISKS)]) == (["query-block"], Candidates(["d0"]))


@pytest.mark.parametrize(
    "line",
    [
        *("block_resize d0 ", "qemu-io d0 x ", "drive_backup a b c d ", "change d0 ", "info name ", "nosuch ", "savevm "),
        *("loadvm t ", "device_del a ", "watchdog_action none ", "migrate_set_capability events on ", "set_link "),
    ],
)
def test_nothing_is_asked_where_nothing_is_known(line: str) -> None:
    assert candidates(line, []) == ([], Candidates())


@pytest.mark.parametrize("line", ["migrate_set_capability events ", "set_link nic ", "trace-event x "])
def test_switch(line: str) -> None:
    assert candidates(line, []) == ([], Candidates(("on", "off")))


@pytest.mark.parametrize(("word", "typed"), [("", ""), ("sh", "sh"), ("ctrl-al", "al"), ("a-b-", "")])
def test_keys_are_completed_one_by_one(word: str, typed: str) -> None:
    found = candidates(f"sendkey {word}", [ReturnReply(SCHEMA)])
    assert found == (["query-qmp-schema"], Candidates(["shift", "sysrq"], typed))


def test_devices_that_can_be_unplugged() -> None:
    asked, found = outcome_of(
        look_up(request("device_del "), DEBIAN_12), [ReturnReply(CHILDREN), ReturnReply(True), ReturnReply(False)]
    )
    assert found == Candidates(["a"])
    assert asked[1] == Execute("qom-get", {"path": "/machine/peripheral/a", "property": "hotpluggable"})


@pytest.mark.parametrize("line", ["loadvm ", "delvm "])
def test_names_and_ids_of_snapshots(line: str) -> None:
    """Of disks that can have some; whether all have them does not matter."""
    disks = [
        *drive("a", "d0", VIRTIO[0], tags=rows("t1", "t2")),
        *drive("b", "d1", VIRTIO[1], tags=rows("t2", first_id=7)),
        *drive("c", "d2", VIRTIO[2], driver="raw"),
    ]
    vm = Machine(disks)
    values = (vm.query_named_block_nodes(), vm.query_graph(), vm.query_block())
    asked, found = candidates(line, map(ReturnReply, values))
    assert asked == ["query-named-block-nodes", "x-debug-query-block-graph", "query-block"]
    assert found == Candidates(["t1", "1", "t2", "2", "t2", "7"])


@pytest.mark.parametrize(
    "reply", [ErrorReply("GenericError", "not allowed here"), ReturnReply([{"name": "d0"}]), ReturnReply(5)], ids=ascii
)
def test_nothing_is_completed_where_qemu_does_not_tell(reply: Reply) -> None:
    assert candidates("drive_del ", [reply])[1] == Candidates()
