"""libvirt with the wrapper as a domain's emulator: a raw varstore no longer blocks snapshots, and nothing else changes.

libvirtd is the real one, in a folder of its own (libvirt_host.py). Where it is not installed, or cannot start a domain without
the wrapper, these tests are skipped with its reason.

Each test of what libvirt does is run twice: on QEMU itself with a varstore that QEMU can leave out because it is read-only, and
through the wrapper with one that it can not. The same has to come of both.
"""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from tests.integration.qemu_vm import make_qcow2, qemu_binary, snapshots_of
from tests.integration.tools.libvirt_domain import Domain, running_domain
from tests.integration.tools.libvirt_emulators import emulator, records_of
from tests.integration.tools.libvirt_guest import Varstore
from tests.integration.tools.libvirt_host import LibvirtHost, NoLibvirtError, VirshError, libvirt_host
from tests.integration.waiting import until

REFUSED: Final = "Error: Device 'pflash1' is writable but does not support snapshots"

Start: TypeAlias = Callable[[str], AbstractContextManager[Domain]]


@pytest.fixture(scope="module")
def host() -> Iterator[LibvirtHost]:
    """A libvirtd that can start domains."""
    try:
        with libvirt_host() as running:
            check(running)
            yield running
    except NoLibvirtError as exc:
        pytest.skip(f"no libvirt: {exc}")


def check(host: LibvirtHost) -> None:
    """Raise NoLibvirtError if a domain of QEMU alone does not start."""
    try:
        with running_domain(host, "check", emulator(host, "native"), Varstore.READ_ONLY):
            pass
    except VirshError as exc:
        raise NoLibvirtError(f"it starts no domain here: {exc}") from exc


@pytest.fixture(autouse=True)
def _nothing_is_left(host: LibvirtHost) -> Iterator[None]:
    yield
    until(lambda: not host.processes)
    assert host.sockets == []


@pytest.fixture(params=["native", "wrapped"])
def start(request: pytest.FixtureRequest, host: LibvirtHost) -> Start:
    """What starts a domain of this name."""
    program = emulator(host, request.param)
    return lambda name: running_domain(
        host, name, program, Varstore.WRITABLE if request.param == "wrapped" else Varstore.READ_ONLY
    )


@pytest.fixture
def vm(start: Start) -> Iterator[Domain]:
    with start("one") as domain:
        yield domain


def failure(domain: Domain, command: str, *words: str) -> str:
    with pytest.raises(VirshError) as caught:
        domain.run(command, *words)
    return str(caught.value)


def test_varstore_blocks_snapshots_without_the_wrapper(host: LibvirtHost) -> None:
    """This is what the wrapper is for."""
    if host.version >= (10, 9):
        pytest.skip("from 10.9 libvirt has QEMU save its own disks only, and this varstore is none of them")
    with running_domain(host, "one", emulator(host, "native"), Varstore.WRITABLE) as vm:
        assert REFUSED in failure(vm, "snapshot-create-as", "s1")
        assert vm.hmp("savevm s1") == REFUSED
        assert vm.state == "running (unpaused)"
        assert vm.snapshots == []


