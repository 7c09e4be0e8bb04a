"""A daemon that is replaced by another, with all that belongs to the process: its own sockets, the service manager, SIGHUP."""

import asyncio
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.handover.meeting import meet
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import RunningDaemon, hmp, run, table, until
from tests.support.proxy_command import run_proxy
from tests.support.raw_client import DEADLINE_S, RawClient


@pytest.fixture
def folder() -> Iterator[Path]:
    """Unix socket paths end at 107 bytes (unix(7)), so not pytest's tmp_path."""
    path = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))
    yield path
    shutil.rmtree(path)


def heard(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def status(path: Path) -> list[str]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(DEADLINE_S)
        sock.connect(str(path))
        sock.sendall(b'{"command": "status"}\n')
        return [vm["state"] for vm in json.loads(sock.makefile().read())["return"]["vms"]]


def test_process_takes_over_from_process_to_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the control socket. The service manager hears who is the service from then on, and not that it ends."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "n"))

    async def main(manager: socket.socket) -> None:
        async with FakeQEMU(two_disks()) as qemu:
            text = table(qemu, folder / "a")
            control, meeting = ["--control", str(folder / "c")], str(folder / "m")
            old = RunningDaemon(folder, text, options=[*control, "--replaceable", meeting])
            await old.__aenter__()
            assert await asyncio.to_thread(heard, manager) == ["READY=1", "STATUS=VMs served: 1"]
            with await asyncio.to_thread(RawClient.connect, folder / "a") as client:
                await asyncio.to_thread(client.negotiate)
                for _ in range(2):
                    new = RunningDaemon(folder, text, options=[*control, "--replace", meeting])
                    await new.__aenter__()
                    await until(old.task.done)
                    await old.task
                    told = [await asyncio.to_thread(heard, manager) for _ in range(2)]
                    assert sorted(told) == [[f"MAINPID={os.getpid()}"], ["READY=1", "STATUS=VMs served: 1"]]
                    await until((folder / "m").exists)
                    assert await asyncio.to_thread(status, folder / "c") == ["served"]
                    assert await asyncio.to_thread(client.hmp, "savevm t") == ""
                    old = new
            await new.__aexit__(None, None, None)
            assert (await asyncio.to_thread(heard, manager))[0] == "STOPPING=1"

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "n"))
        manager.settimeout(DEADLINE_S)
        run(lambda: main(manager))
    assert sorted(path.name for path in folder.iterdir()) == ["hmpshim.toml", "n"]


