"""Three tools send what is known; the report on the log of it has just these numbers."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from audit.counting.filters import Filters
from audit.counting.report_builder import make_report
from audit.forms.report_data import as_json
from audit.reporting.report import Report, State, ToolUse
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM, make_qcow2, make_raw
from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S

TOOL: Final = Path(__file__).with_name("legacy_tool.py")
RETRY_S: Final = 0.005
CANNOT_SNAPSHOT: Final = "Error: Device 'd0' is writable but does not support snapshots"
NO_TAG: Final = "Error: Snapshot 'TAG' does not exist in one or more devices"


@dataclass
class Site:
    """Three VMs with a proxy each, all of which write one log, and the tools."""

    folder: Path
    vms: dict[str, QEMUVM] = field(default_factory=dict)
    proxies: dict[str, ProxyProcess] = field(default_factory=dict)
    longest_ms: float = 0.0

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def executable(self, name: str) -> str:
        """Return an executable of this name that runs Python."""
        path = self.folder / name
        if not path.exists():
            shutil.copy(os.path.realpath(sys.executable), path)
        return str(path)

    def start_tool(self, name: str, address: str, *commands: Any) -> subprocess.Popen[bytes]:
        command = [self.executable(name), str(TOOL), address, json.dumps(commands)]
        return subprocess.Popen(command, env=os.environ | {"PYTHONHOME": sys.base_prefix}, stdout=subprocess.PIPE)

    def run_tool(self, name: str, address: str, *commands: Any) -> list[Any]:
        begun_s = time.monotonic()
        output, _ = self.start_tool(name, address, *commands).communicate(timeout=DEADLINE_S)
        self.longest_ms = max(self.longest_ms, (time.monotonic() - begun_s) * 1000)
        replies: list[Any] = json.loads(output)
        return replies

    def await_begun(self, vm: str, command_line: str) -> None:
        """Wait until the log tells that a command is about to be run."""
        deadline = time.monotonic() + DEADLINE_S
        wanted = (vm, "begun", command_line)
        while wanted not in [(record["vm"], record["action"], record["command_line"]) for record in self.records()]:
            assert time.monotonic() < deadline
            time.sleep(RETRY_S)

    def records(self) -> list[dict[str, Any]]:
        whole, _, _ = self.log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]


def _text(reply: Any) -> str:
    return " ".join(str(reply["return"]).split())


def _start(site: Site, stack: ExitStack, name: str, disk_format: str, *options: str) -> None:
    folder = site.folder / name
    folder.mkdir()
    if disk_format == "qcow2":
        make_qcow2(folder / "disk", "4M")
    else:
        make_raw(folder / "disk", 1 << 20)
    drive = f"file=disk,format={disk_format},if=virtio,id=d0"
    vm = stack.enter_context(QEMUVM(["-drive", drive, "-name", name], folder=folder))
    site.vms[name] = vm
    log = ["--audit", str(site.log)]
    site.proxies[name] = stack.enter_context(ProxyProcess(folder, vm.qmp_path, [*log, *options]))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Run the traffic. What the tools got is asserted, so that the numbers are known from the traffic and not from the log."""
    # A socket's path is short, so not pytest's folder.
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder, ExitStack() as stack:
        port = _free_port()
        found = Site(Path(folder))
        _start(found, stack, "good", "qcow2")
        _start(found, stack, "raw", "raw", "--mode", "enforce", "--allow", "info name", "--audit-failure", "refuse")
        tcp = ("--listen", f"tcp:127.0.0.1:{port}")
        _start(found, stack, "seen", "qcow2", "--mode", "observe", *tcp, "--audit-failure", "refuse")
        _save_and_load(found)
        _fail(found)
        _come_from_the_network(found, f"127.0.0.1:{port}")
        _lose_qemu(found)
        _lose_the_proxy(found)
        yield found


def _save_and_load(site: Site) -> None:
    path = site.proxies["good"].path
    lines = ("savevm t1", "savevm t1", "loadvm t1", "info snapshots", "delvm t1", "delvm t1")
    replies = site.run_tool("keeper", path, *lines)
    assert [_text(reply)[:24] for reply in replies] == ["", "", "", "List of snapshots presen", "", ""]


