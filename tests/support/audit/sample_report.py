"""A report as a real one could be: six tools, six VMs, forty days. Values only."""

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from audit.reporting.ready import Ready
from audit.reporting.report import (
    VM,
    Blocker,
    CommandUse,
    Failure,
    LogSummary,
    Overwriting,
    Report,
    SilentFailure,
    Standstill,
    State,
    TimelineEntry,
    Tool,
    ToolUse,
)
from shim.hmp.replacements import REPLACEMENTS

__all__ = ["EMPTY_LOG", "EMPTY_REPORT", "LIBVIRT", "MULTIPASS", "SYZKALLER", "TOOLS", "VMS", "command_use", "sample_report"]

LIBVIRT: Final = Tool("libvirtd", "libvirtd.service", "root")
MULTIPASS: Final = Tool("multipassd", "snap.multipass.multipassd.service", "root")
SOCAT: Final = Tool("socat", "login session", "alice")
SYZKALLER: Final = Tool("syz-manager", "docker container", "998")
OVER_TCP: Final = Tool("tcp:192.0.2.17")
BACKUP: Final = Tool("nightly.py", "backup.service", "backup")
# On which hosts, and as what.
_SEEN: Final = {
    LIBVIRT: (("kvm-01", "kvm-02"), ("/usr/sbin/libvirtd",)),
    MULTIPASS: (("kvm-01",), ("/snap/multipass/current/bin/multipassd",)),
    SOCAT: (("kvm-02",), ("/usr/bin/socat",)),
    SYZKALLER: (("kvm-02",), ("/opt/syzkaller/bin/syz-manager",)),
    OVER_TCP: (("kvm-02",), ()),
    BACKUP: (("kvm-01", "kvm-02", "kvm-03"), ("/usr/bin/python3.11", "/usr/bin/python3.13")),
}
TOOLS: Final = (LIBVIRT, MULTIPASS, SOCAT, SYZKALLER, OVER_TCP, BACKUP)

VMS: Final = tuple(
    VM(host, name)
    for host, name in (
        *(("kvm-01", "build-debian-12"), ("kvm-01", "windows-2022-uefi"), ("kvm-01", "primary")),
        *(("kvm-02", "syz-0"), ("kvm-02", "syz-1"), ("kvm-02", "router-lab-with-a-rather-long-name")),
    )
)
FIRST_DAY: Final = datetime(2026, 10, 15, tzinfo=UTC)
DAYS: Final = 40
LAST_TIME: Final = "2026-11-23T21:48:10.114208Z"
FIRST_TIME: Final = "2026-10-15T06:12:44.904511Z"

EMPTY_LOG: Final = LogSummary(
    names=("/var/log/hmpshim/audit.jsonl",),
    records=0,
    left_out=0,
    damaged=0,
    torn=0,
    lost=0,
    unfinished=0,
    unreadable=(),
    first="",
    last="",
)
EMPTY_REPORT: Final = Report(
    log=EMPTY_LOG,
    tools=(),
    failures=(),
    silent_failures=(),
    overwritings=(),
    standstills=(),
    days={},
    modern_days={},
    failed_days={},
    timeline=(),
    timeline_total=0,
    recovered=0,
)


def command_use(name: str, count: int, *, is_hmp: bool = True, ready: Ready | None = None, **counts: int) -> CommandUse:
    """Make a command's use. counts: those that are not 0; what is not said to have become of an HMP command was passed."""
    told: dict[str, Any] = {"rewritten": 0, "observed": 0, "refused": 0, "failed": 0, "unknown": 0, "silent": 0} | counts
    passed = count - told["rewritten"] - told["observed"] - told["refused"] if is_hmp else 0
    return CommandUse(
        name=name,
        is_hmp=is_hmp,
        replacement=REPLACEMENTS.get(name) if is_hmp else None,
        count=count,
        passed=passed,
        first=FIRST_TIME,
        last=LAST_TIME,
        ready=ready,
        **told,
    )