@pytest.mark.parametrize("way", ["native", "wrapped"])
def test_domain_with_firmware_is_saved_by_hmp(host: LibvirtHost, way: str) -> None:
    """libvirt refuses its snapshots by itself, but what it passes to the monitor works with the wrapper."""
    with running_domain(host, "one", emulator(host, way), Varstore.NVRAM) as vm:
        assert "internal snapshots of a VM with pflash based firmware" in failure(vm, "snapshot-create-as", "s1")
        vm.type("A")
        vm.write(0xAA)
        said = vm.hmp("savevm s1")
        if way == "native":
            # A node's name, which tells of libvirt's version.
            assert re.fullmatch(r"Error: Device 'libvirt-pflash1-\w+' is writable but does not support snapshots", said)
            return
        assert said == ""
        vm.type("B")
        vm.write(0xBB)
        assert vm.hmp("loadvm s1") == ""
        assert vm.state.startswith("running")
        assert (vm.typed(), vm.pattern()) == ("A", 0xAA)
        assert vm.hmp("delvm s1") == ""


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("saved", "options", "state"),
    [
        ("running", [], "running"),
        ("running", ["--paused"], "paused"),
        ("paused", [], "paused"),
        ("paused", ["--running"], "running"),
    ],
)
def test_revert_brings_disk_and_memory_back(vm: Domain, saved: str, options: list[str], state: str) -> None:
    vm.type("A")
    vm.write(0xAA)
    if saved == "paused":
        vm.run("suspend")
    vm.run("snapshot-create-as", "s1")
    assert vm.state.startswith(saved)
    if saved == "paused":
        vm.run("resume")
    vm.type("B")
    vm.write(0xBB)
    vm.run("snapshot-revert", "s1", *options)
    assert vm.state == f"{state} (from snapshot)"
    assert (vm.typed(), vm.pattern()) == ("A", 0xAA)
    if state == "paused":
        vm.run("resume")
    vm.type("C")
    assert vm.typed() == "AC"


def test_domain_that_is_off_is_reverted_to_running(vm: Domain) -> None:
    vm.type("A")
    vm.write(0xAA)
    vm.run("snapshot-create-as", "s1")
    vm.write(0xBB)
    vm.run("destroy")
    vm.run("snapshot-revert", "s1")
    assert vm.state == "running (from snapshot)"
    assert (vm.typed(), vm.pattern()) == ("A", 0xAA)


def test_each_of_several_snapshots_is_found_until_it_is_deleted(vm: Domain) -> None:
    for number, key in enumerate("ABC", start=1):
        vm.type(key)
        vm.write(number)
        vm.run("snapshot-create-as", f"s{number}")
    assert [name for name, _ in snapshots_of(vm.image)] == ["s1", "s2", "s3"]
    vm.run("snapshot-revert", "s1")
    assert (vm.typed(), vm.pattern()) == ("A", 1)
    vm.run("snapshot-delete", "s1")
    vm.run("snapshot-revert", "s3")
    assert (vm.typed(), vm.pattern()) == ("ABC", 3)
    vm.run("snapshot-delete", "s3")
    assert [name for name, _ in snapshots_of(vm.image)] == ["s2"]
    assert vm.run("snapshot-list", "--name") == "s2"
    assert "Domain snapshot not found" in failure(vm, "snapshot-revert", "s3")
    assert vm.state.startswith("running")


def test_snapshot_has_any_name(vm: Domain) -> None:
    if vm.host.version >= (10, 9):
        pytest.skip("from 10.9 libvirt makes a job's id of the name, which QEMU refuses")
    for name in ("a b", "'", "é日"):
        vm.run("snapshot-create-as", name)
    assert [name for name, _ in snapshots_of(vm.image)] == ["a b", "'", "é日"]
    vm.run("snapshot-revert", "a b")
    assert vm.state == "running (from snapshot)"
    for name in ("a b", "'", "é日"):
        vm.run("snapshot-delete", name)
    assert snapshots_of(vm.image) == []


def test_snapshot_that_the_disk_lacks_fails_with_the_same_text(vm: Domain) -> None:
    vm.run("snapshot-create-as", "s1")
    vm.run("destroy")
    subprocess.run(["qemu-img", "snapshot", "-d", "s1", vm.image], check=True)
    qemu_says = "Z qemu-system-x86_64: Snapshot 's1' does not exist in one or more devices"
    libvirt_says = "image of disk 'sda' does not have internal snapshot 's1'"
    assert failure(vm, "snapshot-revert", "s1").endswith(qemu_says if vm.host.version < (10, 10) else libvirt_says)
    assert vm.state == "shut off (failed)"
    vm.run("start")
    assert vm.state == "running (booted)"


