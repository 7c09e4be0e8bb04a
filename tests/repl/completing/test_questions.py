"""What is asked, and how it is read. The answers are QEMU 7.2.22's, shortened."""

from typing import Any

import pytest

from repl.completing.questions import LONGEST_ANSWER, Kind, Question, folder_of, is_lasting, query, read_answer, uses_hmp
from repl.completion_data import Named
from shim.errors import UnreadableReply
from shim.qmp import Execute

NETWORK = (
    "hub 1\r\n \\ h1: s0: index=0,type=socket,\r\n \\ h0\r\n"
    "nic0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:12:34:56\r\n"
    " \\ n0: index=0,type=user,net=10.0.2.0,restrict=off\r\n"
)
QTREE = 'bus: main-system-bus\r\n  type System\r\n  dev: i440FX-pcihost, id ""\r\n    bus: pci.0\r\n      type PCI\r\n'
ON_OFF = ("on", "off")
LOG = (
    "Log items (comma separated):\r\nnone            remove all logs\r\n"
    "guest_errors    log when the guest OS does something invalid (eg accessing a\r\nnon-existent register)\r\n"
    'plugin          output from TCG plugins\r\n\r\ntrace:PATTERN   enable trace events\r\n\r\nUse "log trace:help"'
)
LOG_ITEMS = [
    Named("none", "remove all logs"),
    Named("guest_errors", "log when the guest OS does something invalid (eg accessing a"),
    Named("plugin", "output from TCG plugins"),
    Named("trace:", "enable trace events"),
]
NOT_ASKED = (Kind.DRIVERS, Kind.FILES, Kind.OWN_FILES)
PARAMETERS = [Named("tls-creds", ""), Named("max-bandwidth", "5"), Named("multifd", "on"), Named("direct-io", "off")]


@pytest.mark.parametrize(
    ("kind", "value", "names"),
    [
        (Kind.BUSES, QTREE, [Named("main-system-bus", "System", "System"), Named("pci.0", "PCI", "PCI")]),
        (
            Kind.CAPABILITIES,
            [{"capability": "xbzrle", "state": True}, {"capability": "events", "state": False}],
            [Named("xbzrle", "on"), Named("events", "off")],
        ),
        (Kind.CHARDEVS, [{"label": "rb", "filename": "ringbuf"}], [Named("rb", "ringbuf")]),
        (Kind.CHARDEV_BACKENDS, [{"name": "null"}], [Named("null", "")]),
        (Kind.CPUS, [{"cpu-index": 0, "qom-path": "/machine/cpu"}], [Named("0", "/machine/cpu")]),
        (Kind.CPU_TYPES, [{"name": "max", "typename": "max-x86_64-cpu"}], [Named("max-x86_64-cpu", "CPU")]),
        (
            Kind.DRIVES,
            [{"device": "d0", "inserted": {"drv": "qcow2"}}, {"device": "cd0"}, {"device": "", "inserted": {"drv": "raw"}}],
            [Named("d0", ""), Named("cd0", "no medium")],
        ),
        (
            Kind.REMOVABLE_DRIVES,
            [{"device": "d0", "inserted": {}, "removable": False}, {"device": "cd0", "removable": True}],
            [Named("cd0", "no medium")],
        ),
        (
            Kind.DISK_IDS,
            [
                {"device": "d0", "qdev": "/machine/peripheral/x/virtio-backend", "removable": False},
                {"device": "cd0", "qdev": "cd", "removable": True},
                {"device": "u", "removable": True},
            ],
            [Named("cd", "cd0"), Named("/machine/peripheral/x/virtio-backend", "d0")],
        ),
        (Kind.EXPORTS, [{"id": "e0", "type": "nbd", "node-name": "d0"}], [Named("e0", "nbd of d0")]),
        (Kind.JOBS, [{"device": "j0", "type": "mirror", "status": "ready"}], [Named("j0", "mirror, ready")]),
        (Kind.LOG_ITEMS, LOG, LOG_ITEMS),
        (
            Kind.NETWORK,
            NETWORK,
            [Named("s0", "socket"), Named("h1", "hubport"), Named("h0", "hubport"), Named("nic0", "nic"), Named("n0", "user")],
        ),
        (Kind.FREE_NETDEVS, NETWORK + "free: index=0,type=tap\r\n", [Named("h0", "hubport"), Named("free", "tap")]),
        (
            Kind.QMP_JOBS,
            [{"id": "s0", "type": "snapshot-save", "status": "concluded"}],
            [Named("s0", "snapshot-save, concluded")],
        ),
        (
            Kind.OPTIONS,
            [
                {
                    "option": "drive",
                    "parameters": [
                        {"name": "file", "type": "string", "help": "file name"},
                        {"name": "snapshot", "type": "boolean", "help": "enable/disable snapshot mode"},
                        {"name": "media", "type": "string", "help": "media type (disk, cdrom)"},
                        {"name": "discard", "type": "string", "help": "discard operation (ignore/off, unmap/on)"},
                        {"name": "format", "type": "string", "help": "disk format (raw, qcow2, ...)"},
                        {"name": "unit", "type": "number", "help": "unit number (i.e. lun for scsi)"},
                        {"name": "tight", "type": "boolean", "default": "on"},
                    ],
                }
            ],
            [
                Named("file", "file name", "string"),
                Named("snapshot", "enable/disable snapshot mode", "boolean", ON_OFF),
                Named("media", "media type (disk, cdrom)", "string", ("disk", "cdrom")),
                Named(
                    *("discard", "discard operation (ignore/off, unmap/on)", "string"),
                    values=("ignore", "off", "unmap", "on"),
                ),
                Named("format", "disk format (raw, qcow2, ...)", "string"),
                Named("unit", "unit number (i.e. lun for scsi)", "number"),
                Named("tight", "boolean (default on)", "boolean", ON_OFF),
            ],
        ),
        (Kind.PARAMETERS, {"tls-creds": "", "max-bandwidth": 5, "multifd": True, "direct-io": False}, PARAMETERS),
        (Kind.QOM, [{"name": "machine", "type": "child<pc>"}], [Named("machine", "child<pc>", "child<pc>")]),
        (
            Kind.RING_BUFFERS,
            [{"label": "rb", "filename": "ringbuf"}, {"label": "nu", "filename": "null"}, {"label": "m", "filename": "memory"}],
            [Named("rb", "ringbuf"), Named("m", "memory")],
        ),
        (Kind.TRACE_EVENTS, [{"name": "bdrv_lock_medium", "state": "disabled"}], [Named("bdrv_lock_medium", "disabled")]),
    ],
)
def test_answer(kind: Kind, value: Any, names: list[Named]) -> None:
    assert list(read_answer(Question(kind), value)) == names


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"name": "serial", "type": "str"}, Named("serial", "str", "str")),
        ({"name": "serial", "type": "str", "default-value": ""}, Named("serial", "str", "str")),
        (
            {"name": "drive", "type": "str", "description": "Node name or ID"},
            Named("drive", "str, Node name or ID", "str"),
        ),
        (
            {"name": "packed", "type": "bool", "description": "on/off", "default-value": False},
            Named("packed", "bool (default off)", "bool", ON_OFF),
        ),
        ({"name": "aer", "type": "bool", "default-value": True}, Named("aer", "bool (default on)", "bool", ON_OFF)),
        (
            {
                "name": "geo",
                "type": "BiosAtaTranslation",
                "description": "CHS algorithm, auto/none/lba",
                "default-value": "auto",
            },
            Named(
                "geo",
                "BiosAtaTranslation, CHS algorithm, auto/none/lba (default auto)",
                "BiosAtaTranslation",
                ("auto", "none", "lba"),
            ),
        ),
        (
            {"name": "lost", "type": "LostTickPolicy", "description": "Policy (discard/delay)"},
            Named("lost", "LostTickPolicy, Policy (discard/delay)", "LostTickPolicy", ("discard", "delay")),
        ),
        (
            {"name": "host", "type": "str", "description": "Address (bus/device/function) of the device, example: 04:10.0"},
            Named("host", "str, Address (bus/device/function) of the device, example: 04:10.0", "str"),
        ),
    ],
)
def test_property(entry: dict[str, Any], expected: Named) -> None:
    parts = {"name": "own", "type": "child<memory-region>"}
    assert read_answer(Question(Kind.PROPERTIES, "x"), [parts, entry]) == (expected,)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.QOM, 5),
        (Kind.QOM, [{}]),
        (Kind.QOM, [{"name": "x", "type": None}, 5]),
        (Kind.OPTIONS, []),
        (Kind.PARAMETERS, []),
        (Kind.BUSES, {}),
    ],
)
def test_answer_that_nobody_expects_is_not_read(kind: Kind, value: Any) -> None:
    with pytest.raises(UnreadableReply):
        read_answer(Question(kind), value)