def sample_report(seed: int = 7) -> Report:
    """Return the report."""
    rng = random.Random(seed)
    return Report(
        log=_log(),
        tools=_tools(),
        failures=_failures(),
        silent_failures=(
            SilentFailure(SOCAT, "savevm", 9, ("loadvm", "info snapshots"), "2026-11-19T16:02:51.730122Z"),
            SilentFailure(MULTIPASS, "savevm", 2, ("delvm",), "2026-11-02T09:20:00.118401Z"),
        ),
        overwritings=(
            Overwriting(SYZKALLER, VMS[3], 214, ("init", "corpus"), FIRST_TIME, "2026-11-23T20:40:02.402991Z"),
            Overwriting(LIBVIRT, VMS[0], 3, (), "2026-11-10T07:30:12.114208Z", "2026-11-11T07:30:19.002410Z"),
        ),
        standstills=_standstills(),
        days=_days(rng),
        modern_days=_modern_days(rng),
        failed_days={_day(place): 1 + place % 3 for place in range(2, DAYS, 4)},
        timeline=_timeline(rng),
        timeline_total=1630,
        recovered=2,
    )


def _log() -> LogSummary:
    return replace(
        EMPTY_LOG,
        names=("/var/log/hmpshim/audit.jsonl", "/var/log/hmpshim/audit.jsonl.1.gz"),
        records=6041,
        left_out=120,
        damaged=3,
        torn=1,
        lost=4,
        unfinished=1,
        unreadable=("cannot read /var/log/hmpshim/audit.jsonl.1.gz: CRC check failed; what comes before it was read",),
        first=FIRST_TIME,
        last=LAST_TIME,
    )


def _tool(
    tool: Tool, state: State, *commands: CommandUse, blockers: tuple[Blocker, ...] = (), last_hmp: str = LAST_TIME
) -> ToolUse:
    return ToolUse(tool, state, blockers, commands, FIRST_TIME, LAST_TIME, last_hmp, *_SEEN[tool])


def _ready(vm: VM, line: str, command: str, **arguments: object) -> Ready:
    members = {"execute": command} | ({"arguments": arguments} if arguments else {})
    return Ready(vm, line, (json.dumps(members),))


def _job(hmp: str, does: str) -> Ready:
    arguments = {"job-id": "job0", "tag": "boot", "vmstate": "disk0", "devices": ["disk0"]}
    return _ready(VMS[3], f"{hmp} boot", f"snapshot-{does}", **arguments)


def _tools() -> tuple[ToolUse, ...]:
    block = Blocker("info block", "use QMP: query-block and query-named-block-nodes")
    change = Blocker("change", "use QMP: blockdev-change-medium and display-update (display-update for VNC addresses)")
    qtree = Blocker("info qtree", "no QMP equivalent")
    return (
        _tool(
            SOCAT,
            State.BLOCKED,
            command_use("info block", 312, ready=_ready(VMS[5], "info block", "query-block")),
            command_use("savevm", 61, rewritten=61, failed=14, silent=9),
            *(command_use("info qtree", 18), command_use("change", 12, failed=1), command_use("frobnicate", 2, failed=2)),
            blockers=(block, qtree, change, Blocker("frobnicate", "not an HMP command known here")),
        ),
        _tool(
            SYZKALLER,
            State.COVERED,
            *(command_use("loadvm", 1911, rewritten=1911, failed=3, ready=_job("loadvm", "load")),),
            command_use("savevm", 428, rewritten=428, ready=_job("savevm", "save")),
        ),
        _tool(
            LIBVIRT,
            State.COVERED,
            *(command_use("savevm", 402, rewritten=398, refused=4, failed=8), command_use("delvm", 377, rewritten=377)),
            *(command_use("info snapshots", 96, rewritten=12), command_use("snapshot-save", 40, is_hmp=False)),
            last_hmp="2026-11-20T18:12:00.530178Z",
        ),
        _tool(
            MULTIPASS,
            State.COVERED,
            *(command_use("savevm", 77, rewritten=77, failed=2, silent=2), command_use("info snapshots", 154, rewritten=154)),
        ),
        _tool(OVER_TCP, State.COVERED, command_use("loadvm", 31, rewritten=31, unknown=1)),
        _tool(BACKUP, State.MODERN, command_use("snapshot-save", 388, is_hmp=False), last_hmp=""),
    )


