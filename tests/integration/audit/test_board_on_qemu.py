"""The board on the logs of seven programs, made from records of a real VM; and what it says to send is sent to that VM."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM, make_qcow2
from tests.support.audit.seven_programs import DAYS, END, FIRST_DAY, PROGRAMS, Program, lines_by_host
from tests.support.checkout import ROOT
from tests.support.raw_client import RawClient

LINES: Final = ("savevm t1", "loadvm t1", "info status", "info block", "print 1", "delvm t1")
MODERN: Final = {"job-id": "own", "tag": "t2", "vmstate": "n0", "devices": ["n0"]}
OPTIONS: Final = ("--quiet-days", "14", "--until", f"{END:%Y-%m-%dT%H:%M}")
HOSTS: Final = ("kvm-01", "kvm-02", "kvm-03")
QUIET: Final = {"old-backup.py", "migrated"}
# Worked out by hand: first what is a tool's only command, by its number; of ci-runner loadvm, then by name; of lab what can be
# replaced, and last what cannot.
ORDER: Final = (
    ("monitor.py", "info status", 1),
    ("nightly.py", "savevm", 1),
    ("ci-runner", "loadvm", 0),
    ("ci-runner", "delvm", 0),
    ("ci-runner", "savevm", 1),
    ("lab", "info block", 0),
    ("lab", "savevm", 0),
    ("lab", "print", 1),
)


@dataclass
class Site:
    logs: list[str]
    client: RawClient

    def report(self, *options: str) -> str:
        command = [sys.executable, "-m", "audit", "report", *OPTIONS, *options, *self.logs]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
        assert done.stderr == ""
        return done.stdout

    @property
    def members(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.report("--json"))
        return found


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    # A socket's path is short, so not pytest's folder.
    with tempfile.TemporaryDirectory(prefix="b", dir="/tmp") as name:
        folder = Path(name)
        make_qcow2(folder / "disk", "4M")
        drive = "file=disk,format=qcow2,if=virtio,id=d0,node-name=n0"
        with (
            QEMUVM(["-drive", drive, "-name", "build-3"], folder=folder) as vm,
            ProxyProcess(folder, vm.qmp_path) as proxy,
            proxy.negotiated() as client,
        ):
            for line in LINES:
                assert "Error" not in client.hmp(line)
            client.returned("snapshot-save", MODERN)
            client.read_until_event("JOB_STATUS_CHANGE", id="own", status="concluded")
            client.returned("job-dismiss", {"id": "own"})
            templates = [json.loads(line) for line in proxy.audit_path.read_text().splitlines()]
            logs = {host: folder / f"{host}.jsonl" for host in HOSTS}
            for host, lines in lines_by_host(templates).items():
                logs[host].write_text("".join(lines), encoding="ascii")
            yield Site(list(map(str, logs.values())), client)


def test_all_seven_are_there_with_their_numbers(site: Site) -> None:
    found = {row["tool"]["name"]: row for row in site.members["board"]["tools"]}
    assert found.keys() == {program.name for program in PROGRAMS}
    for program in PROGRAMS:
        row, total = found[program.name], sum(program.hmp.values())
        place = (program.unit or "").replace("@7", "@")
        assert row["tool"] == {"name": program.name, "place": place, "user": program.user}
        assert sum(row["trend"]) == total
        assert row["per_week"] == round(total * 7 / DAYS, 1)
        assert row["quiet_since"][:10] == _last_day(program)


def test_tools_of_one_interpreter_are_told_apart_and_one_on_several_hosts_is_one(site: Site) -> None:
    found = {row["tool"]["name"]: (row["hosts"], row["executables"]) for row in site.members["tools"]}
    assert found == {program.name: (list(program.hosts), [program.exe]) for program in PROGRAMS}


def _last_day(program: Program) -> str:
    days = program.hmp_by_day
    return f"{FIRST_DAY + timedelta(days=max(days)):%Y-%m-%d}" if days else ""


def test_trends_are_those_of_the_weeks(site: Site) -> None:
    board = site.members["board"]
    assert (board["span"], board["weeks"], len(board["begins"])) == ("week", round(DAYS / 7, 3), 8)
    migrated = next(row for row in board["tools"] if row["tool"]["name"] == "migrated")
    # The first day is a Saturday.
    assert migrated["trend"] == [12, 42, 6, 0, 0, 0, 0, 0]


def test_those_that_stopped_are_named_as_quiet(site: Site) -> None:
    states = {row["tool"]["name"]: row["state"] for row in site.members["board"]["tools"]}
    assert {name for name, state in states.items() if state == "quiet"} == QUIET
    assert states["modern"] == "modern"
    text = site.report()
    assert text.startswith("4 of 7 tools still use HMP; 2 are blocked by info status, info block and print.\n")
    names = "old-backup.py (last on 2026-10-29) and migrated (last on 2026-10-19)"
    assert f"2 are quiet: {names}." in " ".join(text.split())


def test_next_changes_are_in_order_with_their_numbers(site: Site) -> None:
    counts = {(program.name, command): count for program in PROGRAMS for command, count in program.hmp.items()}
    changes = site.members["changes"]
    assert [(change["name"], change["command"], len(change["modern"])) for change in changes] == list(ORDER)
    for change in changes:
        count = counts[change["name"], change["command"]]
        assert (change["count"], change["per_week"]) == (count, round(count * 7 / DAYS, 1))


def test_what_it_says_to_send_is_obeyed(site: Site) -> None:
    """First the savevm: the others are about its tag."""
    ready = {change["command"]: change["ready"] for change in site.members["changes"]}
    assert ready.pop("print") is None
    assert {one["vm"]["name"] for one in ready.values()} == {"build-3"}
    for command in ("savevm", "loadvm", "info status", "info block", "delvm"):
        for sent in ready[command]["commands"]:
            site.client.returned(sent["execute"], sent.get("arguments"))
            if job := sent.get("arguments", {}).get("job-id"):
                site.client.read_until_event("JOB_STATUS_CHANGE", id=job, status="concluded")
                (ended,) = site.client.returned("query-jobs")
                assert "error" not in ended
                site.client.returned("job-dismiss", {"id": job})
