"""What a QEMU tells of its commands: HMP's help and QMP's schema.

The golden help is QEMU 7.2.22's, tabs and CRLF included.
"""

from typing import Any, Final

__all__ = ["BUILTINS", "HELP", "HELP_INFO", "SCHEMA", "entry", "member"]

HELP: Final = (
    "block_job_cancel [-f] device -- stop an active background block operation (use -f\r\n"
    "\t\t\t if you want to abort the operation immediately\r\n"
    "\t\t\t instead of keep running until data is in sync)\r\n"
    "change device [-f] filename [format [read-only-mode]] -- change a removable medium, optional format, use -f to force\r\n"
    "commit device|all -- commit changes to the disk images (if -snapshot is used) or backing files\r\n"
    "delvm tag -- delete a VM snapshot from its tag\r\n"
    "device_del device -- remove device\r\n"
    "drive_add [-n] [[<domain>:]<bus>:]<slot>\r\n"
    "[file=file][,if=type][,bus=n]\r\n"
    "[,readonly=on|off][,copy-on-read=on|off] -- add drive to PCI storage controller\r\n"
    "dump-guest-memory [-p] [-d] [-z|-l|-s|-w] filename [begin length] -- dump guest memory into file 'filename'.\r\n"
    "\t\t\t-p: do paging to get guest's memory mapping.\r\n"
    "eject [-f] device -- eject a removable medium (use -f to force it)\r\n"
    "help|? [cmd] -- show the help\r\n"
    "info [subcommand] -- show various information about the system state\r\n"
    "loadvm tag -- restore a VM snapshot from its tag\r\n"
    "nbd_server_add nbd_server_add [-w] device [name] -- export a block device via NBD\r\n"
    "print|p /fmt expr -- print expression value (use $reg for CPU register access)\r\n"
    'qemu-io [-d] [device] "[command]" -- run a qemu-io command on a block device\r\n'
    "quit|q  -- quit the emulator\r\n"
    "ringbuf_read device size -- Read from a ring buffer character device\r\n"
    "savevm tag -- save a VM snapshot. If no tag is provided, a new snapshot is created\r\n"
    "screendump filename [-f format] [device [head]] -- save screen from head 'head' of display device 'device'\r\n"
    "set_link name on|off -- change the link status of a network adapter\r\n"
    "snapshot_blkdev_internal device name -- take an internal snapshot of device.\r\n"
    "\t\t\tsupport it, such as qcow2.\r\n"
    "\t\t\t\r\n"
    "stop|s  -- stop emulation\r\n"
    "sync-profile [on|off|reset] -- enable, disable or reset synchronization profiling.\r\n"
    "x /fmt addr -- virtual memory dump starting at 'addr'\r\n"
)


HELP_INFO: Final = (
    "info block [-n] [-v] [device] -- show info of one block device or all block devices (-n: show named nodes)\r\n"
    "info block-jobs  -- show progress of ongoing block device operations\r\n"
    "info mtree [-f][-d][-o][-D] -- show memory tree (-f: dump flat view for address spaces)\r\n"
    "info registers [-a|vcpu] -- show the cpu registers (-a: show register info for all cpus)\r\n"
    "info snapshots  -- show the currently saved VM snapshots\r\n"
    "info status  -- show the current VM status (running|paused)\r\n"
)


def entry(name: str, meta_type: str, **members: Any) -> dict[str, Any]:
    return {"name": name, "meta-type": meta_type, **members}


def member(name: str, type: str, **members: Any) -> dict[str, Any]:
    return {"name": name, "type": type, **members}


OPTIONAL: Final = {"default": None}
BUILTINS: Final = [
    entry(name, "builtin", **{"json-type": json_type})
    for name, json_type in {"str": "string", "int": "int", "bool": "boolean", "number": "number", "any": "value"}.items()
]


SCHEMA: Final[list[dict[str, Any]]] = [
    *BUILTINS,
    entry("null", "builtin", **{"json-type": "null"}),
    entry("[str]", "array", **{"element-type": "str"}),
    entry("[9]", "array", **{"element-type": "9"}),
    entry("0", "object", members=[]),
    # QEMU before 6.2 has only "values", later ones both.
    entry("1", "enum", values=["secret", "iothread"]),
    entry("2", "enum", values=["json"], members=[{"name": "keep"}, {"name": "fail", "features": ["deprecated"]}]),
    entry("3", "alternate", members=[{"type": "str"}, {"type": "null"}]),
    entry("4", "object", members=[member("job-id", "str"), member("tag", "str"), member("devices", "[str]")]),
    entry("5", "object", members=[member("path", "str"), member("value", "any")]),
    entry("6", "object", members=[member("driver", "str"), member("id", "str", **OPTIONAL)]),
    entry(
        *("7", "object"),
        members=[member("qom-type", "1"), member("id", "str")],
        tag="qom-type",
        variants=[{"case": "secret", "type": "8"}, {"case": "iothread", "type": "10"}],
    ),
    entry("8", "object", members=[member("data", "str"), member("limit", "int"), member("loaded", "bool", **OPTIONAL)]),
    entry("9", "object", members=[member("x", "int")]),
    entry("10", "object", members=[member("limit", "3"), member("loaded", "bool"), member("rules", "[9]")]),
    entry("11", "object", members=[member("mode", "2", **OPTIONAL), member("at", "9"), member("speed", "number")]),
    entry("snapshot-save", "command", **{"arg-type": "4", "ret-type": "0"}),
    entry("qom-set", "command", **{"arg-type": "5", "ret-type": "0"}),
    entry("device_add", "command", **{"arg-type": "6", "ret-type": "0"}),
    entry("object-add", "command", **{"arg-type": "7", "ret-type": "0"}),
    entry("set-mode", "command", **{"arg-type": "11", "ret-type": "0"}),
    entry("stop", "command", **{"arg-type": "0", "ret-type": "0"}),
    entry("STOP", "event", **{"arg-type": "0"}),
    entry("BLOCK_JOB_READY", "event", **{"arg-type": "4"}),
    entry("BLOCK_JOB_ERROR", "event", **{"arg-type": "4"}),
]