def test_long_list_is_cut() -> None:
    value = [{"name": str(number), "state": "disabled"} for number in range(LONGEST_ANSWER + 5)]
    assert len(read_answer(Question(Kind.TRACE_EVENTS), value)) == LONGEST_ANSWER


def test_question_is_a_query_about_what_is_named() -> None:
    assert query(Question(Kind.QOM, "/objects")) == Execute("qom-list", {"path": "/objects"})
    assert query(Question(Kind.PROPERTIES, "e1000")) == Execute("device-list-properties", {"typename": "e1000"})
    assert query(Question(Kind.OPTIONS, "drive")) == Execute("query-command-line-options", {"option": "drive"})
    assert query(Question(Kind.TRACE_EVENTS)) == Execute("trace-event-get-state", {"name": "*"})
    assert query(Question(Kind.NETWORK)) == Execute("human-monitor-command", {"command-line": "info network"})
    assert query(Question(Kind.BUSES)) == Execute("human-monitor-command", {"command-line": "info qtree"})
    assert query(Question(Kind.CHARDEVS)) == Execute("query-chardev")


def test_no_question_has_modules_loaded() -> None:
    """See repl/completing/__init__.py."""
    asked = [query(Question(kind)) for kind in Kind if kind not in NOT_ASKED]
    assert "qom-list-types" not in {command.command for command in asked}
    assert {str(command.arguments.get("command-line", "info")).split()[0] for command in asked} == {"help", "info"}


def test_what_a_qemu_is_built_of_lasts() -> None:
    assert is_lasting(Question(Kind.PROPERTIES, "e1000"))
    assert not is_lasting(Question(Kind.CHARDEVS))


def test_questions_that_qmp_does_not_have() -> None:
    assert {kind for kind in Kind if kind not in NOT_ASKED and uses_hmp(Question(kind))} == {
        Kind.BUSES,
        Kind.FREE_NETDEVS,
        Kind.LOG_ITEMS,
        Kind.NETWORK,
    }


@pytest.mark.parametrize(("typed", "folder"), [("", ""), ("a", ""), ("/", "/"), ("/a/b", "/a/"), ("a/", "a/")])
def test_folder_of_a_name(typed: str, folder: str) -> None:
    assert folder_of(typed) == Question(Kind.FILES, folder)
    assert folder_of(typed, Kind.OWN_FILES) == Question(Kind.OWN_FILES, folder)