def test_plugged_disk_is_in_the_snapshots_until_it_is_unplugged(vm: Domain) -> None:
    second = vm.host.give(make_qcow2(vm.host.folder / "second.qcow2"))
    plug = ("attach-disk", str(second), "sdb", "--targetbus", "scsi", "--driver", "qemu", "--subdriver", "qcow2", "--live")
    vm.run(*plug)
    assert vm.disks == {"sda": str(vm.image), "sdb": str(second)}
    vm.write(0xAA, "scsi0-0-0-1")
    vm.run("snapshot-create-as", "s1")
    vm.write(0xBB, "scsi0-0-0-1")
    vm.run("snapshot-revert", "s1")
    assert vm.disks == {"sda": str(vm.image), "sdb": str(second)}
    assert vm.pattern("scsi0-0-0-1", second) == 0xAA
    vm.run("detach-disk", "sdb", "--live")
    assert vm.disks == {"sda": str(vm.image)}
    vm.run("snapshot-create-as", "s2")
    assert [name for name, _ in snapshots_of(second)] == ["s1"]
    assert [name for name, _ in snapshots_of(vm.image)] == ["s1", "s2"]


def test_external_snapshot_is_taken_and_committed(vm: Domain) -> None:
    """It and its end are events and jobs of QEMU's that libvirt waits for."""
    vm.write(0xAA)
    overlay = vm.image.with_suffix(".outside")
    vm.run("snapshot-create-as", "outside", "--disk-only")
    assert vm.disks == {"sda": str(overlay)}
    vm.write(0xBB)
    vm.run("blockcommit", "sda", "--active", "--pivot")
    overlay.unlink()
    assert vm.disks == {"sda": str(vm.image)}
    assert vm.pattern() == 0xBB


def test_hmp_passes(vm: Domain) -> None:
    assert vm.hmp("info status") == "VM status: running"
    assert vm.hmp("info nothing").startswith("unknown command: 'info nothing'")
    assert vm.hmp("savevm mine") == ""
    assert " mine " in vm.hmp("info snapshots")
    assert vm.hmp("delvm mine") == ""
    assert vm.run("qemu-monitor-command", '{"execute": "query-name"}').startswith('{"return":{"name":"one"}')


def test_terminals_and_sockets_that_are_no_monitors_are_qemus(host: LibvirtHost) -> None:
    devices = """
        <serial type="pty"/>
        <channel type="unix"><target type="virtio" name="org.qemu.guest_agent.0"/></channel>
        <graphics type="vnc"><listen type="socket"/></graphics>
    """
    with running_domain(host, "one", emulator(host, "wrapped"), Varstore.WRITABLE, devices) as vm:
        for _ in ("started", "reverted"):
            assert Path(vm.run("ttyconsole")).is_char_device()
            assert vm.run("domdisplay").startswith("vnc+unix:")
            sockets = {name.rpartition("/")[2]: host.folder / name for name in host.sockets}
            assert sockets.keys() == {"monitor.sock", "org.qemu.guest_agent.0", "vnc.sock"}
            with socket.socket(socket.AF_UNIX) as viewer:
                viewer.connect(str(sockets["vnc.sock"]))
                assert viewer.recv(4, socket.MSG_WAITALL) == b"RFB "
            vm.run("snapshot-create-as", "s1")
            vm.run("snapshot-revert", "s1")
            vm.run("snapshot-delete", "s1")


def test_managed_save_is_started_from(vm: Domain) -> None:
    """libvirt passes QEMU the descriptor of a file for it."""
    vm.type("A")
    vm.run("snapshot-create-as", "s1")
    vm.type("B")
    vm.run("managedsave")
    assert vm.state == "shut off (saved)"
    vm.run("start")
    assert vm.state == "running (restored)"
    assert vm.typed() == "AB"
    vm.run("snapshot-revert", "s1")
    assert vm.typed() == "A"


def test_memory_is_dumped(vm: Domain) -> None:
    """libvirt passes the file's descriptor here, too."""
    dump = vm.host.folder / "dump"
    vm.run("dump", str(dump), "--memory-only")
    assert dump.read_bytes().startswith(b"\x7fELF")
    assert vm.state == "running (unpaused)"


def test_domain_pauses_and_goes_on(vm: Domain) -> None:
    vm.run("suspend")
    assert vm.state == "paused (user)"
    vm.run("resume")
    assert vm.state == "running (unpaused)"
    vm.type("A")


