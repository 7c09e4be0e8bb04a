"""The control socket tells how the VMs are, and nothing else can be done there."""

import asyncio
import json
import os
import shutil
import signal
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.control import server
from proxy.control.server import ControlSocket
from proxy.errors import ListenError
from proxy.net.sockets import ListeningSocket
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.raw_client import DEADLINE_S, RawClient
from tests.support.running_daemon import RunningDaemon, hmp, run, table, until


@pytest.fixture
def folder() -> Iterator[Path]:
    """Unix socket paths end at 107 bytes (unix(7)), so not pytest's tmp_path."""
    path = Path(tempfile.mkdtemp(prefix="c", dir="/tmp"))
    yield path
    shutil.rmtree(path)


def connected(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(DEADLINE_S)
    sock.connect(str(path))
    return sock


def told(path: Path) -> Any:
    with connected(path) as sock, sock.makefile("rb") as file:
        return json.loads(file.read())


def status_of(path: Path, name: str) -> Any:
    (found,) = [vm for vm in told(path)["vms"] if vm["name"] == name]
    return found


def test_each_connection_has_one_answer(folder: Path) -> None:
    path = folder / "control"

    async def main() -> None:
        control = ControlSocket(str(path), lambda: {"a": next(numbers)})
        control.start()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [await asyncio.to_thread(told, path) for _ in range(3)] == [{"a": 0}, {"a": 1}, {"a": 2}]
        await control.close()
        assert not path.exists()

    numbers = iter(range(9))
    run(main)


def test_path_that_is_taken_is_an_error(folder: Path) -> None:
    async def main() -> None:
        control = ControlSocket(str(folder / "control"), dict)
        with pytest.raises(ListenError):
            ControlSocket(str(folder / "control"), dict)
        await control.close()

    run(main)


def test_who_does_not_read_is_let_go(folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(server, "_MOST_READERS", 2)
    monkeypatch.setattr(server, "_PATIENCE_S", 0.05)
    caplog.set_level("INFO")
    path = folder / "control"

    async def main() -> None:
        control = ControlSocket(str(path), lambda: "x" * 4_000_000)
        control.start()
        idle = [connected(path) for _ in range(2)]
        await until(lambda: len(control._telling) == 2)
        with await asyncio.to_thread(connected, path) as third:
            assert await asyncio.to_thread(third.recv, 9) == b""
        await until(lambda: not control._telling)
        assert caplog.messages.count("whoever asked for the status has not read it") == 2
        for sock in idle:
            sock.close()
        monkeypatch.setattr(server, "_PATIENCE_S", 1000)
        with connected(path):
            await until(lambda: control._telling)
            await control.close()

    run(main)


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), ConnectionAbortedError()])
def test_connection_that_cannot_be_taken_waits(folder: Path, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    monkeypatch.setattr(server, "_ACCEPT_PAUSE_S", 0.01)
    path = folder / "control"
    accept = ListeningSocket.accept
    failures = [error]

    def accept_later(sock: ListeningSocket) -> Any:
        if failures:
            raise failures.pop()
        return accept(sock)

    async def main() -> None:
        monkeypatch.setattr(ListeningSocket, "accept", accept_later)
        control = ControlSocket(str(path), dict)
        control.start()
        assert await asyncio.to_thread(told, path) == {}
        monkeypatch.setattr(server, "_ACCEPT_PAUSE_S", 1000)
        failures.append(OSError(24, "Too many open files"))
        with connected(path):
            await until(lambda: not failures)
            await control.close()

    run(main)


def test_status_of_a_running_daemon(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "control"

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            tables = table(qemu, folder / "a", 'policy = "hmp"'), table("/none", folder / "b")
            async with RunningDaemon(folder, *tables, absent=["b"], options=["--control", str(path)]):
                off = await asyncio.to_thread(status_of, path, "b")
                assert (off["state"], off["qemu"], off["clients"]) == ("waited for", None, [])
                assert off["problem"].startswith("cannot connect to QEMU at unix:/none")
                with await asyncio.to_thread(RawClient.connect, folder / "a") as idle:
                    await asyncio.to_thread(idle.negotiate)
                    qemu.hold("snapshot-save")
                    saving = asyncio.create_task(hmp(folder / "a", "savevm t"))
                    await qemu.reached("snapshot-save")
                    busy = await asyncio.to_thread(status_of, path, "a")
                    os.kill(os.getpid(), signal.SIGUSR1)
                    await asyncio.sleep(0)
                    qemu.release()
                    await saving
        assert (busy["state"], busy["problem"], busy["policy"], busy["mode"]) == ("served", None, "hmp", "rewrite")
        assert busy["qemu"].startswith("7.2")
        assert [client["waits"] for client in busy["clients"]] == [False, True]
        assert {client["listener"] for client in busy["clients"]} == {f"unix:{folder}/a"}
        assert all(0 <= client["connected_s"] < DEADLINE_S for client in busy["clients"])
        assert busy["running"]["command"] == "savevm t"
        assert f"pid {os.getpid()}" in busy["running"]["who"]
        assert 0 <= busy["running"]["for_s"] < DEADLINE_S

    run(main)
    shown = capsys.readouterr().err
    assert "\nb   waited for" in shown
    assert "savevm t (" in shown
