"""A prompt that knows a VM: facts and answers for completion without one."""

from collections.abc import Mapping
from typing import Final

from repl.completing.drivers import drivers
from repl.completing.names import Look
from repl.completing.questions import Kind, Question
from repl.completing.schema import Schema
from repl.completion_data import CompletionData, Named, parse_help, read_schema
from shim.qmp import QEMUVersion
from tests.support.repl.qemu_facts import BUILTINS, entry, member

__all__ = ["ANSWERS", "FACTS", "SCHEMA", "looking"]

OPTIONAL: Final = {"default": None}


def command(name: str, *members: dict[str, object], **more: object) -> list[dict[str, object]]:
    arguments = entry(f"arguments of {name}", "object", members=list(members), **more)
    return [entry(name, "command", **{"arg-type": arguments["name"], "ret-type": "none"}), arguments]


SCHEMA: Final = [
    *BUILTINS,
    entry("none", "object", members=[]),
    entry("types", "enum", values=["secret", "iothread"]),
    entry("formats", "enum", values=["raw", "qcow2"]),
    entry("endpoints", "enum", values=["client", "server"]),
    entry("drivers", "enum", values=["user", "stream", "hubport"]),
    entry("keys", "enum", values=["a", "alt", "ctrl", "delete"]),
    entry("key types", "enum", values=["number", "qcode"]),
    entry("actions", "enum", values=["reset", "pause"]),
    entry("modes", "enum", values=["retain", "read-only"]),
    entry("compressions", "enum", values=["none", "zlib"]),
    entry("connected", "enum", values=["keep", "fail"]),
    entry("[str]", "array", **{"element-type": "str"}),
    entry("[key]", "array", **{"element-type": "key"}),
    entry("[format]", "array", **{"element-type": "formats"}),
    entry("[[key]]", "array", **{"element-type": "[key]"}),
    entry("secret", "object", members=[member("data", "str", **OPTIONAL), member("format", "formats", **OPTIONAL)]),
    entry("iothread", "object", members=[member("poll-max-ns", "int", **OPTIONAL), member("loaded", "bool", **OPTIONAL)]),
    entry("hubport", "object", members=[member("netdev", "str", **OPTIONAL)]),
    entry("user", "object", members=[member("restrict", "bool", **OPTIONAL), member("hostfwd", "[str]", **OPTIONAL)]),
    entry("stream", "object", members=[member("addr", "address"), member("endpoint", "endpoints", **OPTIONAL)]),
    entry("address", "object", members=[member("type", "str"), member("host", "str"), member("more", "none")]),
    entry(
        *("key", "object"),
        members=[member("type", "key types")],
        tag="type",
        variants=[{"case": "number", "type": "number data"}, {"case": "qcode", "type": "key data"}],
    ),
    entry("number data", "object", members=[member("data", "int")]),
    entry("key data", "object", members=[member("data", "keys")]),
    entry("node", "object", members=[member("driver", "formats"), member("node-name", "str"), member("file", "node or name")]),
    entry("node or name", "alternate", members=[{"type": "str"}, {"type": "node"}]),
    entry("name or null", "alternate", members=[{"type": "str"}, {"type": "null"}]),
    entry("null", "builtin", **{"json-type": "null"}),
    *command(
        "object-add",
        *(member("qom-type", "types"), member("id", "str")),
        tag="qom-type",
        variants=[{"case": "secret", "type": "secret"}, {"case": "iothread", "type": "iothread"}],
    ),
    *command(
        "netdev_add",
        *(member("type", "drivers"), member("id", "str")),
        tag="type",
        variants=[{"case": name, "type": name} for name in ("user", "stream", "hubport")],
    ),
    entry("blockdev-add", "command", **{"arg-type": "node", "ret-type": "none"}),
    *command(
        "send-key", member("keys", "[key]"), member("rows", "[[key]]", **OPTIONAL), member("formats", "[format]", **OPTIONAL)
    ),
    *command("watchdog-set-action", member("action", "actions")),
    *command(
        "migrate-set-parameters", member("multifd", "bool"), member("compression", "compressions"), member("speed", "int")
    ),
    *command("blockdev-change-medium", member("read-only-mode", "modes")),
    *command("set_password", member("connected", "connected")),
    *command("device_add", member("driver", "str"), member("id", "str", **OPTIONAL)),
    *command("device_del", member("id", "str")),
    *command("chardev-add", member("id", "str")),
    *command("netdev_del", member("id", "str")),
    *command("object-del", member("id", "str")),
    *command("set_link", member("name", "str"), member("up", "bool")),
    *command("trace-event-set-state", member("name", "str"), member("enable", "bool")),
    *command("eject", member("device", "str", **OPTIONAL), member("id", "str", **OPTIONAL)),
    *command(
        "block_resize", member("device", "str", **OPTIONAL), member("node-name", "str", **OPTIONAL), member("size", "int")
    ),
    *command("block-stream", member("device", "str"), member("base-node", "str", **OPTIONAL)),
    *command("block-job-cancel", member("device", "str")),
    *command("job-dismiss", member("id", "str")),
    *command("block-export-del", member("id", "str")),
    *command("drive-mirror", member("device", "str"), member("target", "str"), member("job-id", "str", **OPTIONAL)),
    *command("blockdev-mirror", member("device", "str"), member("target", "str")),
    *command("block-export-add", member("id", "str"), member("node-name", "str"), member("iothread", "str", **OPTIONAL)),
    *command("chardev-remove", member("id", "str")),
    *command("snapshot-save", member("tag", "str"), member("vmstate", "str"), member("devices", "[str]")),
    *command("qom-get", member("path", "str"), member("property", "str")),
    *command("device-list-properties", member("typename", "str")),
    *command("screendump", member("filename", "str"), member("force", "bool", **OPTIONAL), member("other", "name or null")),
    *command("stop"),
]
QMP_COMMANDS, EVENTS = read_schema(SCHEMA)

