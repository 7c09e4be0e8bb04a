"""Which QMP command does what an HMP command does.

Made from `help`, `help info` and `query-commands` of QEMU 7.2, 10.0 and 11.1. A command without an entry does not exist in HMP
or is newer than this table; one that QEMU has dropped since stays, for those who still have it. What QEMU deprecated and
dropped is in shim/hmp/deprecations.py.

The audit's advice and the refusals of mode "enforce" quote this table. It names commands and what is different about them; it
does not translate arguments (shim/hmp/translation.py), because few of them correspond word for word. To add a command, add a
line to the group that fits (the same name, the same with hyphens, another name, nothing in QMP);
tests/integration/hmp/test_replacements_on_qemu.py compares the table with what each real QEMU lists.
"""

from dataclasses import dataclass

__all__ = ["REPLACEMENTS", "Replacement", "replacement"]


@dataclass(frozen=True, slots=True)
class Replacement:
    """What to use instead. commands: QMP's commands, () if there is no equivalent. note: what is different."""

    commands: tuple[str, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        if not self.commands:
            return f"no QMP equivalent{f' ({self.note})' if self.note else ''}"
        return " and ".join(self.commands) + (f" ({self.note})" if self.note else "")


# The groups below make up the table. Each says how the QMP name follows from the HMP name, so that the odd ones stand out.
def _same(*names: str) -> dict[str, Replacement]:
    """Return entries for commands that QMP has under the same name."""
    return {name: Replacement((name,)) for name in names}


def _hyphenated(*names: str) -> dict[str, Replacement]:
    """Return entries for commands that QMP has with hyphens in place of underscores."""
    return {name: Replacement((name.replace("_", "-"),)) for name in names}


def _superseded(since: str, **names: str) -> dict[str, Replacement]:
    """Return entries for commands whose hyphenated QMP namesake is itself deprecated. names: HMP's name to the newer one."""
    return {
        name: Replacement((name.replace("_", "-"),), f"deprecated since {since}: use {newer.replace('_', '-')}")
        for name, newer in names.items()
    }


def _none(*names: str, note: str = "") -> dict[str, Replacement]:
    """Return entries for commands without a QMP equivalent: mostly for debugging a guest, such as `x` and `gva2gpa`."""
    return {name: Replacement(note=note) for name in names}


def _info(topic: str, *commands: str, note: str = "") -> tuple[str, Replacement]:
    """Return the entry for a topic of `info`.

    note "unstable": QAPI marks the query so. Most of these return HMP's own text; any of them may change or go in a release,
    and a QEMU that was started with `-compat unstable-input=reject` refuses them.
    """
    return f"info {topic}", Replacement(commands, note)


# The commands return {} even if the job fails: query-jobs shows how it ended, until job-dismiss. HMP replaces a tag, stops the
# VM for a load and takes all disks; the jobs do only the second, and take the nodes that they are given.
_SNAPSHOTS = {
    "savevm": Replacement(("snapshot-save",), "a job; delete the tag first to replace it"),
    "loadvm": Replacement(("snapshot-load",), "a job; the VM stays stopped if it fails"),
    "delvm": Replacement(("snapshot-delete",), "a job"),
}

_CAPTURE = "deprecated since 10.2: use -audiodev wav, or the host's audio system"

# The same name does not mean the same arguments: HMP's are positional, QMP's have names. HMP has no abbreviations (seen on 5.2
# to 11.1): `c`, `q` and `s` below are commands of their own.
_ACTIONS = (
    _same("balloon", "block_resize", "block_set_io_throttle", "chardev-add", "chardev-change", "chardev-remove")
    | _same("chardev-send-break", "client_migrate_info", "closefd", "cont", "device_add", "device_del", "dump-guest-memory")
    | _same("dumpdtb", "eject", "expire_password", "getfd", "memsave", "migrate", "migrate_cancel", "netdev_add", "netdev_del")
    | _same("pmemsave", "qom-get", "qom-list", "qom-set", "quit", "screendump", "set_link", "set_password", "stop")
    | _same("dump-skeys", "system_powerdown", "system_reset", "system_wakeup", "xen-event-inject", "xen-event-list")
    | _hyphenated("announce_self", "block_job_cancel", "block_job_set_speed", "block_stream", "calc_dirty_rate")
    | _hyphenated("cancel_vcpu_dirty_limit", "drive_mirror", "migrate_continue", "migrate_incoming", "migrate_pause")
    | _hyphenated("migrate_recover", "migrate_start_postcopy", "nbd_server_start", "nbd_server_stop")
    | _hyphenated("object_add", "object_del", "replay_break", "replay_delete_break", "replay_seek", "ringbuf_read")
    | _hyphenated("ringbuf_write", "set_vcpu_dirty_limit", "x_colo_lost_heartbeat")
    | _superseded("5.2", nbd_server_add="block_export_add", nbd_server_remove="block_export_del")
    | _superseded("6.2", drive_backup="blockdev_backup")
    | _superseded("10.1", block_job_pause="job_pause", block_job_resume="job_resume", block_job_complete="job_complete")
    | {
        "change": Replacement(("blockdev-change-medium", "display-update"), "display-update for VNC addresses"),
        "commit": Replacement(("block-commit",)),
        "c": Replacement(("cont",)),
        "drive_add": Replacement(("blockdev-add",)),
        "drive_del": Replacement(("blockdev-del",), "after device_del"),
        "exit_preconfig": Replacement(("x-exit-preconfig",)),
        "help": Replacement(("query-commands", "query-qmp-schema")),
        "?": Replacement(("query-commands", "query-qmp-schema")),
        "info": Replacement(("query-commands", "query-qmp-schema")),
        "migrate_set_capability": Replacement(("migrate-set-capabilities",)),
        "migrate_set_parameter": Replacement(("migrate-set-parameters",)),
        "mouse_button": Replacement(("input-send-event",)),
        "mouse_move": Replacement(("input-send-event",)),
        "nmi": Replacement(("inject-nmi",)),
        "q": Replacement(("quit",)),
        "qemu-io": Replacement(("x-qemu-io",), "unstable, since 11.2"),
        "s": Replacement(("stop",)),
        "sendkey": Replacement(("send-key",)),
        "snapshot_blkdev": Replacement(("blockdev-snapshot-sync",)),
        "snapshot_blkdev_internal": Replacement(("blockdev-snapshot-internal-sync",)),
        "snapshot_delete_blkdev_internal": Replacement(("blockdev-snapshot-delete-internal-sync",)),
        "trace-event": Replacement(("trace-event-set-state",)),
        "watchdog_action": Replacement(("watchdog-set-action",)),
    }
    | _none("boot_set", "clear", "cpu", "gdbserver", "gpa2hpa", "gpa2hva", "gva2gpa", "hostfwd_add", "hostfwd_remove", "i")
    | _none("log", "logfile", "mce", "migration_mode", "mouse_set", "o", "one-insn-per-tb", "p", "pcie_aer_inject_error")
    | _none("print", "singlestep", "sum", "sync-profile", "trace-file", "x", "xp")
    | _none("stopcapture", "wavcapture", note=_CAPTURE)
)

_INFO = dict(
    (
        _info("accel", "x-accel-stats", note="unstable"),
        _info("accelerators", "query-accelerators"),
        _info("balloon", "query-balloon"),
        _info("block", "query-block", "query-named-block-nodes"),
        _info("block-jobs", "query-block-jobs"),
        _info("blockstats", "query-blockstats"),
        _info("capture", note=_CAPTURE),
        _info("chardev", "query-chardev"),
        _info("cpus", "query-cpus-fast"),
        _info("cryptodev", "query-cryptodev"),
        _info("dirty_rate", "query-dirty-rate"),
        _info("dump", "query-dump"),
        _info("firmware-log", "query-firmware-log"),
        _info("hotpluggable-cpus", "query-hotpluggable-cpus"),
        _info("iothreads", "query-iothreads"),
        _info("irq", "x-query-irq", note="unstable"),
        _info("jit", "x-query-jit", note="unstable"),
        _info("kvm", "query-kvm", note="deprecated since 11.0: use query-accelerators"),
        _info("memdev", "query-memdev"),
        _info("memory-devices", "query-memory-devices"),
        _info("memory_size_summary", "query-memory-size-summary"),
        _info("mice", "query-mice"),
        _info("migrate", "query-migrate"),
        _info("migrate_capabilities", "query-migrate-capabilities"),
        _info("migrate_parameters", "query-migrate-parameters"),
        _info("name", "query-name"),
        _info("network", "x-query-network", note="unstable, since 11.2"),
        _info("numa", "x-query-numa", note="unstable"),
        _info("opcount", "x-query-opcount", note="unstable"),
        _info("pci", "query-pci"),
        _info("profile", "x-query-profile", note="unstable"),
        _info("qom-tree", "qom-list"),
        _info("ramblock", "x-query-ramblock", note="unstable"),
        _info("rdma", "x-query-rdma", note="unstable"),
        _info("replay", "query-replay"),
        _info("rocker", "query-rocker"),
        _info("rocker-of-dpa-flows", "query-rocker-of-dpa-flows"),
        _info("rocker-of-dpa-groups", "query-rocker-of-dpa-groups"),
        _info("rocker-ports", "query-rocker-ports"),
        _info("roms", "x-query-roms", note="unstable"),
        _info("sev", "query-sev"),
        _info("sgx", "query-sgx"),
        _info("snapshots", "query-named-block-nodes", note="image.snapshots of each node"),
        _info("spice", "query-spice"),
        _info("stats", "query-stats"),
        _info("status", "query-status"),
        _info("tpm", "query-tpm"),
        _info("trace-events", "trace-event-get-state"),
        _info("usb", "x-query-usb", note="unstable"),
        _info("usernet", "x-query-usernet", note="unstable, since 11.2"),
        _info("uuid", "query-uuid"),
        _info("vcpu_dirty_limit", "query-vcpu-dirty-limit"),
        _info("version", "query-version"),
        _info("virtio", "x-query-virtio", note="unstable"),
        _info("virtio-queue-element", "x-query-virtio-queue-element", note="unstable"),
        _info("virtio-queue-status", "x-query-virtio-queue-status", note="unstable"),
        _info("virtio-status", "x-query-virtio-status", note="unstable"),
        _info("virtio-vhost-queue-status", "x-query-virtio-vhost-queue-status", note="unstable"),
        _info("vm-generation-id", "query-vm-generation-id"),
        _info("vnc", "query-vnc-servers"),
    )
) | _none(
    *(f"info {topic}" for topic in ("cmma", "history", "lapic", "mem", "mtree", "pic", "qdm", "qtree", "registers", "skeys")),
    *(f"info {topic}" for topic in ("sync-profile", "tlb", "usbhost", "via")),
)

REPLACEMENTS = _SNAPSHOTS | _ACTIONS | _INFO


def replacement(name: str, topic: str = "") -> Replacement | None:
    """Return the entry for an HMP command by its name, for `info` also by its topic; None if the table has none.

    None does not mean that QMP has no equivalent, as an empty Replacement does, but that nobody has looked for one.
    """
    return REPLACEMENTS.get(f"info {topic}" if name == "info" and topic else name)
