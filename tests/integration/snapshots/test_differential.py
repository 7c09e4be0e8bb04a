"""The proxy against QEMU's own HMP: the same machine twice, the same commands, and a client sees no difference.

Compared are the whole transcripts byte for byte (tests.integration.twins says what is made equal beforehand), so replies,
ids and the order of events; the run state after every command; the snapshots on every image and which of them has the VM
state; and how QEMU ends. Not here is where the proxy deviates on purpose: it refuses to load a duplicated tag, and what
would crash QEMU (loadvm below a running mirror kills QEMU 7.2).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import pytest

from shim.hmp import line as hmp
from shim.hmp.line import HMPLine
from shim.qmp import QEMUVersion
from tests.integration.twins import IDS, Boot, Case, Step, Until, play

pytestmark = [pytest.mark.versions, pytest.mark.matrix]

ONE: Final = {"d0.qcow2": ""}
TWO: Final = {"d0.qcow2": "", "d1.qcow2": ""}


def drive(name: str, *options: str, format: str = "qcow2") -> str:
    # Without flushes: what QEMU writes need not outlive the host.
    return ",".join((f"-drive if=none,id={name},format={format},file={name}.{format},cache=unsafe", *options))


def disk(name: str, *options: str, format: str = "qcow2") -> str:
    return f"{drive(name, *options, format=format)} -device virtio-blk-pci,drive={name}"


def blockdev(name: str, *options: str, format: str = "qcow2") -> str:
    file = f"file.driver=file,file.filename={name}.{format}"
    return ",".join((f"-blockdev driver={format},node-name={name},cache.no-flush=on,{file}", *options))


def partial(device: str, name: str) -> Step:
    """Make a snapshot of one disk, without a VM state."""
    return "blockdev-snapshot-internal-sync", {"device": device, "name": name}


def hmc(**arguments: Any) -> Step:
    return "human-monitor-command", {name.replace("_", "-"): value for name, value in arguments.items()}


def every(tag: str) -> Sequence[Step]:
    """Each command with the tag, the table in between, and the guest going on after a load that failed."""
    return [f"{name} {tag}".strip() for name in ("savevm", "loadvm", "savevm", "delvm")] + ["info snapshots", "cont"]


def on_some(device: str) -> Sequence[Step]:
    """Each command where the tag is on one disk only, at the beginning as before each."""
    again = partial(device, "t")
    return ["info snapshots", "loadvm t", "cont", "delvm t", "info snapshots", again, "savevm t", "info snapshots", "loadvm t"]


# Every command where it succeeds and where the tag is missing.
LIFE: Final[Sequence[Step]] = (
    *("info snapshots", "savevm t", "info snapshots", "savevm t", "savevm u", "info snapshots", "loadvm t", "loadvm t"),
    *("delvm t", "delvm t", "info snapshots", "loadvm t", "savevm v", "loadvm u", "cont", "loadvm u", "delvm u", "stop"),
    *("savevm t", "loadvm t", "delvm v", "delvm t", "info snapshots", "savevm kept"),
)
# The same in short.
BRIEF: Final[Sequence[Step]] = (
    *("info snapshots", "savevm t", "savevm t", "info snapshots", "loadvm t", "delvm t", "loadvm t", "info snapshots"),
    "savevm kept",
)
# Quoted, empty, each escape, not ASCII, NUL, what looks like an id, a path, an option or a format, and the longest.
TAGS: Final = (
    *('"a b"', '""', r'"a\nb\r\\\'\""', "é日本😀", "a\0b", "1", "/x", "-x", "%s%n", 'q"x"', "a" * 255, "😀" * 63 + "abc"),
)
LINES: Final[Sequence[Step]] = (
    *("savevm a b", 'savevm "a"b', 'savevm "a', r'savevm "a\t"', "loadvm", "loadvm ", "delvm", "delvm a b", "SAVEVM t"),
    *("savevmx", "info snapshots x", "info snapshot", "info/snapshots", "help savevm", "? loadvm", "", "  \n", "# savevm t"),
    *("savevm t\nsavevm u", "savevm t;savevm u", "info", "nosuch", " savevm\tt\n", "info\t snapshots ", "delvm/t"),
    *("info version", "info status", "help", "qemu-io d0 length", "print 1+1", "stop", "info block-jobs", "sync"),
)
INDEXES: Final[Sequence[Any]] = (0, 1, 2, -1, "0", None, 0.5, 1.0, True, 2**63, 2**64, [0], {})
NOT_LINES: Final[Sequence[Any]] = (5, None, ["savevm t"], {}, True)
ARGUMENTS: Final[Sequence[Step]] = (
    *(hmc(command_line="savevm t", cpu_index=index) for index in INDEXES),
    *(hmc(command_line="info snapshots", cpu_index=1), hmc(command_line="loadvm t", cpu_index=7), hmc(cpu_index=0), hmc()),
    *(hmc(command_line=line) for line in NOT_LINES),
    *(hmc(command_line="savevm t", bogus=1), hmc(command_lin="savevm t")),
    *(b'{"execute": "human-monitor-command", "arguments": %s, "id": 1}' % text for text in (b"[]", b'"x"', b"5", b"null")),
    b'{"execute": "human-monitor-command", "id": "none"}',
    b'{"execute": "human-monitor-command", "arguments": {"command-line": "savevm t"}, "bogus": 1}',
    b'{"exec-oob": "human-monitor-command", "arguments": {"command-line": "savevm t"}, "id": 1}',
    *("info snapshots", "delvm t"),
)
# Ids as text that QEMU spells anew.
SPELLINGS: Final = (
    *("1e3", "1.0", "-0", "0.1", "1e100", "12345678901234567890", "123456789012345678901234567890", "-9223372036854775808"),
    *("-9223372036854775809", "'a'", r'"\u00e9\/"', r'"\ud83d\ude00"', r'"\u0000"', "{'a':[1,2.50]}", "[ ]", "1E-7", "5e-324"),
)


def spelled(spelling: str, line: str) -> Step:
    text = "{'id': %s, 'execute': 'human-monitor-command', 'arguments': {'command-line': '%s'}}\n"
    return (text % (spelling, line)).encode()


def foreign(name: str, tag: str, job: str, *devices: str) -> Step:
    return name, {"job-id": job, "tag": tag, "devices": list(devices)} | ({} if "delete" in name else {"vmstate": devices[0]})


OWN_JOBS: Final[Sequence[Step]] = (
    *(foreign("snapshot-save", "t", "a", "d0", "d1"), "savevm u", ("query-jobs", {}), "info snapshots"),
    *(foreign("snapshot-save", "t", "b", "d0", "d1"), "savevm t", foreign("snapshot-load", "t", "c", "d0", "d1"), "loadvm t"),
    *(foreign("snapshot-delete", "t", "d", "d0", "d1"), ("query-jobs", {}), "delvm u", ("job-dismiss", {"id": "a"})),
    *(("job-dismiss", {"id": "a"}), ("query-jobs", {}), "loadvm t"),
)


def bitmap(**arguments: object) -> Sequence[Step]:
    return [("block-dirty-bitmap-add", {"node": "d1", "name": "b", **arguments})]


BACKUP: Final[Sequence[Step]] = (
    'qemu-io d0 "write -q -P 0xaa 0 4M"',
    ("blockdev-backup", {"job-id": "b", "device": "d0", "target": "target", "sync": "full", "speed": 1}),
)
MIRROR: Final[Sequence[Step | Until]] = (
    ("blockdev-mirror", {"job-id": "m", "device": "d0", "target": "target", "sync": "full"}),
    Until("BLOCK_JOB_READY"),
)
SHARED: Final = f"{blockdev('d0')} -device virtio-blk-pci,drive=d0,share-rw=on"
QUORUM: Final = "-blockdev quorum,node-name=q,vote-threshold=1,children.0=d1,children.1=d2"
HOT_ADDED: Final = ("blockdev-add", {"driver": "qcow2", "node-name": "d1", "file": {"driver": "file", "filename": "d1.qcow2"}})
HOT_ADDED_FILE: Final = ("blockdev-add", {"driver": "file", "node-name": "d1", "filename": "d1.qcow2"})
OVERLAY: Final[Sequence[Step]] = (
    ("blockdev-snapshot-sync", {"device": "d0", "snapshot-file": "over.qcow2", "format": "qcow2"}),
)
EXPORT: Final[Sequence[Step]] = (
    ("nbd-server-start", {"addr": {"type": "unix", "data": {"path": "nbd.sock"}}}),
    ("block-export-add", {"type": "nbd", "id": "e", "node-name": "d1", "writable": True}),
)
SHUT_DOWN: Final[Sequence[Step | Until]] = (("cont", {}), ("system_reset", {}), Until("STOP"))
THROTTLED: Final = (
    f"-object throttle-group,id=g,x-iops-total=100000 {blockdev('d0')} "
    "-blockdev driver=throttle,node-name=top,throttle-group=g,file=d0 -device virtio-blk-pci,drive=top"
)
# Writing beyond 512 KiB of the image fails; that is within the VM state.
FULL: Final = (
    "-drive if=none,id=d0,driver=qcow2,file.driver=blkdebug,file.image.driver=file,file.image.filename=d0.qcow2,"
    "file.inject-error.0.event=none,file.inject-error.0.iotype=write,file.inject-error.0.errno=28,"
    "file.inject-error.0.sector=1024,file.inject-error.0.once=off"
)
SIZE_MISMATCH: Final = (
    "Size mismatch: pc.ram: 0x3000000 != 0x2000000: Invalid argument\r\n"
    "error while loading state for instance 0x0 of device 'ram'\r\n"
)
WRITE_ERROR: Final = "failed to save SaveStateEntry with id(name): 2(ram): -5\r\n"
NO_DEVICE: Final = (
    "Unknown savevm section or instance '0000:00:03.0/virtio-rng' 0. Make sure that your current VM setup matches your "
    "saved VM setup, including any hotplugged devices\r\n"
)

CASES: Final = (
    Case("one-drive", disk("d0"), LIFE),
    Case("two-drives", f"{disk('d0')} {disk('d1')}", LIFE, TWO),
    Case("drives-without-devices", f"{drive('d0')} {drive('d1')}", BRIEF, TWO),
    Case("blockdevs-without-devices", f"{blockdev('d0')} {blockdev('d1')}", BRIEF, TWO),
    Case("blockdev-and-drive", f"{blockdev('d0')} {disk('d1')} -device virtio-blk-pci,drive=d0", BRIEF, TWO),
    Case("unused-blockdev-and-drive", f"{blockdev('d0')} {disk('d1')}", BRIEF, TWO),
    Case(
        "devices-in-other-order",
        f"{blockdev('d0')} {blockdev('d1')} -device virtio-blk-pci,drive=d1 -device virtio-blk-pci,drive=d0",
        BRIEF,
        TWO,
    ),
    Case("no-tag", disk("d0"), ("savevm", "info snapshots", "loadvm", "delvm")),
    Case("tags", f"{disk('d0')} {disk('d1')}", [step for tag in TAGS for step in every(tag)], TWO),
    Case("tag-256-bytes", disk("d0"), [*every("a" * 256), "delvm " + "a" * 255, "info snapshots"]),
    Case(
        "partial-tables",
        f"{disk('d0')} {disk('d1')}",
        ("info snapshots", "savevm both", "info snapshots", "delvm on0", "info snapshots"),
        TWO,
        setup=(partial("d0", "on0"), partial("d1", "on1"), partial("d1", "a b")),
    ),
    *(
        Case(f"tag-on-{device}-only", f"{disk('d0')} {disk('d1')}", on_some(device), TWO, [(f"{device}.qcow2", "t")])
        for device in ("d0", "d1")
    ),
    Case(
        "disk-only-snapshot",
        f"{disk('d0')} {disk('d1')}",
        ("info snapshots", "loadvm t", "cont", "savevm t", "loadvm t", "loadvm u", "delvm u", "info snapshots"),
        TWO,
        [(image, tag) for image in TWO for tag in "tu"],
    ),
    Case(
        "raw-data-disk", f"{disk('d0')} {disk('d1', format='raw')}", BRIEF, {"d0.qcow2": "", "d1.raw": ""}, [("d0.qcow2", "t")]
    ),
    Case("raw-disk-first", f"{disk('d1', format='raw')} {disk('d0')}", BRIEF, {"d0.qcow2": "", "d1.raw": ""}),
    Case("raw-disk-alone", disk("d0", format="raw"), BRIEF, {"d0.raw": ""}),
    Case(
        "raw-blockdev",
        f"{blockdev('d0')} {blockdev('d1', format='raw')}",
        BRIEF,
        {"d0.qcow2": "", "d1.raw": ""},
    ),
    *(
        Case(
            f"migration-blocked-by-{format}{name}",
            f"{disk('d0')} {disk('d1')} {blockdev('b', 'read-only=on', format=format)}",
            ("savevm t", "info snapshots", "delvm t", "savevm t", "loadvm t"),
            {**TWO, f"b.{format}": ""},
            tagged,
        )
        for format, name, tagged in (
            ("vmdk", "", ()),
            ("vmdk", "-tag-on-all", [("d0.qcow2", "t"), ("d1.qcow2", "t")]),
            ("vmdk", "-tag-on-some", [("d1.qcow2", "t")]),
            ("vdi", "", ()),
        )
    ),
    Case("dirty-bitmap", f"{disk('d0')} {disk('d1')}", BRIEF, TWO, setup=bitmap()),
    Case("dirty-bitmap-kept", f"{disk('d0')} {disk('d1')}", BRIEF, TWO, setup=bitmap(persistent=True)),
    Case("external-data-file", disk("d0"), BRIEF, {"d0.qcow2": "data_file={folder}/d0.data"}),
    Case("external-data-file-second", f"{disk('d0')} {disk('d1')}", BRIEF, {**ONE, "d1.qcow2": "data_file={folder}/d1.data"}),
    Case("refcount-bits-1", disk("d0"), BRIEF, {"d0.qcow2": "refcount_bits=1"}),
    Case("refcount-bits-1-second", f"{disk('d0')} {disk('d1')}", BRIEF, {**ONE, "d1.qcow2": "refcount_bits=1"}),
    Case("backup-runs", f"{disk('d0')} {blockdev('target')}", BRIEF, {**ONE, "target.qcow2": ""}, setup=BACKUP),
    Case(
        "mirror-is-ready",
        f"{disk('d0')} {blockdev('target')}",
        ("savevm t", "info snapshots", "savevm t", "delvm t", "savevm kept"),
        {**ONE, "target.qcow2": ""},
        setup=MIRROR,
    ),
    Case("incoming-migration", f"{disk('d0')} -incoming defer", BRIEF),
    Case("shut-down", f"{disk('d0')} -no-reboot -no-shutdown", BRIEF, setup=SHUT_DOWN),
    Case(
        "memory-of-other-size",
        disk("d0"),
        ("loadvm t",),
        before=Boot(["savevm t"], disk("d0"), "48"),
        native_only=SIZE_MISMATCH,
    ),
    Case(
        "device-missing",
        disk("d0"),
        ("loadvm t",),
        before=Boot(["savevm t"], f"{disk('d0')} -device virtio-rng-pci"),
        native_only=NO_DEVICE,
    ),
    Case("disk-full-at-once", FULL, ("savevm t",)),
    Case("disk-full", FULL, ("savevm t",), memory="256", native_only=WRITE_ERROR),
    Case("no-disk", "", BRIEF, {}, is_passed=True),
    Case("read-only-disk", disk("d0", "read-only=on"), BRIEF, is_passed=True),
    Case("read-only-beside", f"{drive('d1', 'read-only=on')} {disk('d0')}", BRIEF, TWO),
    Case("empty-drives", f"-drive if=ide,media=cdrom -drive if=floppy {disk('d0')} -device usb-ehci", BRIEF),
    Case("empty-drives-alone", "-drive if=ide,media=cdrom -drive if=floppy", BRIEF, {}, is_passed=True),
    Case("throttled", THROTTLED, BRIEF),
    Case("copy-on-read", disk("d0", "copy-on-read=on"), BRIEF),
    Case("raw-on-qcow2", f"{blockdev('d0')} -blockdev driver=raw,node-name=top,file=d0", BRIEF),
    Case("backing-file", disk("d0"), BRIEF, {"d1.qcow2": "", "d0.qcow2": "backing_file=d1.qcow2,backing_fmt=qcow2"}),
    Case("temporary-overlay", disk("d0", "snapshot=on"), BRIEF),
    Case("iothread", f"{blockdev('d0')} -object iothread,id=io -device virtio-blk-pci,drive=d0,iothread=io", BRIEF),
    Case("node-of-two-devices", f"{SHARED} {disk('d1')} -device virtio-blk-pci,drive=d0,share-rw=on", BRIEF, TWO),
    Case("null", f"{disk('d0')} -blockdev null-co,node-name=n", BRIEF),
    Case("quorum", f"{disk('d0')} {blockdev('d1')} {blockdev('d2')} {QUORUM}", BRIEF, {**TWO, "d2.qcow2": ""}),
    Case("overlay-made-while-running", disk("d0"), BRIEF, setup=OVERLAY),
    Case("hot-added", disk("d0"), BRIEF, TWO, setup=[HOT_ADDED]),
    Case("hot-added-file", disk("d0"), BRIEF, TWO, setup=[HOT_ADDED_FILE]),
    Case(
        "commit-is-ready",
        disk("d0"),
        ("savevm t", "info snapshots", "savevm t", "delvm t", "savevm kept"),
        setup=(*OVERLAY, ("block-commit", {"job-id": "c", "device": "d0"}), Until("BLOCK_JOB_READY")),
    ),
    Case("export", f"{disk('d0')} {blockdev('d1')}", BRIEF, TWO, setup=EXPORT),
    Case("two-processors", f"{disk('d0')} -smp 2", ARGUMENTS),
    Case("lines-for-qemu", disk("d0"), LINES),
    Case("pretty-monitor", disk("d0"), [*BRIEF, "savevm a b", ("query-jobs", {})], is_pretty=True),
    Case("pretty-ids", disk("d0"), [line for _ in IDS for line in ("delvm x", "info status")], is_pretty=True),
    Case("spelled-ids", disk("d0"), [spelled(id, line) for id in SPELLINGS for line in ("delvm x", "info snapshots")]),
    Case("jobs-of-the-client", f"{blockdev('d0')} {blockdev('d1')}", OWN_JOBS, TWO),
    Case(
        "preconfig",
        f"{disk('d0')} -preconfig",
        ("savevm t", "loadvm t", "delvm t", "info snapshots", ("x-exit-preconfig", {}), *BRIEF),
        is_passed=True,
    ),
)


def native_only(case: Case, version: QEMUVersion) -> str:
    """Return the case's text as this version has it: QEMU 11.1 makes some of it part of the error, and jobs give that too."""
    if version < (6, 0) or (version >= (11, 0) and case.native_only == NO_DEVICE):
        return ""
    if version >= (11, 0) and case.native_only == SIZE_MISMATCH:
        return SIZE_MISMATCH.splitlines(keepends=True)[0]
    return case.native_only.replace("2(ram)", "1(ram)") if version >= (10, 0) else case.native_only