def test_guest_switches_itself_off(vm: Domain) -> None:
    vm.run("shutdown")
    until(lambda: vm.state == "shut off (shutdown)")
    vm.run("start")
    assert vm.state == "running (booted)"


def test_domain_is_destroyed_and_started_again(vm: Domain) -> None:
    vm.run("destroy")
    assert vm.state == "shut off (destroyed)"
    vm.run("start")
    assert vm.state == "running (booted)"


def test_paused_domain_is_destroyed(vm: Domain) -> None:
    vm.run("suspend")
    vm.run("destroy")
    assert vm.state == "shut off (destroyed)"


def test_libvirt_tracks_qemu_itself(vm: Domain) -> None:
    """Its processor time, its memory and where it may run are QEMU's; and when it dies, that is a crash."""
    assert os.readlink(f"/proc/{vm.pid}/exe") == os.path.realpath(qemu_binary())
    os.kill(vm.pid, signal.SIGKILL)
    until(lambda: vm.state == "shut off (crashed)")


@pytest.mark.parametrize("killed", ["QEMU", "proxy"])
def test_proxy_and_qemu_end_together(host: LibvirtHost, killed: str) -> None:
    """libvirt takes the end of its monitor for the end of the domain, and kills QEMU."""
    with running_domain(host, "one", emulator(host, "wrapped"), Varstore.WRITABLE) as vm:
        (proxy,) = host.processes.keys() - {vm.pid}
        os.kill(vm.pid if killed == "QEMU" else proxy, signal.SIGKILL)
        until(lambda: vm.state == "shut off (crashed)")
        until(lambda: not host.processes)
        vm.run("start")
        assert vm.state == "running (booted)"


def test_domains_do_not_meet(start: Start) -> None:
    with start("one") as one, start("two") as two:
        for vm, key, pattern in ((one, "A", 0xAA), (two, "B", 0xBB)):
            vm.type(key)
            vm.write(pattern)
            vm.run("snapshot-create-as", "s1")
        for vm in (one, two):
            vm.type("C")
            vm.write(0xCC)
        one.run("snapshot-revert", "s1")
        assert (one.typed(), one.pattern()) == ("A", 0xAA)
        assert (two.typed(), two.pattern()) == ("BC", 0xCC)
        one.run("destroy")
        two.run("snapshot-revert", "s1")
        assert (two.typed(), two.pattern()) == ("B", 0xBB)


def test_libvirtd_finds_its_domain_again(vm: Domain) -> None:
    vm.type("A")
    vm.run("snapshot-create-as", "s1")
    pid = vm.pid
    vm.restart_libvirtd()
    assert (vm.state, vm.pid) == ("running (unpaused)", pid)
    vm.type("B")
    vm.run("snapshot-create-as", "s2")
    vm.run("snapshot-revert", "s1")
    assert vm.typed() == "A"
    vm.restart_libvirtd()
    vm.run("snapshot-revert", "s2")
    assert vm.typed() == "AB"


def test_what_libvirt_had_done_is_on_record(host: LibvirtHost) -> None:
    """The wrapper does it, and not QEMU."""
    if host.version >= (10, 9):
        pytest.skip("from 10.9 libvirt uses QEMU's snapshot jobs itself")
    with running_domain(host, "recorded", emulator(host, "wrapped"), Varstore.WRITABLE) as vm:
        vm.run("snapshot-create-as", "s1")
        vm.run("snapshot-revert", "s1")
        vm.run("snapshot-delete", "s1")
    records = [record for record in records_of(host) if record["vm"] == "recorded"]
    assert [(record["command_line"], record["action"]) for record in records] == [
        ('savevm "s1"', "rewritten"),
        ("loadvm s1", "rewritten"),
        ('delvm "s1"', "rewritten"),
    ]


def test_wrapper_has_qemus_capabilities(host: LibvirtHost) -> None:
    """libvirt asks for them through it."""

    def asked(way: str) -> str:
        said = host.virsh("domcapabilities", "--virttype", "qemu", "--emulatorbin", emulator(host, way))
        return re.sub("<path>.*</path>", "", said, count=1)

    assert asked("wrapped") == asked("native")
