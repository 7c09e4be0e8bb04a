"""Nothing is imported while clients are served: not by any command, mode, signal, rotation or return of QEMU.

A package may be upgraded under a running proxy, and then an import fails in the middle of somebody's command.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from host.net.addresses import UnixAddress
from host.settings.config import AuditSettings, VMConfig
from proxy.preload import preload
from proxy.process.handing_over import LEFT
from shim.decisions.own_commands import PLAN, QUERY_PROXY
from shim.records.confidential import Confidential
from tests.fakes.qemu import FakeQEMU, uefi_vm
from tests.support.checkout import ROOT
from tests.support.processes.fake_service_manager import FakeServiceManager
from tests.support.proxy.asked_sockets import talk, told
from tests.support.proxy.running_vm_proxy import RETRY_S, free_port, in_thread, until
from tests.support.proxy.tls_files import TLSFiles
from tests.support.raw_client import DEADLINE_S, ConnectionLostError, RawClient

# Notes what is looked for to be imported, and is not there already.
RECORDER: Final = """
import os, sys
class Recorder:
    number = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        os.write(cls.number, (name + "\\n").encode())
import runpy
sys.meta_path.insert(0, Recorder)
runpy.run_module("proxy", run_name="__main__", alter_sys=True)
"""
LINES: Final = (
    *("savevm t", "savevm t", "savevm", "info snapshots", "loadvm t", "loadvm nosuch", "delvm t", "delvm t", "info name"),
    *("nosuch", "savevm a b", "savevm " + 3000 * "x", "info block", "help", "qemu-io d0 'write 0 1'", ""),
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="i", dir="/tmp") as name:
        yield Path(name)


def configuration(folder: Path, qemu: FakeQEMU, *lines: str) -> Path:
    path = folder / "hmpshim.toml"
    wire = [f'upstream = "unix:{qemu.path}"', f'listen = "unix:{folder}/a"', f'audit = "{folder}/log"']
    path.write_text("\n".join(["[[vm]]", 'name = "a"', *wire, *lines]) + "\n")
    return path


@contextmanager
def recorded(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `hmp-proxy`; `imported` tells what it imports."""
    command = [sys.executable, "-c", RECORDER, str(folder / "imports"), *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONASYNCIODEBUG"}
    with (
        (folder / "stderr").open("wb") as stderr,
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=stderr, env=environment) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def imported(folder: Path) -> list[str]:
    return (folder / "imports").read_text().splitlines()


def said(folder: Path) -> str:
    return (folder / "stderr").read_text()


async def client(folder: Path) -> RawClient:
    """Come in as soon as that is possible."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                found = RawClient.connect(folder / "a")
                await in_thread(found.negotiate)
                return found
            except (FileNotFoundError, ConnectionRefusedError, ConnectionLostError):
                await asyncio.sleep(RETRY_S)


async def use(folder: Path) -> None:
    """Ask for all kinds of things."""
    with await client(folder) as tool:
        for line in LINES:
            await in_thread(tool.execute, "human-monitor-command", {"command-line": line})
        await in_thread(tool.execute, "human-monitor-command", {"command-line": "savevm t", "cpu-index": 0})
        await in_thread(tool.execute, "human-monitor-command", {"nonsense": 1})
        await in_thread(tool.execute, "query-jobs")
        await in_thread(tool.execute, QUERY_PROXY)
        await in_thread(tool.execute, PLAN, {"command-line": "savevm t"})
        await in_thread(tool.execute, "snapshot-save", {"job-id": "j", "tag": "m", "vmstate": "disk0", "devices": ["disk0"]})
        tool.send(b"}\n")
        await in_thread(tool.receive)


async def operate(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Ask for all that an operator can ask for."""
    process.send_signal(signal.SIGUSR1)
    for command in ("status", "metrics", "nonsense"):
        await told(folder / "c", command)
    for command, members in (("disconnect", {"client": "9"}), ("pause", {"for_s": 9}), ("resume", {}), ("reload", {})):
        await told(folder / "d", command, vm="a", **members)
    for head in (b"GET /metrics HTTP/1.1\r\n\r\n", b"PUT http://[::1]/\xc3 HTTP/1.1\r\n\r\n", b"\r\n\r\n"):
        assert (await in_thread(talk, folder / "m", head)).startswith(b"HTTP/1.1 ")


async def read_again(folder: Path, process: subprocess.Popen[bytes], qemu: FakeQEMU, *lines: str) -> None:
    def answers() -> int:
        return said(folder).count("the policy and the rules were read again") + said(folder).count("the running policy stays")

    before = answers()
    configuration(folder, qemu, *lines)
    process.send_signal(signal.SIGHUP)
    await until(lambda: answers() > before)


LOGS: Final[dict[str, list[str]]] = {
    "plain": [],
    "masked": ['audit_redact = "all"', "audit_rotate_mib = 1", "audit_rotate_hours = 1"],
    "refusing": ['audit_failure = "refuse"', "audit_sync = true"],
}
POLICIES: Final[tuple[list[str], ...]] = (
    ['mode = "observe"'],
    ['mode = "enforce"'],
    ['exclude = ["kind:pflash", "nosuch"]'],
    ['vmstate = "nosuch"', "strict = true"],
    ['rules = [{ allow = "*", executable = "/*" }]'],
    [],
)


@pytest.mark.parametrize("log", LOGS)
def test_nothing_is_imported_after_the_first_command(folder: Path, log: str) -> None:
    async def run() -> None:
        async with FakeQEMU(uefi_vm()) as qemu:
            path = configuration(folder, qemu, *LOGS[log])
            asked = ["--control", f"{folder}/c", "--admin", f"{folder}/d", "--metrics", f"unix:{folder}/m"]
            with recorded(folder, "--config", str(path), *asked) as process:
                (await client(folder)).close()
                before = imported(folder)
                await use(folder)
                await operate(folder, process)
                for lines in POLICIES:
                    await read_again(folder, process, qemu, *LOGS[log], *lines)
                    await use(folder)
                (folder / "log").rename(folder / "moved")
                qemu.disconnect()
                await until(lambda: "is back" in said(folder))
                await use(folder)
                (folder / "hmpshim.toml").write_text("nonsense")
                process.send_signal(signal.SIGHUP)
                await until(lambda: "invalid TOML" in said(folder))
                process.terminate()
                assert await in_thread(process.wait, DEADLINE_S) == 0
        assert imported(folder)[len(before) :] == []
        assert "Traceback" not in said(folder)

    asyncio.run(run())


def test_nothing_is_imported_while_clients_come_by_tls(folder: Path) -> None:
    """Not for the first handshake, nor for one that fails, nor to read the certificates again."""
    files, port = TLSFiles(folder), free_port()
    terms = files.terms(names=frozenset({"client"}))
    table = f'address = "tcp:127.0.0.1:{port}", tls_allowed_names = "client", tls_client_ca = "{terms.tls_client_ca}"'
    table += f', tls_certificate = "{terms.tls_certificate}", tls_key = "{terms.tls_key}"'

    def come() -> None:
        wrap = files.context_of(files.client).wrap_socket
        with wrap(socket.create_connection(("127.0.0.1", port), DEADLINE_S), server_hostname="127.0.0.1") as tool:
            assert tool.recv(6) == b'{"QMP"'
        with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as stranger:
            stranger.sendall(b"nonsense\n")
            with contextlib.suppress(ConnectionResetError):
                stranger.recv(100)

    async def run() -> None:
        async with FakeQEMU(uefi_vm()) as qemu:
            path = configuration(folder, qemu)
            plain = f'"unix:{folder}/a"'
            path.write_text(path.read_text().replace(plain, f"[{plain}, {{ {table} }}]"))
            with recorded(folder, "--config", str(path)) as process:
                (await client(folder)).close()
                before = imported(folder)
                await in_thread(come)
                process.send_signal(signal.SIGHUP)
                await until(lambda: "the certificates were read again" in said(folder))
                os.unlink(files.server.certificate)
                process.send_signal(signal.SIGHUP)
                await until(lambda: "the old certificates stay in force" in said(folder))
                await in_thread(come)
                process.terminate()
                assert await in_thread(process.wait, DEADLINE_S) == 0
        assert imported(folder)[len(before) :] == []
        assert "Traceback" not in said(folder)

    asyncio.run(run())


def test_nothing_is_imported_while_qemu_is_waited_for(folder: Path) -> None:
    async def run() -> None:
        late = str(folder / "q")
        with recorded(folder, "--upstream", f"unix:{late}", "--listen", f"unix:{folder}/a", "--wait") as process:
            await until(lambda: (folder / "stderr").exists() and "waiting for it" in said(folder))
            await until(lambda: "shim.plans.snapshot_plans" in imported(folder))
            async with FakeQEMU(uefi_vm(), path=late):
                await until((folder / "a").exists)
                before = imported(folder)
                await use(folder)
                process.terminate()
                assert await in_thread(process.wait, DEADLINE_S) == 0
            assert imported(folder)[len(before) :] == []

    asyncio.run(run())


def test_nothing_is_imported_while_another_process_takes_over(folder: Path) -> None:
    """By neither: the package may be the new one already, and the new process serves from the first VM on."""
    (folder / "new").mkdir()

    async def run() -> None:
        async with FakeQEMU(uefi_vm()) as qemu:
            path, meeting = configuration(folder, qemu), str(folder / "m")
            with recorded(folder, "--config", str(path), "--replaceable", meeting) as old, await client(folder) as tool:
                await until(lambda: "proxy.pattern_check" in imported(folder))
                before = imported(folder)
                with recorded(folder / "new", "--config", str(path), "--replace", meeting) as new:
                    assert await in_thread(old.wait, DEADLINE_S) == 0
                    assert imported(folder)[len(before) :] == []
                    before = imported(folder / "new")
                    await until((folder / "m").exists)
                    await in_thread(tool.execute, "query-name")
                    await use(folder)
                    new.terminate()
                    assert await in_thread(new.wait, DEADLINE_S) == 0
                    assert imported(folder / "new")[len(before) :] == []

    asyncio.run(run())


def test_nothing_is_imported_while_the_service_manager_takes_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is the new one by then."""

    async def run() -> None:
        async with FakeQEMU(uefi_vm()) as qemu:
            path = configuration(folder, qemu)
            with FakeServiceManager(folder / "n") as manager:
                monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
                with recorded(folder, "--config", str(path), "--admin", f"{folder}/d") as old, await client(folder):
                    await until(lambda: "proxy.pattern_check" in imported(folder))
                    before = imported(folder)
                    assert (await told(folder / "d", "upgrade"))["why_not"] == {}
                    assert await in_thread(old.wait, DEADLINE_S) == LEFT
                    assert imported(folder)[len(before) :] == []
        assert "Traceback" not in said(folder)

    asyncio.run(run())


def test_what_was_not_imported_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "encodings.idna", raising=False)
    preload(())
    assert "encodings.idna" in sys.modules


def test_masking_is_imported_where_it_is_wanted() -> None:
    """All names can be imported, and a second time does nothing."""
    masked = AuditSettings("/log", redact=frozenset({Confidential.TAGS}))
    for _ in range(2):
        preload((VMConfig(UnixAddress("/q"), audit=masked), VMConfig(UnixAddress("/r"))))
    assert "shim.records.redaction" in sys.modules
