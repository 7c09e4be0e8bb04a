"""A real QEMU's socket is taken over, put back, and put right after SIGKILL; and a QEMU that connects to us."""

import os
import select
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Self

import pytest

from host.net.connecting import count_waiting
from shim.qmp import QEMUVersion
from tests.integration.permissions.other_user import LET_IN, NOBODY, REFUSED, connects_as
from tests.integration.qemu_vm import IDLE_ROM, QEMUVM, make_qcow2, reconnecting
from tests.integration.waiting import until
from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S, ConnectionLostError, RawClient, negotiated


@pytest.fixture
def vm() -> Iterator[QEMUVM]:
    machine = QEMUVM(["-bios", "rom", "-drive", "if=none,id=d0,file=d0.qcow2,format=qcow2"])
    machine.path("rom").write_bytes(IDLE_ROM)
    make_qcow2(machine.path("d0.qcow2"))
    with machine:
        yield machine


class Proxy:
    """`hmp-proxy` with any options, its standard error in a file of the VM's folder."""

    def __init__(self, folder: Path, arguments: Sequence[str]) -> None:
        self._stderr_path = folder / "proxy.stderr"
        self._command = [sys.executable, "-W", "error", "-m", "proxy", *arguments]

    def __enter__(self) -> Self:
        with self._stderr_path.open("wb") as stderr:
            self.process = subprocess.Popen(self._command, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=stderr)
        until(lambda: "listening on" in self.stderr or self.process.poll() is not None)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            assert self.end(signal.SIGTERM) == 0, self.stderr
        assert "Traceback" not in self.stderr

    @property
    def stderr(self) -> str:
        return self._stderr_path.read_text(errors="replace") if self._stderr_path.exists() else ""

    def close(self) -> None:
        self.__exit__(None, None, None)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)


def inode(path: str) -> int:
    return os.stat(path).st_ino


def saves(path: str, tag: str) -> bool:
    """Save through the path; False if whoever is there hangs up."""
    try:
        with RawClient.connect(path) as client:
            client.negotiate()
            assert client.hmp(f"savevm {tag}") == ""
            return tag in client.hmp("info snapshots")
    except (ConnectionLostError, ConnectionError, FileNotFoundError):
        return False


def test_tools_keep_their_path_and_qemu_gets_it_back(vm: QEMUVM) -> None:
    own = inode(vm.qmp_path)
    os.chmod(vm.qmp_path, 0o660)
    os.chown(vm.qmp_path, 4321, 8765)
    with Proxy(vm.folder, ["--take-over", vm.qmp_path, "--audit", f"{vm.folder}/log"]):
        status = os.stat(vm.qmp_path)
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o660, 4321, 8765)
        assert status.st_ino != own
        assert inode(vm.qmp_path + ".hmpshim") == own
        assert saves(vm.qmp_path, "t")
    assert inode(vm.qmp_path) == own
    assert not os.path.exists(vm.qmp_path + ".hmpshim")
    assert '"command_line":"savevm t"' in vm.path("log").read_text()
    assert saves(vm.qmp_path, "native")


def test_a_killed_proxys_remains_are_put_right_by_the_next(vm: QEMUVM) -> None:
    own = inode(vm.qmp_path)
    with Proxy(vm.folder, ["--take-over", vm.qmp_path]) as killed:
        assert killed.end(signal.SIGKILL) == -signal.SIGKILL
    assert inode(vm.qmp_path + ".hmpshim") == own
    with Proxy(vm.folder, ["--take-over", vm.qmp_path]):
        assert saves(vm.qmp_path, "t")
        assert inode(vm.qmp_path + ".hmpshim") == own
    assert inode(vm.qmp_path) == own


def test_qemu_started_anew_while_taken_over(vm: QEMUVM) -> None:
    with Proxy(vm.folder, ["--take-over", vm.qmp_path, "--audit", f"{vm.folder}/log", "--verbose"]) as proxy:
        assert saves(vm.qmp_path, "before")
        with RawClient.connect(vm.qmp_path) as client:
            client.negotiate()
            vm.kill()
            client.expect_eof()
        # QEMU makes its socket in place of the proxy's.
        drive = f"if=none,id=d0,file={vm.folder}/d0.qcow2,format=qcow2"
        vm.path("again").mkdir()
        again = QEMUVM(["-qmp", f"unix:{vm.qmp_path},server=on,wait=off", "-drive", drive], folder=vm.path("again"))
        with again:
            until(lambda: "is back" in proxy.stderr)
            own = inode(vm.qmp_path + ".hmpshim")
            assert own != inode(vm.qmp_path)
            assert saves(vm.qmp_path, "after")
            assert proxy.end(signal.SIGTERM) == 0
            assert inode(vm.qmp_path) == own
            assert saves(vm.qmp_path, "native")
    records = vm.path("log").read_text().splitlines()
    assert len({record.partition('"vm":"')[2].partition('"')[0] for record in records}) == 1