def survivable(case: Case, version: QEMUVersion) -> Case:
    """Leave out what kills QEMU; test_guard_against_crashes.py has it."""
    deadly: Sequence[Step] = []
    if case.args == THROTTLED and version >= (10, 0):
        deadly = ["loadvm t"]
    elif case.name == "incoming-migration" and version < (7, 2):
        deadly = ["savevm t", "loadvm t", "savevm kept"]
    return replace(case, steps=[step for step in case.steps if step not in deadly])


def without_pauses(said: Sequence[Sequence[str]]) -> list[list[str]]:
    """Drop what a block job of the client says when QEMU holds it for a moment.

    QEMU 11.1 does so, and says it, as often as it drains the disks: a savevm that deletes first, as HMP's does, drains more.
    QEMU 5.2 does it now and then.
    """
    pauses = ('"status": "standby"', '"status": "ready"')
    return [[message for message in messages if not any(pause in message for pause in pauses)] for messages in said]


def assert_same(case: Case, version: QEMUVersion, *, paused: bool) -> None:
    native, proxied = play(survivable(case, version), paused=paused)
    said, proxied_said = native.said, proxied.said
    if lost := native_escaped(native_only(case, version)):
        assert sum(message.count(lost) for messages in said for message in messages) == 1
        said = [[message.replace(lost, "") for message in messages] for messages in said]
    if version < (6, 0) or version >= (11, 0):
        said, proxied_said = without_pauses(said), without_pauses(proxied_said)
    assert proxied_said == said
    assert proxied.snapshots == native.snapshots
    assert (proxied.exit_status, native.exit_status) == (0, 0)
    assert_rewritten(case, proxied.records, version)


def native_escaped(text: str) -> str:
    return text.replace("\r\n", "\\r\\n")


def assert_rewritten(case: Case, records: Sequence[dict[str, Any]], version: QEMUVersion) -> None:
    """What is a savevm, loadvm or delvm was done by us: a proxy that passes everything on would be no different either."""
    for record in records:
        if record["action"] == "modern":  # jobs of the client's own
            continue
        command = HMPLine.read(record["command_line"] or "").command
        if command is None or isinstance(command, hmp.InfoSnapshots):
            assert record["action"] == "passed"
        elif version < (6, 0):
            assert record["action"] == "passed"
            assert record["reason"] == f"QEMU {version} has no snapshot jobs" or "error" in record["reply"]
        elif not case.is_passed and "error" not in record["reply"]:
            # Where a tag is replaced, QEMU's own savevm does it: the policy chooses as HMP does.
            assert record["action"] in ("rewritten", "delegated" if isinstance(command, hmp.SaveVM) else "rewritten")


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_client_sees_what_it_sees_natively(case: Case, paused: bool, qemu_version: QEMUVersion) -> None:
    assert_same(case, qemu_version, paused=paused)
