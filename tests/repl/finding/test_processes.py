"""Running QEMUs, in a folder that looks like /proc."""

import os
import socket
from pathlib import Path

import pytest

from host.net.addresses import TCPAddress, UnixAddress
from repl.finding import trust
from repl.finding.processes import PROC, RunningQEMU, is_stopped, listening, running_qemus
from tests.support.process_folder import add_process, write_sockets

QEMU = "/usr/bin/qemu-system-x86_64"


def test_qemus_are_found_with_their_names_and_sockets(tmp_path: Path) -> None:
    add_process(tmp_path, 30, QEMU, "-name", "b", "-qmp", "unix:rel.sock,server=on", folder=Path("/run/b"))
    add_process(tmp_path, 4, QEMU, "-qmp", "unix:/run/a,server=on")
    add_process(tmp_path, 5, "bash", "-c", "qemu-system-x86_64 -qmp unix:/run/c,server=on")
    add_process(tmp_path, 6)
    (tmp_path / "7").mkdir()
    (tmp_path / "self").mkdir()
    assert running_qemus(tmp_path) == [
        RunningQEMU(4, None, (UnixAddress("/run/a"),)),
        RunningQEMU(30, "b", (UnixAddress("/run/b/rel.sock"),)),
    ]


def test_wrapper_has_the_sockets_of_its_qemu(tmp_path: Path) -> None:
    add_process(tmp_path, 4, QEMU, "-name", "a", "-chardev", "socket,id=compat_monitor0,fd=201")
    add_process(tmp_path, 5, "hmp-proxy", "wrap", "--", QEMU, "-name", "a", "-qmp", "unix:/run/a,server=on")
    assert running_qemus(tmp_path) == [RunningQEMU(4, "a", ()), RunningQEMU(5, "a", (UnixAddress("/run/a"),), is_wrapped=True)]


def test_relative_path_of_another_users_qemu_is_not_known(tmp_path: Path) -> None:
    add_process(tmp_path, 4, QEMU, "-qmp", "unix:rel,server=on", "-qmp", "tcp:h:1,server=on")
    (found,) = running_qemus(tmp_path)
    assert [str(one) for one in found.sockets] == ["tcp:h:1"]


def test_what_another_users_qemu_says_counts_for_that_users_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU with -runas has root's socket, and only its place is known."""
    monkeypatch.setattr(trust, "_owner", {"/of-7": 7, "/of-root": 0}.get)
    words = [word for one in ("tcp:h:1", "unix:/of-7", "unix:/of-root") for word in ("-qmp", f"{one},server=on")]
    add_process(tmp_path, 4, QEMU, "-name", "a", *words, uids=[7] * 4)
    assert running_qemus(tmp_path) == [
        RunningQEMU(4, "a", (UnixAddress("/of-7"),)),
        RunningQEMU(4, None, (TCPAddress("h", 1),), is_claimed=True),
        RunningQEMU(4, None, (UnixAddress("/of-root"),), is_claimed=True),
    ]


def test_without_proc_nothing_is_found(tmp_path: Path) -> None:
    assert running_qemus(tmp_path / "none") == []
    assert listening(tmp_path / "none") == {}


def test_kernel_tells_who_listens_and_where_a_client_is(tmp_path: Path) -> None:
    write_sockets(tmp_path, {"/run/a b": True, "/run/c": False})
    assert listening(tmp_path) == {"/run/a b": True, "/run/c": False}


def test_real_proc_is_read(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(path)
        listener.listen()
        assert listening(PROC)[path] is False
        client.connect(path)
        accepted, _ = listener.accept()
        with accepted:
            assert listening(PROC)[path] is True
    assert all(one.pid != os.getpid() for one in running_qemus(PROC))


@pytest.mark.parametrize(("status", "is_so"), [("7 (a ) b) T 1", True), ("7 (T) t 1", True), ("7 (T) S 1", False), ("", False)])
def test_process_that_stands_still_is_known(tmp_path: Path, status: str, is_so: bool) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_text(status)
    assert is_stopped(7, tmp_path) is is_so
    assert is_stopped(8, tmp_path) is False
