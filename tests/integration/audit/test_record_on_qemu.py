"""What clients of a real QEMU cannot do to the record: spoil it, push its history out, or have it written nowhere."""

import json
import shutil
from collections.abc import Iterator
from typing import Any, Final

import pytest

from audit.check import check
from audit.counting.filters import Filters
from audit.counting.report_builder import make_report
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM, make_qcow2, snapshots_of
from tests.support.raw_client import RawClient

pytestmark = pytest.mark.versions

HMP: Final = b'{"execute": "human-monitor-command", "arguments": {"command-line": "%s"}, "id": %s}\n'
IDS: Final = [b"1e999", b"-1e999", b"9" * 5000, b"[" * 1000 + b"]" * 1000, b'"' + b"x" * 20_000 + b'"', rb'"\u001b[2J\n"']
LINES: Final = ["info name", "savevm t", "info snapshots", "loadvm none", "delvm t"]


@pytest.fixture
def vm() -> Iterator[QEMUVM]:
    machine = QEMUVM(["-drive", "file=disk,format=qcow2,if=virtio,id=d0"])
    make_qcow2(machine.path("disk"), "4M")
    with machine:
        yield machine


def records(proxy: ProxyProcess) -> list[dict[str, Any]]:
    lines = proxy.audit_path.read_bytes().splitlines()
    return [json.loads(line, parse_constant=lambda word: pytest.fail(word)) for line in lines]


def say(client: RawClient, line: str, own: bytes) -> bytes:
    """Send a command with an id of that spelling, and give the reply as it comes."""
    client.send(HMP % (line.encode(), own))
    message = client.receive_message()
    while message.startswith(b'{"timestamp"'):
        message = client.receive_message()
    return message


@pytest.mark.parametrize("options", [(), ("--audit-redact", "all"), ("--mode", "observe")], ids=["plain", "masked", "observe"])
def test_every_command_can_be_read_whatever_its_id_is(vm: QEMUVM, options: tuple[str, ...]) -> None:
    with ProxyProcess(vm.folder, vm.qmp_path, options) as proxy, proxy.negotiated() as client:
        for own in IDS:
            for line in LINES:
                say(client, line, own)
    told: list[str] = []
    assert check([str(proxy.audit_path)], told.append) == 0, told
    assert len(records(proxy)) == len(IDS) * len(LINES)
    assert all(isinstance(record["reply"]["id"], str) for record in records(proxy))
    assert max(map(len, proxy.audit_path.read_bytes().splitlines())) < 40_000
    assert make_report([str(proxy.audit_path)], Filters()).log.damaged == 0


def test_what_only_looks_like_a_blank_makes_another_command(vm: QEMUVM) -> None:
    with ProxyProcess(vm.folder, vm.qmp_path) as proxy, proxy.negotiated() as client:
        for line in ("info version", "info version\u00a0", "info\u2003version", "savevm\u00a0t", "stop\u3000"):
            reply = client.hmp(line)
            assert reply.startswith("unknown command: '") == (line != "info version")
        assert client.returned("query-status")["status"] == "running"
    names = [record["hmp_command"] for record in records(proxy)[:5]]
    assert names == ["info version", "info version\u00a0", "info\u2003version", "savevm\u00a0t", "stop\u3000"]
    assert [record["failed"] for record in records(proxy)[:5]] == [False, True, True, True, True]


def test_history_stays_where_commands_are_long(vm: QEMUVM) -> None:
    """tests/host/audit_log/test_log.py has more and longer ones; QEMU reads 240 KB in a second."""
    with ProxyProcess(vm.folder, vm.qmp_path) as proxy, proxy.negotiated() as client:
        assert client.hmp("savevm first") == ""
        for _ in range(3):
            assert client.hmp("x" * 50_000).startswith("unknown command: 'xxx")
    assert [record["command_line"][:12] for record in records(proxy)] == ["savevm first", *["x" * 12] * 3]
    both = ["command_line", "reply.return"]
    cuts = [[cut["member"] for cut in record["cut"]] for record in records(proxy)]
    assert cuts == [[], both, [*both, "after_failure"], [*both, "after_failure"]]
    assert proxy.audit_path.stat().st_size < 30_000


def test_history_stays_where_commands_are_refused(vm: QEMUVM) -> None:
    with ProxyProcess(vm.folder, vm.qmp_path, ["--mode", "enforce"]) as proxy, proxy.negotiated() as client:
        for _ in range(500):
            assert "not allowed" in client.hmp("stop")
        assert "not allowed" in client.hmp("system_reset")
    found = records(proxy)
    assert [record["repeated"] for record in found if record["hmp_command"] == "stop"] == [0] * 10 + [489]
    assert len(found) == 12
    (use,) = make_report([str(proxy.audit_path)], Filters()).tools
    assert [(command.name, command.refused) for command in use.commands] == [("stop", 500), ("system_reset", 1)]


def test_nothing_is_run_once_the_logs_folder_is_gone(vm: QEMUVM) -> None:
    folder = vm.folder / "log"
    folder.mkdir()
    options = ("--audit", str(folder / "log"), "--audit-failure", "refuse")
    with ProxyProcess(vm.folder, vm.qmp_path, options) as proxy, proxy.negotiated() as client:
        assert client.hmp("savevm t1") == ""
        shutil.rmtree(folder)
        for line in ("savevm t2", "stop"):
            reason = client.hmp(line)
            assert reason.startswith(
                f"Error: cannot write the audit log {folder}/log: the file was removed, and cannot be created"
            )
            assert reason.endswith("; the command was not run\r\n")
        assert client.returned("query-status")["status"] == "running"
        folder.mkdir()
        assert client.hmp("delvm t1") == ""
    begun, *_ = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    # Two refusals, and what the client sent after the second.
    assert (begun["action"], begun["command_line"], begun["lost_before"]) == ("begun", "delvm t1", 3)
    assert snapshots_of(vm.path("disk")) == []