HELP: Final = "\r\n".join(
    (
        "block_job_cancel [-f] device -- stop a job",
        "block_resize device size -- resize a block image",
        "change device [-f] filename [format [read-only-mode]] -- change a medium",
        "chardev-add args -- add chardev",
        "chardev-change id args -- change chardev",
        "chardev-remove id -- remove chardev",
        "commit device|all -- commit changes",
        "cpu index -- set the default CPU",
        "delvm tag -- delete a VM snapshot from its tag",
        "device_add driver[,prop=value][,...] -- add device, like -device on the command line",
        "device_del device -- remove device",
        "drive_add [-n] [[<domain>:]<bus>:]<slot>",
        "[file=file][,if=type] -- add drive to PCI storage controller",
        "drive_del device -- remove host block device",
        "drive_mirror [-n] [-f] device target [format] -- copy a device",
        "dump-guest-memory [-p] filename [begin length] -- dump guest memory",
        "eject [-f] device -- eject a removable medium (use -f to force it)",
        "expire_password protocol time [-d display] -- set the expire time of a password",
        "info [subcommand] -- show various information about the system state",
        "log item1[,...] -- activate logging of the specified items",
        "memsave addr size file -- save to disk virtual memory dump",
        "migrate_set_capability capability state -- Enable or disable",
        "migrate_set_parameter parameter value -- Set the parameter",
        "nbd_server_add nbd_server_add [-w] device [name] -- export a block device via NBD",
        "nbd_server_remove nbd_server_remove [-f] name -- remove an export",
        "netdev_add [user|tap],id=str[,prop=value][,...] -- add host network device",
        "netdev_del id -- remove host network device",
        "object_add [qom-type=]type,id=str[,prop=value][,...] -- create QOM object",
        "object_del id -- destroy QOM object",
        "qom-get path property -- print QOM property",
        "qom-list path -- list QOM properties",
        "qom-set [-j] path property value -- set QOM property",
        'qemu-io [-d] [device] "[command]" -- run a qemu-io command on a block device',
        "ringbuf_read device size -- Read from a ring buffer character device",
        "sendkey keys [hold_ms] -- send keys to the VM",
        "set_link name on|off -- change the link status of a network adapter",
        "set_password protocol password [-d display] [action-if-connected] -- set a password",
        "snapshot_delete_blkdev_internal device name [id] -- delete an internal snapshot",
        "stop|s  -- stop emulation",
        "trace-event name on|off [vcpu] -- changes status of a specific trace event",
        "watchdog_action [reset|shutdown] -- change watchdog action",
        "",
    )
)
HELP_INFO: Final = (
    "info block [-n] [-v] [device] -- show block devices\r\ninfo qom-tree [path] -- show QOM composition tree\r\n"
)