def _fail(site: Site) -> None:
    good, raw = site.proxies["good"].path, site.proxies["raw"].path
    lines = ("loadvm none", {"execute": "cont"}, 'loadvm "no tag"', "info block", "savevm a b")
    replies = site.run_tool("careless", good, *lines)
    assert _text(replies[0]) == "Error: Snapshot 'none' does not exist in one or more devices"
    assert _text(replies[2]) == "Error: Snapshot 'no tag' does not exist in one or more devices"
    assert replies[1] == {"return": {}}
    assert _text(replies[4]).startswith("savevm: extraneous characters")
    replies = site.run_tool("careless", good, "nonsense")
    assert _text(replies[0]).startswith("unknown command: 'nonsense'")
    replies = site.run_tool("careless", raw, "savevm x", "stop", {"execute": "query-status"})
    assert _text(replies[0]) == CANNOT_SNAPSHOT
    assert _text(replies[1]).startswith("Error: HMP command 'stop' is not allowed here")


def _come_from_the_network(site: Site, address: str) -> None:
    save = {"job-id": "j", "tag": "own", "vmstate": "#none", "devices": []}
    replies = site.run_tool(
        *("distant", address, "savevm t1", "info status", "loadvm none"),
        {"execute": "human-monitor-command", "arguments": {"command-line": "info name", "cpu-index": 99}},
        *({"execute": "snapshot-save", "arguments": save}, {"execute": "snapshot-delete", "arguments": {}}),
        {"execute": "query-jobs"},
    )
    assert [next(iter(reply)) for reply in replies] == ["return", "return", "return", "error", "return", "error", "return"]
    assert [_text(reply)[:6] for reply in replies[:3]] == ["", "VM sta", "Error:"]


def _lose_qemu(site: Site) -> None:
    """QEMU is killed while a command is under way, so nobody knows what became of it."""
    qemu = site.vms["raw"].process
    assert qemu is not None
    qemu.send_signal(signal.SIGSTOP)
    with site.start_tool("careless", site.proxies["raw"].path, "info name") as tool:
        site.await_begun("raw", "info name")
        qemu.kill()
        output, _ = tool.communicate(timeout=DEADLINE_S)
    assert json.loads(output) == [None]


def _lose_the_proxy(site: Site) -> None:
    """The proxy is killed while a command is under way, so its outcome is not on record."""
    qemu, proxy = site.vms["seen"].process, site.proxies["seen"]
    assert qemu is not None
    qemu.send_signal(signal.SIGSTOP)
    with site.start_tool("keeper", proxy.path, "info version") as tool:
        site.await_begun("seen", "info version")
        proxy.kill()
        output, _ = tool.communicate(timeout=DEADLINE_S)
    qemu.send_signal(signal.SIGCONT)
    assert json.loads(output) == [None]


@pytest.fixture(scope="module")
def report(site: Site) -> Report:
    return make_report([str(site.log)], Filters())


def use_of(report: Report, name: str) -> ToolUse:
    (use,) = [use for use in report.tools if use.tool.name == name]
    return use


def counts(use: ToolUse) -> dict[str, tuple[int, ...]]:
    """By command: count, rewritten, passed, observed, refused, failed, unknown, silent."""
    return {
        one.name: (one.count, one.rewritten, one.passed, one.observed, one.refused, one.failed, one.unknown, one.silent)
        for one in use.commands
    }


def test_tool_that_saves_and_loads(report: Report) -> None:
    use = use_of(report, "keeper")
    assert counts(use) == {
        "savevm": (2, 2, 0, 0, 0, 0, 0, 0),
        "delvm": (2, 2, 0, 0, 0, 0, 0, 0),
        "loadvm": (1, 1, 0, 0, 0, 0, 0, 0),
        "info snapshots": (1, 0, 1, 0, 0, 0, 0, 0),
    }
    assert (use.state, use.blockers) == (State.COVERED, ())
    assert (use.tool.user, use.seen_on) == (pwd.getpwuid(os.getuid()).pw_name, os.uname().nodename)


def test_tool_that_fails(report: Report) -> None:
    use = use_of(report, "careless")
    assert counts(use) == {
        "loadvm": (2, 2, 0, 0, 0, 2, 0, 2),
        "savevm": (2, 1, 1, 0, 0, 2, 0, 1),
        "info block": (1, 0, 1, 0, 0, 0, 0, 0),
        "info name": (1, 0, 1, 0, 0, 0, 1, 0),
        "nonsense": (1, 0, 1, 0, 0, 1, 0, 0),
        "stop": (1, 0, 0, 0, 1, 1, 0, 1),
    }
    assert use.state is State.BLOCKED
    assert {blocker.command: blocker.advice for blocker in use.blockers} == {
        "info block": "use QMP: query-block and query-named-block-nodes",
        "info name": "use QMP: query-name",
        "nonsense": "not an HMP command known here",
        "stop": "use QMP: stop",
    }


