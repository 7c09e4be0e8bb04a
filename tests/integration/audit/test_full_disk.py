"""A log that cannot be written, in front of a real VM: the command is refused, or it runs and the loss is told."""

import resource
from collections.abc import Iterator
from typing import Final

import pytest

from audit.counting.filters import Filters
from audit.counting.report_builder import make_report
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM, make_qcow2, snapshots_of

FULL: Final = ("--audit", "/dev/full")
REASON: Final = "cannot write the audit log /dev/full: No space left on device"


@pytest.fixture
def vm() -> Iterator[QEMUVM]:
    machine = QEMUVM(["-drive", "file=disk,format=qcow2,if=virtio,id=d0"])
    make_qcow2(machine.path("disk"), "4M")
    with machine:
        yield machine


def lets_files_grow(proxy: ProxyProcess, size_bytes: int) -> None:
    """Let no file of the proxy's grow beyond this, as on a disk that is full then."""
    assert proxy.process is not None
    resource.prlimit(proxy.process.pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


def test_refused_commands_are_not_run(vm: QEMUVM) -> None:
    with ProxyProcess(vm.folder, vm.qmp_path, [*FULL, "--audit-failure", "refuse"]) as proxy:
        with proxy.negotiated() as client:
            assert client.hmp("savevm t1") == f"Error: {REASON}; the command was not run\r\n"
            assert client.hmp("stop") == f"Error: {REASON}; the command was not run\r\n"
            save = {"job-id": "j", "tag": "t2", "vmstate": "#block1", "devices": ["#block1"]}
            assert client.execute("snapshot-save", save)["error"]["desc"] == f"{REASON}; the command was not run"
            assert client.returned("query-status")["status"] == "running"
            assert client.returned("query-jobs") == []
        assert snapshots_of(vm.path("disk")) == []
        assert REASON in proxy.stderr


def test_commands_run_and_the_loss_is_told(vm: QEMUVM) -> None:
    with ProxyProcess(vm.folder, vm.qmp_path, [*FULL, "--audit-failure", "continue"]) as proxy:
        with proxy.negotiated() as client:
            assert client.hmp("savevm t1") == ""
        assert [name for name, _ in snapshots_of(vm.path("disk"))] == ["t1"]
    assert f"{REASON}; records are lost until it can be written again" in proxy.stderr
    assert "audit log /dev/full: records lost at its end that no later record reports: 1" in proxy.stderr


def test_disk_that_has_room_again_tells_how_many_were_lost(vm: QEMUVM) -> None:
    with ProxyProcess(vm.folder, vm.qmp_path) as proxy, proxy.negotiated() as client:
        assert client.hmp("savevm t1") == ""
        lets_files_grow(proxy, proxy.audit_path.stat().st_size + 20)
        assert client.hmp("savevm t2") == client.hmp("delvm t1") == ""
        lets_files_grow(proxy, resource.RLIM_INFINITY)
        assert client.hmp("info name") == ""
    report = make_report([str(proxy.audit_path)], Filters())
    assert (report.log.records, report.log.lost, report.log.damaged) == (2, 2, 1)
    assert [name for name, _ in snapshots_of(vm.path("disk"))] == ["t2"]


def test_refused_commands_are_counted_once_each_and_told_once(vm: QEMUVM) -> None:
    with ProxyProcess(vm.folder, vm.qmp_path, ["--audit-failure", "refuse"]) as proxy, proxy.negotiated() as client:
        for _ in range(5):  # so that the log is longer than what the proxy says, which is in a file, too
            assert client.hmp("info name") == ""
        lets_files_grow(proxy, proxy.audit_path.stat().st_size)
        for number in range(3):
            assert "not run" in client.hmp(f"savevm t{number}")
        lets_files_grow(proxy, resource.RLIM_INFINITY)
        assert client.hmp("info name") == ""
    report = make_report([str(proxy.audit_path)], Filters())
    assert report.log.lost == 3
    told = [line for line in proxy.stderr.splitlines() if str(proxy.audit_path) in line]
    assert "File too large; commands are refused until it can be written again" in told[0]
    assert "it can be written again; records lost meanwhile: 3" in told[1]
    assert len(told) == 2


def test_disk_that_is_full_in_mid_command_leaves_it_begun(vm: QEMUVM) -> None:
    """It is run, because that it begins is on record; that its outcome is not is told."""
    with ProxyProcess(vm.folder, vm.qmp_path, ["--audit-failure", "refuse"]) as proxy, proxy.negotiated() as client:
        assert client.hmp("info name") == ""
        begun_bytes = len(proxy.audit_path.read_bytes().splitlines(keepends=True)[0])
        lets_files_grow(proxy, proxy.audit_path.stat().st_size + begun_bytes + 100)
        assert client.hmp("savevm t1") == ""
        assert "not run" in client.hmp("savevm t2")
    report = make_report([str(proxy.audit_path)], Filters())
    assert report.log.unfinished == 1
    assert [name for name, _ in snapshots_of(vm.path("disk"))] == ["t1"]