FACTS: Final = CompletionData(
    commands=parse_help(HELP),
    topics=parse_help(HELP_INFO, prefix="info"),
    tags=(Named("t1", "then"),),
    drives=(Named("d0", "qcow2"),),
    nodes=(Named("n0", "qcow2 n0.img"), Named("#block1", "file n0.img")),
    qdev_ids=(Named("net0", "e1000"),),
    qmp_commands=QMP_COMMANDS,
    events=EVENTS,
    schema=Schema(SCHEMA),
)
UHCI: Final = Named("uhci.0", "usb-bus", "usb-bus")
ANSWERS: Final[dict[Question, tuple[Named, ...]]] = {
    Question(Kind.BUSES): (Named("main-system-bus", "System", "System"), Named("pcie.0", "PCIE", "PCIE"), UHCI),
    Question(Kind.CAPABILITIES): (Named("events", "off"), Named("xbzrle", "on")),
    Question(Kind.CHARDEVS): (Named("rb", "ringbuf"), Named("nu", "null")),
    Question(Kind.CHARDEV_BACKENDS): (Named("null", ""), Named("socket", "")),
    Question(Kind.CPUS): (Named("0", "/machine/unattached/device[0]"),),
    Question(Kind.CPU_TYPES): (Named("max-x86_64-cpu", "CPU"),),
    Question(Kind.DISK_IDS): (Named("cd", "cd0"), Named("/machine/peripheral/d/virtio-backend", "d0")),
    Question(Kind.DRIVERS): drivers(QEMUVersion(7, 2, 22)),
    Question(Kind.DRIVES): (Named("d0", "qcow2"), Named("cd0", "no medium")),
    Question(Kind.EXPORTS): (Named("e0", "nbd of d0"),),
    Question(Kind.FILES): (Named("a.img", ""), Named("sub/", "folder")),
    Question(Kind.FILES, "/"): (Named("/etc/", "folder"),),
    Question(Kind.FREE_NETDEVS): (Named("free0", "tap"),),
    Question(Kind.JOBS): (Named("j0", "mirror, running"),),
    Question(Kind.LOG_ITEMS): (Named("none", "remove all logs"), Named("int", "interrupts"), Named("trace:", "enable")),
    Question(Kind.NETWORK): (Named("nic0", "nic"), Named("n0", "user"), Named("free0", "tap")),
    Question(Kind.OPTIONS, "chardev"): (
        Named("path", "string", "string"),
        Named("cols", "number", "number"),
        Named("logfile", "string", "string"),
        Named("server", "boolean", "boolean", ("on", "off")),
    ),
    Question(Kind.OPTIONS, "drive"): (
        Named("file", "file name", "string"),
        Named("format", "disk format (raw, qcow2, ...)", "string"),
        Named("backend", "string", "string"),
        Named("if", "interface (ide, scsi)", "string", ("ide", "scsi")),
        Named("werror", "write error action", "string"),
    ),
    Question(Kind.OWN_FILES): (Named("out.txt", ""), Named("two words", ""), Named("sub/", "folder"), Named('a"b', "")),
    Question(Kind.OWN_FILES, "/"): (Named("/tmp/", "folder"),),
    Question(Kind.PARAMETERS): (Named("speed", "5"),),
    Question(Kind.PROPERTIES, "virtio-blk-pci"): (
        Named("x-old", "bool", "bool", ("on", "off")),
        Named("drive", "str, Node name or ID of a block device to use as a backend", "str"),
        Named("iothread", "link<iothread>", "link<iothread>"),
        Named("netdev", "str", "str"),
        Named("chardev", "str", "str"),
        Named("romfile", "str", "str"),
        Named("serial", "str", "str"),
        Named("write-cache", "OnOffAuto (default auto)", "OnOffAuto", ("on", "off", "auto")),
        Named("packed", "bool (default off)", "bool", ("on", "off")),
    ),
    Question(Kind.QOM, "/"): (
        Named("machine", "child<pc>", "child<pc>"),
        Named("type", "string", "string"),
        Named("other", "link<pc>", "link<pc>"),
    ),
    Question(Kind.QOM, "/machine"): (Named("hpet", "bool", "bool"), Named("kernel", "string", "string")),
    Question(Kind.QOM, "/objects"): (
        Named("type", "string", "string"),
        Named("pc.ram", "child<memory-backend-ram>", "child<memory-backend-ram>"),
        Named("io1", "child<iothread>", "child<iothread>"),
    ),
    Question(Kind.QMP_JOBS): (Named("j0", "mirror, running"), Named("s0", "snapshot-save, concluded")),
    Question(Kind.REMOVABLE_DRIVES): (Named("cd0", "no medium"),),
    Question(Kind.RING_BUFFERS): (Named("rb", "ringbuf"),),
    Question(Kind.TRACE_EVENTS): (Named("bdrv_lock_medium", "disabled"),),
}


def looking(answers: Mapping[Question, tuple[Named, ...]] = ANSWERS) -> Look:
    return lambda question: answers.get(question, ())