def test_tool_on_the_network(report: Report) -> None:
    use = use_of(report, "distant")
    assert counts(use) == {
        "info name": (1, 0, 1, 0, 0, 1, 0, 0),
        "info status": (1, 0, 1, 0, 0, 0, 0, 0),
        "loadvm": (1, 0, 0, 1, 0, 1, 0, 1),
        "savevm": (1, 0, 0, 1, 0, 0, 0, 0),
        "snapshot-delete": (1, 0, 0, 0, 0, 1, 0, 0),
        "snapshot-save": (1, 0, 0, 0, 0, 0, 0, 0),
    }
    assert (use.hmp_count, use.modern_count) == (4, 2)
    assert use.tool.user == pwd.getpwuid(os.getuid()).pw_name


def test_failures_by_tool_and_text(report: Report) -> None:
    counts: Counter[str] = Counter()
    for failure in report.failures:
        counts[failure.text[:40]] += failure.count
    assert counts == {
        NO_TAG[:40]: 3,
        CANNOT_SNAPSHOT[:40]: 1,
        "savevm: extraneous characters at the end": 1,
        "unknown command: 'nonsense'": 1,
        "Error: HMP command 'stop' is not allowed": 1,
        "Parameter 'cpu-index' expects a CPU numb": 1,
        "Parameter 'job-id' is missing": 1,
    }
    (cannot,) = (failure for failure in report.failures if failure.text == CANNOT_SNAPSHOT)
    assert cannot.nodes == ("d0",)
    by_tool = [failure for failure in report.failures if failure.text == NO_TAG]
    assert len({failure.tool for failure in by_tool}) == len(by_tool) == 2
    assert {vm.name for failure in by_tool for vm in failure.vms} == {"good", "seen"}
    assert [failure.last for failure in report.failures] == sorted((one.last for one in report.failures), reverse=True)


def test_silent_failures(report: Report) -> None:
    found = {
        (silent.tool.name, silent.command): (silent.count, sorted(silent.next_commands)) for silent in report.silent_failures
    }
    assert found == {
        ("careless", "loadvm"): (2, ["cont", "info block"]),
        ("careless", "savevm"): (1, ["stop"]),
        ("careless", "stop"): (1, ["query-status"]),
        ("distant", "loadvm"): (1, ["info name"]),
    }


def test_snapshots_saved_over(report: Report) -> None:
    (one,) = report.overwritings
    assert (one.tool.name, one.vm.name, one.count) == ("keeper", "good", 1)


def test_standstills_are_counted_and_within_the_commands(site: Site, report: Report) -> None:
    """A loadvm that fails leaves the VM stopped, so it stands still to the end of the command."""
    found = {(one.vm.name, one.command): one for one in report.standstills}
    assert {key: one.count for key, one in found.items()} == {
        ("good", "savevm"): 2,
        ("good", "loadvm"): 3,
        ("seen", "savevm"): 1,
        ("seen", "loadvm"): 1,
    }
    for one in report.standstills:
        assert 0 < one.p50_ms <= one.p95_ms <= one.max_ms < site.longest_ms


def test_totals(site: Site, report: Report) -> None:
    log = report.log
    assert (report.hmp_count, report.modern_count) == (6 + 8 + 4, 2)
    assert (log.damaged, log.torn, log.lost, log.unreadable) == (0, 0, 0, ())
    assert log.unfinished == 1
    assert log.records == len(site.records())
    assert sum(sum(tools.values()) for tools in report.days.values()) == 18
    assert report.timeline_total == 3 + 4 + 3


def test_command_line_gives_the_same_numbers(site: Site, report: Report) -> None:
    command = [sys.executable, "-m", "audit", "report", "--json", "--fail-on", "hmp,error", str(site.log)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"keeper (user {pwd.getpwuid(os.getuid()).pw_name}) used HMP's savevm (2 times)" in done.stderr
    found = json.loads(done.stdout)
    assert found == json.loads(as_json(report))
