"""The prompt's facts, read from a real QEMU and compared with what it does (seen with 5.2 to 11.1)."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from repl.completing.completion import suggest
from repl.completion_data import (
    CommandHelp,
    CompletionData,
    parse_help,
    read_drives,
    read_nodes,
    read_peripherals,
    read_schema,
    read_tags,
)
from repl.lines.lines import OWN_COMMANDS, read_line
from repl.lines.scanning import LineError
from shim.graph.blockgraph import BlockGraph, read_graph
from shim.hmp.line import HMPLine
from shim.hmp.quoting import quote_tag
from shim.qmp import QEMUVersion
from tests.integration.command_lines import BIOS, blockdev, disk, virtio
from tests.integration.machines import Machine, machine
from tests.support.raw_client import RawClient
from tests.support.shim.hmp_lines import TAGS

pytestmark = pytest.mark.versions

DISKS: Final = f"{BIOS} {disk('d0')} {blockdev('n1')} {virtio('n1', 'id=net.0')} {blockdev('ro', 'read-only=on')}"
IMAGES: Final = {"d0.qcow2": "", "n1.qcow2": "", "ro.qcow2": ""}


@pytest.fixture(scope="module")
def running() -> Iterator[Machine]:
    with machine(DISKS, IMAGES, memory="16") as started:
        yield started


@pytest.fixture(scope="module")
def client(running: Machine) -> RawClient:
    return running.observer


@pytest.fixture
def empty(client: RawClient) -> Iterator[RawClient]:
    """A VM without snapshots, before and after."""
    yield client
    for tag in {row["name"] for row in snapshots(client, "d0.qcow2")}:
        assert client.hmp(f"delvm {quote_tag(tag)}") == ""


def snapshots(client: RawClient, file: str) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = client.returned("query-named-block-nodes", {"flat": True})
    node = next(node for node in nodes if node["drv"] == "qcow2" and node["file"].endswith(file))
    found: list[dict[str, Any]] = node["image"].get("snapshots", [])
    return found


def graph_of(client: RawClient, version: QEMUVersion) -> BlockGraph:
    named = client.returned("query-named-block-nodes", {"flat": True})
    return read_graph(client.returned("query-block"), named, client.returned("x-debug-query-block-graph"), version=version)


def facts_of(client: RawClient, version: QEMUVersion) -> CompletionData:
    graph = graph_of(client, version)
    qmp_commands, events = read_schema(client.returned("query-qmp-schema"))
    return CompletionData(
        commands=parse_help(client.hmp("help")),
        topics=parse_help(client.hmp("help info"), prefix="info"),
        tags=read_tags(graph, utc),
        drives=read_drives(graph),
        nodes=read_nodes(graph),
        qdev_ids=read_peripherals(client.returned("qom-list", {"path": "/machine/peripheral"})),
        qmp_commands=qmp_commands,
        events=events,
    )


def utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def spelt(command: CommandHelp, prefix: str = "") -> str:
    """Return an entry as QEMU writes it, but for the space between words."""
    return " ".join(f"{prefix} {'|'.join(command.names)} {command.arguments} -- {command.text}".split())


@pytest.mark.parametrize(("line", "prefix"), [("help", ""), ("help info", "info")])
def test_all_of_the_help_is_understood(client: RawClient, line: str, prefix: str) -> None:
    text = client.hmp(line)
    commands = parse_help(text, prefix=prefix)
    assert len(commands) > 50
    assert " ".join(spelt(command, prefix) for command in commands) == " ".join(text.split())


def test_each_entry_of_help_is_one_of_a_command(client: RawClient) -> None:
    """`help info` lists the topics instead, and `help log` the items."""
    commands = {name: command for command in parse_help(client.hmp("help")) for name in command.names}
    for name in commands.keys() - {"info", "log"}:
        assert parse_help(client.hmp(f"help {name}")) == (commands[name],)


def test_each_topic_is_one_that_info_knows(client: RawClient) -> None:
    for topic in parse_help(client.hmp("help info"), prefix="info"):
        (name,) = topic.names
        assert parse_help(client.hmp(f"help info {name}"), prefix="info") == (topic,)


def test_hmp_has_none_of_our_commands_but_help(client: RawClient) -> None:
    names = {name for command in parse_help(client.hmp("help")) for name in command.names}
    assert {name for command in OWN_COMMANDS for name in command.names} & names == {"help", "?"}


@pytest.mark.parametrize("line", ["savevn t", "SAVEVM", "/x", '"savevm" t', "savevm\\ t", "info blokc", "info Snapshots x"])
def test_command_that_is_unknown_here_is_unknown_to_qemu(client: RawClient, qemu_version: QEMUVersion, line: str) -> None:
    with pytest.raises(LineError, match="unknown"):
        read_line(line, facts_of(client, qemu_version))
    assert client.hmp(line).startswith("unknown command: ")


@pytest.mark.parametrize("line", ["info version", "info block -v", "help", " info  status ", "p/x 1", "print 5"])
def test_command_that_is_known_here_is_known_to_qemu(client: RawClient, qemu_version: QEMUVersion, line: str) -> None:
    read_line(line, facts_of(client, qemu_version))
    assert "unknown command" not in client.hmp(line)


def test_live_tags_block_names_and_devices(empty: RawClient, qemu_version: QEMUVersion) -> None:
    assert empty.hmp("savevm first") == ""
    facts = facts_of(empty, qemu_version)
    (tag,) = facts.tags
    assert tag.name == "first"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d  [\d.]+ (KiB|MiB)", tag.meta)
    names = {named.name: named.meta for named in (*facts.drives, *facts.nodes)}
    assert names["d0"] == "qcow2 d0.qcow2"
    assert names["n1"] == "qcow2 n1.qcow2"
    assert names["ro"] == "qcow2 ro.qcow2 read-only"
    generated = [name.startswith("#block") for name in names]
    assert generated == sorted(generated)
    assert any(generated)
    assert [(named.name, named.meta) for named in facts.qdev_ids] == [("net.0", "virtio-blk-pci")]


def test_offered_block_names_are_known_to_qemu(client: RawClient, qemu_version: QEMUVersion) -> None:
    offered = [one.text for one in suggest("qemu-io ", facts_of(client, qemu_version), lambda question: ())]
    assert {"d0", "n1", "ro"} < set(offered)
    for name in offered:
        assert "Cannot find" not in client.hmp(f'qemu-io {name} "info"')


def test_live_schema(client: RawClient, qemu_version: QEMUVersion) -> None:
    commands, events = read_schema(client.returned("query-qmp-schema"))
    assert {entry["name"] for entry in client.returned("query-commands")} == set(commands)
    assert {"STOP", "RESUME", "JOB_STATUS_CHANGE"} < set(events)
    command_line = commands["human-monitor-command"].argument("command-line")
    assert command_line is not None
    assert (command_line.type, command_line.is_optional) == ("string", False)
    on_error = commands["block-stream"].argument("on-error")
    assert on_error is not None
    assert {"report", "ignore", "stop"} < set(on_error.values)
    assert {name for name, command in commands.items() if command.takes_any} >= {"device_add", "qom-set"}
    if qemu_version >= (6, 0):
        assert commands["snapshot-save"].required == ("job-id", "tag", "vmstate", "devices")


@pytest.mark.parametrize("line", ["qmp stop a=1", "qmp query-nonsense", "qmp block_resize", "qmp block_resize {}"])
def test_qmp_line_that_is_wrong_here_is_wrong_to_qemu(client: RawClient, qemu_version: QEMUVersion, line: str) -> None:
    with pytest.raises(LineError):
        read_line(line, facts_of(client, qemu_version))
    _, name, *arguments = line.split()
    given = {"a": 1} if arguments == ["a=1"] else {}
    assert "error" in client.execute(name, given)


def test_any_property_of_a_device_is_taken(client: RawClient, qemu_version: QEMUVersion) -> None:
    read_line("qmp device_add driver=virtio-rng-pci id=x max-bytes=5", facts_of(client, qemu_version))


@pytest.mark.parametrize("tag", TAGS)
def test_quoted_tag_saves_and_is_offered_and_deletes(empty: RawClient, qemu_version: QEMUVersion, tag: str) -> None:
    assert empty.hmp(f"savevm {quote_tag(tag)}") == ""
    assert [row["name"] for row in snapshots(empty, "d0.qcow2")] == [tag]
    facts = facts_of(empty, qemu_version)
    (offered,) = suggest("delvm ", facts, lambda question: ())
    line = f"delvm {offered.text}"
    assert isinstance(read_line(line, facts), HMPLine)
    assert empty.hmp(line) == ""
    assert snapshots(empty, "d0.qcow2") == []
