"""A report of many tools and VMs, with names of all lengths and scripts, and of many failures: what layout has to stand."""

import random
from pathlib import Path
from typing import Any, Final

from audit.counting.filters import Filters
from audit.counting.report_builder import make_report
from audit.reporting.report import Report
from tests.support.audit.audit_records import a_record, log_of, observed, sent

__all__ = ["crowded_log", "crowded_report"]

_PROGRAMS: Final = (
    *("/usr/sbin/libvirtd", "/usr/bin/socat", "/usr/bin/python3.11", "/usr/bin/perl", "/usr/local/bin/vm-backup"),
    *("/opt/continuous-integration/virtualenvs/nightly-image-builder/bin/python3.11", "/home/übung/bin/スナップショット管理"),
    *("/opt/acme-virtualization-suite/components/libexec/acme-snapshot-orchestrator-worker", "/opt/שלום/bin/כלי"),
    *("/nix/store/9k3v1p0a2jz2r6q7w8h3y4x5c6b7n8m9-qemu-tool-1.2.3/bin/qemu-tool", "/usr/bin/e\u0301diteur"),
)
_VMS: Final = (
    *("build-debian-12", "router-lab-with-a-rather-long-name-that-goes-on-and-on-0001", f"vm_{'x' * 90}"),
    *(
        "測試虛擬機器-生產環境-資料庫伺服器",
        "שרת-בדיקות",
        "n\u0303ame\u0301-combining",
        "",
        *(f"syz-{number}" for number in range(9)),
    ),
)
_HOSTS: Final = ("kvm-01.fra.example.net", "kvm-02.fra.example.net", "hv17")
_LINES: Final = (
    *(
        "savevm {tag}",
        "savevm {tag}",
        "loadvm {tag}",
        "delvm {tag}",
        "info snapshots",
        "info block",
        "info qtree",
        "x /10i $pc",
    ),
    "change ide1-cd0 /srv/isos/debian-12.7.0-amd64-netinst-with-a-very-long-name.iso",
    *(
        "drive_backup virtio0 /mnt/backup/long/path/vm-disk-0001.qcow2 qcow2",
        "hostfwd_add tcp::2222-:22",
        f"{'frobnicate' * 9} it",
    ),
)
_ERRORS: Final = (
    "Error: Device 'pflash1' is writable but does not support snapshots",
    "Error: State blocked by non-migratable device '0000:00:1f.2/ich9_ahci'",
    "Error: Error while writing VM state: No space left on device",
)
_NODES: Final = (
    {"node": "#block1", "device": "pflash1", "format": "raw", "included": False, "reason": "varstore of format raw"},
    *(
        {"node": f"#b{place}", "device": f"virtio-disk{place}", "format": "qcow2", "included": True, "reason": "disk"}
        for place in range(6)
    ),
)


def crowded_log(path: Path, count: int) -> str:
    """Write such a log, of 45 days."""
    return log_of(path, sorted(_records(random.Random(3), count), key=lambda record: str(record["time"])))


def crowded_report(folder: Path, count: int = 700) -> Report:
    return make_report([crowded_log(folder / "crowded-log-with-a-name-that-is-not-short-either.jsonl", count)], Filters())


def _records(rng: random.Random, count: int) -> list[dict[str, Any]]:
    return [_record(rng, place % 45) for place in range(count)]


def _record(rng: random.Random, day: int) -> dict[str, Any]:
    month, of_month = (10, day + 15) if day < 17 else (11, day - 16)
    line = rng.choice(_LINES).format(tag=f"nightly-2026-{month}-{of_month:02}")
    members: dict[str, Any] = {
        "time": f"2026-{month}-{of_month:02}T{rng.randrange(24):02}:{rng.randrange(60):02}:07.{rng.randrange(10**6):06}Z",
        "host": rng.choice(_HOSTS),
        "vm": rng.choice(_VMS),
        "exe": rng.choice(_PROGRAMS),
        "uid": rng.choice((0, 1000)),
    }
    if rng.random() < 0.1:
        return observed(line, rng.choice(("", f"{_ERRORS[0]}\r\n")), "", nodes=_NODES[:1], **members)
    if not line.startswith(("savevm", "loadvm", "delvm", "info snapshots")):
        members |= {"action": "passed", "reason": "not a snapshot command"}
    if rng.random() < 0.2:
        text = f"{rng.choice(_ERRORS)}{rng.choice(('', f' ({rng.randrange(12)})'))}\r\n"
        return a_record(line, failed=True, reply={"return": text}, nodes=_NODES, after_failure=line, **members)
    return a_record(
        line, stopped_ms=round(rng.lognormvariate(5, 1.5), 3), qmp=sent("snapshot-delete", "snapshot-save"), **members
    )
