"""What the prompt reads from QEMU's answers. integration/prompt/test_facts_against_qemu.py reads those of a real one.

The golden help is QEMU 7.2.22's, tabs and CRLF included, and where it says so QEMU 5.2.0's.
"""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from repl.completion_data import (
    CommandHelp,
    CompletionData,
    Named,
    QMPArgument,
    QMPCommand,
    parse_help,
    read_drives,
    read_nodes,
    read_peripherals,
    read_schema,
    read_tags,
)
from shim.errors import UnreadableReply
from tests.support.repl.qemu_facts import HELP, HELP_INFO, SCHEMA, entry, member
from tests.support.shim.graphs import VIRTIO, Backend, Machine, Node, Snapshot, disk, drive, rows


def help_of(name: str, text: str = HELP, prefix: str = "") -> CommandHelp:
    (found,) = [command for command in parse_help(text, prefix=prefix) if name in command.names]
    return found


@pytest.mark.parametrize(
    ("name", "names", "arguments", "text"),
    [
        ("savevm", ("savevm",), "tag", "save a VM snapshot. If no tag is provided, a new snapshot is created"),
        ("q", ("quit", "q"), "", "quit the emulator"),
        ("?", ("help", "?"), "[cmd]", "show the help"),
        ("x", ("x",), "/fmt addr", "virtual memory dump starting at 'addr'"),
        ("p", ("print", "p"), "/fmt expr", "print expression value (use $reg for CPU register access)"),
        ("qemu-io", ("qemu-io",), '[-d] [device] "[command]"', "run a qemu-io command on a block device"),
        (
            "block_job_cancel",
            ("block_job_cancel",),
            "[-f] device",
            "stop an active background block operation (use -f if you want to abort the operation immediately"
            " instead of keep running until data is in sync)",
        ),
        (
            "snapshot_blkdev_internal",
            ("snapshot_blkdev_internal",),
            "device name",
            "take an internal snapshot of device. support it, such as qcow2.",
        ),
        (
            "drive_add",
            ("drive_add",),
            "[-n] [[<domain>:]<bus>:]<slot> [file=file][,if=type][,bus=n] [,readonly=on|off][,copy-on-read=on|off]",
            "add drive to PCI storage controller",
        ),
    ],
)
def test_help_of_a_command(name: str, names: tuple[str, ...], arguments: str, text: str) -> None:
    assert help_of(name) == CommandHelp(names, arguments, text)


def test_every_command_is_read_once_in_qemus_order() -> None:
    names = [command.names[0] for command in parse_help(HELP)]
    assert names[:3] == ["block_job_cancel", "change", "commit"]
    assert names[-3:] == ["stop", "sync-profile", "x"]
    assert len(names) == len(set(names)) == 23


def test_topics_of_info_have_no_prefix() -> None:
    topics = parse_help(HELP_INFO, prefix="info")
    assert [topic.names for topic in topics] == [
        *(("block",), ("block-jobs",), ("mtree",)),
        *(("registers",), ("snapshots",), ("status",)),
    ]
    assert help_of("block", HELP_INFO, "info").arguments == "[-n] [-v] [device]"
    assert help_of("status", HELP_INFO, "info").text == "show the current VM status (running|paused)"


def test_text_goes_on_in_a_line_that_is_not_indented() -> None:
    """QEMU 5.2.0."""
    text = (
        "migrate_set_cache_size value -- set cache size (in bytes) for XBZRLE migrations.\r\n"
        "The cache size affects the number of cache misses.\r\n"
        "migrate_set_capability capability state -- Enable/Disable the usage of a capability for migration\r\n"
    )
    size, capability = parse_help(text)
    assert size.text == "set cache size (in bytes) for XBZRLE migrations. The cache size affects the number of cache misses."
    assert capability.names == ("migrate_set_capability",)


@pytest.mark.parametrize(("line", "name"), [("c|cont  -- resume", "cont"), ("cont|c  -- resume", "cont"), ("x  -- y", "x")])
def test_name_is_no_abbreviation(line: str, name: str) -> None:
    """QEMU 5.2.0 has `c|cont`, QEMU 7.2.22 `cont|c`."""
    assert parse_help(line)[0].name == name


