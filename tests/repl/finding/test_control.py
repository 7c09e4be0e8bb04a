"""What a proxy says at its control socket, and what else may be there."""

import asyncio
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from host.net.addresses import TCPAddress, UnixAddress
from repl.finding import control
from repl.finding.control import OthersCommand, ServedVM, ask_proxies, ask_proxy, control_paths
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import RunningDaemon, table
from tests.support.processes.vm_statuses import BUSY, OFF, as_told
from tests.support.proxy.answering_proxy import answering
from tests.support.proxy.asked_sockets import short_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


def test_a_proxy_tells_its_vms_and_where_clients_come_in(folder: Path) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            tables = table(qemu, folder / "a"), table("/none", folder / "b")
            options = ["--control", str(folder / "control")]
            async with RunningDaemon(folder, *tables, absent=["b"], options=options):
                told = await asyncio.to_thread(ask_proxy, folder / "control", deadline_s=30)
            assert told == [
                ServedVM("a", f"unix:{qemu.path}", (UnixAddress(str(folder / "a")),), is_served=True),
                ServedVM("b", "unix:/none", (UnixAddress(str(folder / "b")),), is_served=False),
            ]

    asyncio.run(main())


def test_command_that_runs_is_told_and_what_is_no_socket_left_out(folder: Path) -> None:
    told = as_told(BUSY, OFF)
    told["vms"][0]["listen"] = ["tcp:h:1", "systemd", "nonsense", "fd:1"]
    del told["vms"][1]["listen"]
    with answering(folder / "c", json.dumps({"return": told}).encode()):
        found = ask_proxy(folder / "c")
    running = OthersCommand("savevm nightly\x1b", "/usr/bin/tool (pid 5, uid 0)", 75.4)
    assert found == [
        ServedVM("a", "unix:/q", (TCPAddress("h", 1),), is_served=True, running=running, audit="/log"),
        ServedVM("long-name", "unix:/q2", (), is_served=False),
    ]


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{}", b'{"error": "no"}', b'{"return": {"vms": [{}]}}', b'{"return": 1}', b"["]
)
def test_what_is_no_status_is_none(folder: Path, answer: bytes) -> None:
    with answering(folder / "c", answer):
        assert ask_proxy(folder / "c") is None


def test_nobody_there_is_none(folder: Path) -> None:
    assert ask_proxy(folder / "c") is None
    (folder / "c").write_text("")
    assert ask_proxy(folder / "c") is None


def test_who_does_not_answer_is_not_waited_for(folder: Path) -> None:
    with answering(folder / "c", None):
        assert ask_proxy(folder / "c", deadline_s=0.01) is None


@pytest.mark.parametrize("is_slow", [True, False])
def test_who_answers_for_ever_is_not_heard_out(folder: Path, monkeypatch: pytest.MonkeyPatch, is_slow: bool) -> None:
    monkeypatch.setattr(control, "_MOST_BYTES", 1 << 40 if is_slow else 10)

    def talk(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client:
            try:
                while True:
                    client.sendall(b" " * 4096)
            except OSError:
                return

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "c"))
        listener.listen()
        thread = threading.Thread(target=talk, args=(listener,))
        thread.start()
        assert ask_proxy(folder / "c", deadline_s=0.05 if is_slow else 30) is None
        thread.join()


@pytest.mark.parametrize(
    ("environment", "own"),
    [({"XDG_RUNTIME_DIR": "/x"}, "/x/hmp-proxy"), ({"XDG_RUNTIME_DIR": ""}, "/run/user/5/hmp-proxy")],
)
def test_sockets_are_those_of_root_and_of_the_user(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, Any], own: str
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 5)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert control_paths(Path("/none")) == [Path("/none/hmp-proxy/control.sock"), Path(own, "control.sock")]
    assert control_paths()[0] == Path("/run/hmp-proxy/control.sock")


def test_folder_in_which_others_may_have_put_sockets_is_left_out(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Such as another user's, which `sudo -E` leaves in the environment, or /tmp."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    (folder / "hmp-proxy-vms" / "a").mkdir(parents=True)
    (folder / "hmp-proxy-vms" / "a" / "control.sock").touch()
    assert len(control_paths(Path("/none"))) == 3
    folder.chmod(0o1777)
    assert control_paths(Path("/none")) == [Path("/none/hmp-proxy/control.sock")]
    folder.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(folder, 7, -1)
    else:
        monkeypatch.setattr("os.geteuid", lambda: 7)
    assert len(control_paths(Path("/none"))) == 1


def test_each_vm_of_the_template_unit_has_a_socket(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "user"))
    of_template = [
        folder / of / "hmp-proxy-vms" / vm / "control.sock" for of, vm in (("run", "a"), ("run", "b"), ("user", "c"))
    ]
    for path in of_template:
        path.parent.mkdir(parents=True)
        path.touch()
    assert control_paths(folder / "run")[2:] == of_template


def test_proxies_are_asked_at_the_same_time(folder: Path) -> None:
    told = json.dumps({"return": as_told(OFF)}).encode()
    with answering(folder / "a", told), answering(folder / "b", told):
        first, nobody, second = ask_proxies([folder / "a", folder / "none", folder / "b"])
    assert first is not None
    assert [vm.name for vm in first] == ["long-name"]
    assert second == first
    assert nobody is None
    assert ask_proxies([folder / "none"]) == [None]