def test_qemu_killed_while_taken_over_leaves_its_own_socket(vm: QEMUVM) -> None:
    own = inode(vm.qmp_path)
    with Proxy(vm.folder, ["--take-over", vm.qmp_path]) as proxy:
        vm.kill()
        until(lambda: "has gone" in proxy.stderr)
        assert proxy.end(signal.SIGTERM) == 0
    assert inode(vm.qmp_path) == own
    assert not os.path.exists(vm.qmp_path + ".hmpshim")


@pytest.mark.versions
def test_qemu_connects_to_us_and_comes_back(vm: QEMUVM, qemu_version: QEMUVersion) -> None:
    accept, legacy = str(vm.path("accept.sock")), str(vm.path("legacy.sock"))
    chardev = f"socket,id=call,path={accept},server=off,{reconnecting(qemu_version)}"
    calling = ["-chardev", chardev, "-mon", "chardev=call,mode=control"]
    proxy = Proxy(vm.folder, ["--upstream", f"accept:unix:{accept}", "--listen", f"unix:{legacy}"])
    vm.kill()
    vm.args = (*vm.args, *calling)
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(proxy.__enter__)
        try:
            until(lambda: os.path.exists(accept))
            vm.start()
        finally:
            starting.result(DEADLINE_S)
    with closing(proxy):
        assert saves(legacy, "t")
        with RawClient.connect(legacy) as client:
            client.negotiate()
            vm.kill()
            client.expect_eof()
        vm.start()
        until(lambda: saves(legacy, "u"))
    assert not os.path.exists(accept)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")
@pytest.mark.parametrize(("mode", "outcome"), [(0o600, REFUSED), (0o666, LET_IN)])
def test_whom_qemu_let_in_is_let_in(vm: QEMUVM, mode: int, outcome: str) -> None:
    vm.folder.chmod(0o755)
    os.chmod(vm.qmp_path, mode)
    with Proxy(vm.folder, ["--take-over", vm.qmp_path]):
        assert inode(vm.qmp_path) != inode(f"{vm.qmp_path}.hmpshim")
        assert connects_as(NOBODY, vm.qmp_path) == outcome


BEFORE = "a program connected to QEMU at {} before the proxy did. It has QEMU's own monitor until it disconnects, so its"
BEHIND = "programs that connected to QEMU at {} just before it was taken over: 1. They get no greeting while the proxy runs"


@pytest.fixture
def taken_path(vm: QEMUVM) -> str:
    """The path of one more socket of QEMU's, which QEMU was given in full, so that the kernel calls it so."""
    vm.kill()
    path = str(vm.path("taken.sock"))
    vm.args = (*vm.args, "-qmp", f"unix:{path},server=on,wait=off")
    vm.start()
    return path


@pytest.mark.versions
def test_tool_that_came_before_the_proxy_is_told_of_and_waited_for(vm: QEMUVM, taken_path: str) -> None:
    with negotiated(RawClient.connect(taken_path)) as tool:
        proxy = Proxy(vm.folder, ["--take-over", taken_path, "--wait", "--audit", f"{vm.folder}/log"])
        with ThreadPoolExecutor(1) as pool:
            starting = pool.submit(proxy.__enter__)
            until(lambda: BEFORE.format(taken_path) in proxy.stderr)
            assert tool.hmp("savevm own") == ""
            tool.close()
            starting.result(DEADLINE_S)
    with closing(proxy):
        assert saves(taken_path, "t")
        assert proxy.stderr.count("a program connected to QEMU") == 1
        assert "savevm own" not in vm.path("log").read_text()


@pytest.mark.versions
def test_tool_that_came_between_while_the_path_was_held_is_told_of(vm: QEMUVM, taken_path: str) -> None:
    """The proxy is stopped for a moment, to be slow."""
    vm.kill()
    os.unlink(taken_path)
    proxy = Proxy(vm.folder, ["--take-over", f"hold:{taken_path}", "--wait"])
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(proxy.__enter__)
        until(lambda: os.path.exists(taken_path))
        proxy.process.send_signal(signal.SIGSTOP)
        vm.start()
        with negotiated(RawClient.connect(taken_path)) as tool:
            proxy.process.send_signal(signal.SIGCONT)
            until(lambda: BEFORE.format(taken_path) in proxy.stderr)
            assert tool.hmp("savevm own") == ""
        starting.result(DEADLINE_S)
    with closing(proxy):
        assert saves(taken_path, "t")
        assert "with --take-over hold:" not in proxy.stderr


@pytest.mark.versions
def test_tool_in_the_queue_behind_the_proxy_is_told_of(vm: QEMUVM, taken_path: str) -> None:
    """It is greeted when the proxy ends, by QEMU. QEMU is stopped for a moment, so that both are in its queue."""
    assert vm.process is not None
    vm.process.send_signal(signal.SIGSTOP)
    proxy = Proxy(vm.folder, ["--take-over", taken_path])
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(proxy.__enter__)
        until(lambda: count_waiting(taken_path) == 1)
        with RawClient.connect(taken_path) as tool:
            vm.process.send_signal(signal.SIGCONT)
            starting.result(DEADLINE_S)
            with closing(proxy):
                assert BEHIND.format(taken_path) in proxy.stderr
                assert saves(taken_path, "t")
                assert not select.select([tool.socket], [], [], 0)[0]
            tool.negotiate()
            assert "t" in tool.hmp("info snapshots")