@pytest.mark.parametrize("text", ["", "\r\n", "unknown command: 'nonsense'\r\n", "\t\tx -- y\r\n", "a\nb\n", " -- x", "info"])
def test_what_is_no_help_is_left_out(text: str) -> None:
    assert parse_help(text) == ()
    assert parse_help(text, prefix="info") == ()


def local_time(seconds: int) -> datetime:
    return datetime(2026, 11, 24, 13, 44, tzinfo=UTC) + timedelta(seconds=seconds)


def snapshot(tag: str, minute: int, vm_state_bytes: int = 0, id: str = "1") -> Snapshot:
    return Snapshot(id, tag, vm_state_bytes, date_ns=minute * 60 * 10**9)


def tags_of(*nodes: list[Node]) -> list[tuple[str, str]]:
    graph = Machine([node for one in nodes for node in one]).graph()
    return [(named.name, named.meta) for named in read_tags(graph, local_time)]


def test_tags_are_newest_first_with_date_and_size() -> None:
    found = tags_of(drive("a", "d0", tags=[snapshot("old", 0, 29_674_701), snapshot("new", 2, 421_000), snapshot("mid", 1)]))
    assert found == [
        ("new", "2026-11-24 13:46  411 KiB"),
        ("mid", "2026-11-24 13:45  disk only"),
        ("old", "2026-11-24 13:44  28.3 MiB"),
    ]


def test_tag_of_many_nodes_is_told_once_with_its_largest_vm_state_and_its_newest_date() -> None:
    one, other = [snapshot("t", 3), snapshot("u", 2)], [snapshot("t", 1, 421_000), snapshot("v", 5)]
    found = tags_of(drive("a", "d0", tags=one), drive("b", "d1", tags=other))
    assert found == [
        ("v", "2026-11-24 13:49  disk only"),
        ("t", "2026-11-24 13:47  411 KiB"),
        ("u", "2026-11-24 13:46  disk only"),
    ]


def test_of_tags_of_one_second_the_later_in_the_list_is_newer() -> None:
    assert [tag for tag, _ in tags_of(drive("a", "d0", tags=rows("first", "second", "third")))] == ["third", "second", "first"]


def test_tag_that_a_node_has_twice_is_told_once() -> None:
    assert tags_of(drive("a", "d0", tags=rows("t", "t"))) == [("t", "2026-11-24 13:44  disk only")]


def test_tags_of_nodes_that_hmp_does_not_take_are_told_too() -> None:
    assert tags_of(disk("a", ro=True, snapshots=rows("t"))) == [("t", "2026-11-24 13:44  disk only")]


def test_no_disk_has_no_tag_and_no_name() -> None:
    assert read_tags(Machine([]).graph(), local_time) == ()
    assert read_drives(Machine([]).graph()) == read_nodes(Machine([]).graph()) == ()


def test_drives_and_nodes_have_what_they_are() -> None:
    nodes = [*drive("#block123", "d0"), *disk("sys", qdev=VIRTIO[0]), *disk("rom", "raw", device="", ro=True)]
    graph = Machine(nodes).graph()
    assert read_drives(graph) == (Named("d0", "qcow2 #block123.img"),)
    found = {named.name: named.meta for named in read_nodes(graph)}
    assert found == {
        "sys": "qcow2 sys.img",
        "rom": "raw rom.img read-only",
        "sys-file": "file sys.img",
        "rom-file": "file rom.img read-only",
        "#block123": "qcow2 #block123.img",
        "#block123-file": "file #block123.img",
    }
    assert list(found)[-2:] == ["#block123", "#block123-file"]
    assert list(found)[:2] == ["sys", "rom"]


@pytest.mark.parametrize(
    ("filename", "meta"),
    [
        ("/var/lib/vm/disk one.qcow2", "qcow2 disk one.qcow2"),
        ("disk.qcow2", "qcow2 disk.qcow2"),
        ("nbd://host:10809/export", "qcow2 export"),
        ('json:{"driver": "qcow2", "file": {"driver": "file", "filename": "/x/y.qcow2"}}', "qcow2"),
        ("", "qcow2"),
    ],
)
def test_block_name_shows_the_base_name_of_its_file(filename: str, meta: str) -> None:
    assert read_nodes(Machine([Node("n", filename=filename)]).graph()) == (Named("n", meta),)