def _failures() -> tuple[Failure, ...]:
    writable = Failure(
        text="Error: Device 'pflash1' is writable but does not support snapshots",
        tool=SOCAT,
        count=12,
        commands=("savevm",),
        vms=(VMS[1],),
        nodes=("pflash1", "virtio-disk0"),
        reasons=(
            "QEMU's own error is the answer",
            "pflash1: varstore of format raw, which cannot hold a snapshot",
            "virtio-disk0: writable disk",
        ),
        first="2026-10-17T10:01:22.000417Z",
        last="2026-11-19T16:02:51.730122Z",
    )
    return (
        Failure(
            text="Error: Snapshot 'TAG' does not exist in one or more devices",
            tool=LIBVIRT,
            count=11,
            commands=("loadvm", "delvm"),
            vms=(VMS[0], VMS[3]),
            nodes=("virtio-disk0",),
            reasons=("done by snapshot jobs",),
            first="2026-10-15T08:44:09.220871Z",
            last="2026-11-22T23:10:40.900318Z",
        ),
        writable,
        Failure(
            text="unknown command: 'frobnicate'",
            tool=SOCAT,
            count=2,
            commands=("frobnicate",),
            vms=(VMS[5],),
            nodes=(),
            reasons=("not a snapshot command",),
            first="2026-11-03T12:00:00.000000Z",
            last="2026-11-03T12:00:05.371102Z",
        ),
        replace(writable, tool=MULTIPASS, count=2, last="2026-11-02T09:20:00.118401Z"),
    )


def _standstills() -> tuple[Standstill, ...]:
    return (
        Standstill(VMS[1], "savevm", 74, 1840.4, 6120.9, 9412.0),
        Standstill(VMS[0], "savevm", 402, 312.5, 890.1, 2204.7),
        Standstill(VMS[0], "snapshot-save", 388, 298.0, 811.6, 1904.2),
        Standstill(VMS[3], "loadvm", 1911, 41.2, 77.9, 640.3),
        Standstill(VMS[3], "savevm", 428, 14.969, 22.1, 188.8),
    )


def _day(place: int) -> str:
    return (FIRST_DAY + timedelta(days=place)).date().isoformat()


def _days(rng: random.Random) -> Mapping[str, Mapping[Tool, int]]:
    """Nobody works at a weekend but the fuzzer, and it had a holiday too."""
    days: dict[str, dict[Tool, int]] = {}
    for place in range(DAYS):
        is_weekend = (FIRST_DAY + timedelta(days=place)).weekday() > 4
        counts = {SYZKALLER: 0 if 17 <= place <= 20 else rng.randint(40, 80)}
        if not is_weekend:
            counts |= {LIBVIRT: max(0, 44 - place), SOCAT: rng.randint(4, 24), MULTIPASS: rng.randint(2, 12)}
            counts[OVER_TCP] = rng.randint(0, 2)
        used = {tool: count for tool, count in counts.items() if count}
        if used:
            days[_day(place)] = used
    return days


def _modern_days(rng: random.Random) -> Mapping[str, Mapping[Tool, int]]:
    return {_day(place): {BACKUP: rng.randint(4, 8 + place)} for place in range(6, DAYS) if place % 7 not in (2, 3)}


def _timeline(rng: random.Random) -> tuple[TimelineEntry, ...]:
    who = (LIBVIRT, SOCAT, MULTIPASS, SYZKALLER, SYZKALLER, OVER_TCP)
    typical_ms = (320.0, 2000.0, 120.0, 15.0, 40.0, 600.0)
    entries = []
    for place in (rng.randrange(len(VMS)) for _ in range(260)):
        moment = FIRST_DAY + timedelta(seconds=rng.randrange(DAYS * 86400))
        has_failed = rng.random() < 0.06
        stopped_ms = 0.0 if has_failed else round(typical_ms[place] * rng.lognormvariate(0, 0.6), 3)
        entries.append(
            TimelineEntry(
                time=f"{moment:%Y-%m-%dT%H:%M:%S}.000000Z",
                vm=VMS[place],
                tool=who[place],
                command=rng.choice(("savevm", "savevm", "loadvm")),
                tag=f"t{rng.randint(1, 9)}",
                duration_ms=round(stopped_ms * 1.2 + 4, 3),
                stopped_ms=stopped_ms,
                failed=has_failed,
            )
        )
    return tuple(sorted(entries))