def test_file_is_not_read_again_while_another_process_takes_over(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            options = ["--replaceable", str(folder / "m")]
            async with RunningDaemon(folder, table(qemu, folder / "a"), options=options) as daemon:
                channel = await meet(str(folder / "m"))
                await channel.send({"formats": [], "version": "9"})
                await channel.receive()
                assert await daemon.read_again(caplog, "nonsense") == [
                    "another process takes over, and reads the configuration"
                ]
                channel.close()
                await until(lambda: "VMs that stay here: 1" in caplog.text)
                assert "invalid TOML" in (await daemon.read_again(caplog, "nonsense"))[0]
                assert await hmp(folder / "a", "savevm t") == [""]

    run(main)


def test_socket_of_its_own_that_cannot_be_made_leaves_the_vms_served(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "c").write_text("")

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            text, meeting = table(qemu, folder / "a"), str(folder / "m")
            old = RunningDaemon(folder, text, options=["--replaceable", meeting])
            await old.__aenter__()
            async with RunningDaemon(folder, text, options=["--control", str(folder / "c"), "--replace", meeting]):
                await until(old.task.done)
                await until(lambda: "the path exists and is not a socket" in caplog.text)
                assert await hmp(folder / "a", "savevm t") == [""]

    run(main)


@pytest.mark.parametrize(
    ("options", "exit_status", "error"),
    [
        (["--replace", "{folder}/none"], 7, "cannot replace the proxy at {folder}/none: No such file or directory"),
        (
            ["--replace", "{folder}/m", "--audit", "/none/log"],
            6,
            "files of a: cannot write the audit log /none/log: No such file or directory",
        ),
        (["--replace", "{folder}/m", "--replaceable", "{folder}/m"], 2, "not allowed with argument"),
    ],
)
def test_process_that_cannot_begin_leaves_the_other_as_it_is(
    folder: Path, options: list[str], exit_status: int, error: str
) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            async with RunningDaemon(folder, table(qemu, folder / "a"), options=["--replaceable", str(folder / "m")]):
                wire = ["--name", "a", "--upstream", f"unix:{qemu.path}", "--listen", f"unix:{folder}/a"]
                given = [option.format(folder=folder) for option in options]
                ended = await asyncio.to_thread(run_proxy, *wire, *given)
                assert ended.returncode == exit_status, ended.stderr
                assert error.format(folder=folder) in ended.stderr
                assert await hmp(folder / "a", "savevm t") == [""]
            assert qemu.client_count == 1

    run(main)


UNUSABLE = "the files named above cannot be used here, so no VM is taken over, and it goes on as before"


@pytest.mark.parametrize(
    ("names", "lines", "exit_status", "error"),
    [
        ("a", 'audit = "/none/log"', 6, "files of a: cannot write the audit log /none/log: No such file or directory"),
        ("ab", 'audit = "/none/log"', 6, "files of a, b: cannot write the audit log /none/log: No such file or directory"),
        (
            "b",
            'tls_certificate = "/none/cert"\ntls_clients = "any"',
            2,
            "files of b: cannot use TLS with /none/cert: No such file or directory (setting tls_certificate)",
        ),
    ],
)
def test_file_of_a_vm_that_cannot_be_used_ends_the_new_process_before_any_vm_moves(
    folder: Path, names: str, lines: str, exit_status: int, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The old one is not even asked. A VM that is off is no mistake."""
    off = table("/none", folder / "off")

    async def main() -> None:
        async with FakeQEMU(two_disks()) as one, FakeQEMU(two_disks()) as other:
            qemus, meeting = {"a": one, "b": other}, str(folder / "m")
            tables = [table(qemu, folder / name) for name, qemu in qemus.items()]
            async with RunningDaemon(folder, *tables, options=["--replaceable", meeting]):
                wrong = [table(qemu, folder / name, *([lines] if name in names else [])) for name, qemu in qemus.items()]
                (folder / "new.toml").write_text("".join([*wrong, off]))
                ended = await asyncio.to_thread(run_proxy, "--config", str(folder / "new.toml"), "--replace", meeting)
                assert ended.stderr.splitlines() == [
                    f"hmp-proxy: {error}",
                    f"hmp-proxy: cannot replace the proxy at {meeting}: {UNUSABLE}",
                ]
                assert ended.returncode == exit_status
                assert "takes over" not in caplog.text
                assert await hmp(folder / "a", "savevm t") == await hmp(folder / "b", "savevm t") == [""]
            assert one.client_count == other.client_count == 1

    run(main)


def test_file_of_a_vm_that_is_found_and_cannot_be_used_ends_the_new_process(folder: Path) -> None:
    async def main() -> None:
        (folder / "v").mkdir()
        async with FakeQEMU(two_disks(), path=f"{folder}/v/q"):
            keys = {"discover": f"{folder}/*/q", "name": "{1}", "upstream": "unix:{path}", "listen": f"unix:{folder}/a{{1}}"}
            text = "[[vm]]\n" + "".join(f'{key} = "{value}"\n' for key, value in keys.items())
            async with RunningDaemon(folder, text, options=["--replaceable", str(folder / "m")]):
                await until((folder / "av").exists)
                (folder / "new.toml").write_text(text + f'audit = "{folder}/none/{{1}}.log"\n')
                options = "--config", str(folder / "new.toml"), "--replace", str(folder / "m")
                ended = await asyncio.to_thread(run_proxy, *options)
                assert f"files of v: cannot write the audit log {folder}/none/v.log: No such file or directory" in ended.stderr
                assert ended.returncode == 6
                assert await hmp(folder / "av", "savevm t") == [""]

    run(main)


def test_vms_that_are_found_are_not_said_to_be_served_before_they_are(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A VM that is off is waited for by the new process, as by any."""
    caplog.set_level("DEBUG")

    async def main() -> None:
        (folder / "v").mkdir()
        async with FakeQEMU(two_disks(), path=f"{folder}/v/q") as qemu:
            keys = {"discover": f"{folder}/*/q", "name": "{1}", "upstream": "unix:{path}", "listen": f"unix:{folder}/a{{1}}"}
            text = "[[vm]]\n" + "".join(f'{key} = "{value}"\n' for key, value in keys.items())
            old = RunningDaemon(folder, text, options=["--replaceable", str(folder / "m")])
            await old.__aenter__()
            await until((folder / "av").exists)
            caplog.clear()
            text += table("/none", folder / "off")
            async with RunningDaemon(folder, text, absent=["off"], options=["--replace", str(folder / "m")]) as new:
                await until(old.task.done)
                await until(lambda: [vm.state for vm in new.status()] == ["waited for", "served"])
                assert await hmp(folder / "av", "savevm t") == [""]
            assert qemu.client_count == 1

    run(main)
    assert "the old process is asked for it" in caplog.messages
    assert "served from now on" not in caplog.messages