def test_node_may_have_several_devices() -> None:
    graph = Machine([Node("n")], [Backend("n", "d0"), Backend("n", "d1"), Backend("n", "")]).graph()
    assert [named.name for named in read_drives(graph)] == ["d0", "d1"]
    assert [named.name for named in read_nodes(graph)] == ["n"]


def test_peripherals_are_the_children() -> None:
    value = [
        {"name": "type", "type": "string"},
        {"name": "net0", "type": "child<virtio-net-pci>"},
        {"name": "a b", "type": "child<usb-tablet>"},
    ]
    assert read_peripherals(value) == (Named("net0", "virtio-net-pci"), Named("a b", "usb-tablet"))


@pytest.mark.parametrize("value", [None, [{}], [{"name": "a"}], ["x"], [{"name": "a", "type": 1}], 5])
def test_peripherals_of_another_shape(value: Any) -> None:
    with pytest.raises(UnreadableReply, match="QEMU's answer about the devices cannot be read"):
        read_peripherals(value)


BOOLEANS: Final = ("true", "false")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("stop", QMPCommand()),
        (
            "snapshot-save",
            QMPCommand(
                (
                    QMPArgument("job-id", "string", is_optional=False),
                    QMPArgument("tag", "string", is_optional=False),
                    QMPArgument("devices", "list of string", is_optional=False),
                )
            ),
        ),
        (
            "qom-set",
            QMPCommand(
                (QMPArgument("path", "string", is_optional=False), QMPArgument("value", "any", is_optional=False)),
                takes_any=True,
            ),
        ),
        (
            "device_add",
            QMPCommand(
                (QMPArgument("driver", "string", is_optional=False), QMPArgument("id", "string", is_optional=True)),
                takes_any=True,
            ),
        ),
        (
            "object-add",
            QMPCommand(
                (
                    QMPArgument("qom-type", "enum", is_optional=False, values=("secret", "iothread")),
                    QMPArgument("id", "string", is_optional=False),
                    QMPArgument("data", "string", is_optional=True),
                    QMPArgument("limit", "integer or string or null", is_optional=True),
                    QMPArgument("loaded", "boolean", is_optional=True, values=BOOLEANS),
                    QMPArgument("rules", "list of object", is_optional=True),
                )
            ),
        ),
        (
            "set-mode",
            QMPCommand(
                (
                    QMPArgument("mode", "enum", is_optional=True, values=("keep", "fail")),
                    QMPArgument("at", "object", is_optional=False),
                    QMPArgument("speed", "number", is_optional=False),
                )
            ),
        ),
    ],
)
def test_schema_of_a_command(name: str, command: QMPCommand) -> None:
    """What every variant has is still optional: not every case of the tag needs to have a variant."""
    commands, _ = read_schema(SCHEMA)
    assert commands[name] == command


def test_schema_names_commands_and_events() -> None:
    commands, events = read_schema(SCHEMA)
    assert list(commands) == ["snapshot-save", "qom-set", "device_add", "object-add", "set-mode", "stop"]
    assert events == ("STOP", "BLOCK_JOB_READY", "BLOCK_JOB_ERROR")


def test_command_knows_its_arguments() -> None:
    commands, _ = read_schema(SCHEMA)
    command = commands["object-add"]
    assert command.required == ("qom-type", "id")
    assert command.argument("data") == QMPArgument("data", "string", is_optional=True)
    assert command.argument("nonsense") is None
    is_text = {argument.name: argument.is_text for argument in command.arguments}
    assert is_text == {"qom-type": True, "id": True, "data": True, "limit": False, "loaded": False, "rules": False}


ENDLESS: Final = [
    entry("a", "array", **{"element-type": "a"}),
    entry("b", "object", members=[member("x", "a")]),
    entry("c", "command", **{"arg-type": "b"}),
]


@pytest.mark.parametrize(
    "value",
    [None, 5, [5], [{}], [entry("c", "command")], [entry("c", "command", **{"arg-type": "0"})], ENDLESS],
    ids=range(7),
)
def test_schema_of_another_shape(value: Any) -> None:
    with pytest.raises(UnreadableReply, match="QEMU's answer about its schema cannot be read"):
        read_schema(value)


def test_nothing_is_known_at_first() -> None:
    assert not any(getattr(CompletionData(), field.name) for field in fields(CompletionData) if field.name != "schema")
