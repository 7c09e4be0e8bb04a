"""`hmp-proxy upgrade` again and again, under load, as systemd keeps and starts the service: no tool notices anything.

In front of a real QEMU, and in front of fake ones, of which one's path is taken over. HMPSHIM_REPLACEMENTS sets how often; `-s`
shows the figures.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from demo.vm import is_listening
from proxy.process.handing_over import LEFT
from tests.integration.machines import Machine
from tests.integration.process.fake_qemus import fake_qemus
from tests.integration.process.tireless_clients import KINDS, Listener, Tireless, told_of, worked_through
from tests.integration.waiting import until
from tests.support.checkout import ROOT
from tests.support.processes.fake_service_manager import FakeServiceManager
from tests.support.proxy.asked_sockets import short_folder
from tests.support.raw_client import DEADLINE_S, RawClient, negotiated

UPGRADES: Final = int(os.environ.get("HMPSHIM_REPLACEMENTS", "5"))
PROXY: Final = (sys.executable, "-W", "error", "-m", "proxy")


class Service:
    """`hmp-proxy` on a configuration file, as a service. Leaving the context stops it. sockets: those of its units, by name."""

    def __init__(self, folder: Path, manager: FakeServiceManager, sockets: Mapping[str, socket.socket]) -> None:
        self.folder, self.manager, self.sockets = folder, manager, sockets
        self.admin = folder / "admin"
        self.stderr_path = folder / "proxy.stderr"
        self.process = self._start()

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        assert self.process.wait(DEADLINE_S) == 0, self.stderr
        assert "Traceback" not in self.stderr

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text()

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [*PROXY, "--config", str(self.folder / "fleet.toml"), "--admin", str(self.admin), "--verbose"]
        with self.stderr_path.open("ab") as stderr:
            streams = {"stdin": subprocess.DEVNULL, "stdout": stderr, "stderr": stderr}
            return self.manager.start(command, sockets=self.sockets, cwd=ROOT, **streams)

    def connect(self, path: Path) -> RawClient:
        """Connect as soon as the service lets anybody in."""
        until(lambda: is_listening(path))
        return RawClient.connect(path)

    def upgrade(self) -> None:
        """Have it started anew, as an operator does."""
        asked = [*PROXY, "upgrade", "--admin", str(self.admin)]
        with subprocess.Popen(asked, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as asking:
            assert self.process.wait(DEADLINE_S) == LEFT, self.stderr
            self.process = self._start()
            told, _ = asking.communicate(timeout=DEADLINE_S)
        assert (asking.returncode, "now serves the VMs" in told) == (0, True), told


def await_rounds(clients: Sequence[Tireless]) -> None:
    """Wait until each has done another one."""
    wanted = {client: client.count + 1 for client in clients}
    until(lambda: all(client.has_failed or client.count >= count for client, count in wanted.items()))


def work(service: Service, clients: Sequence[Tireless]) -> None:
    """Upgrade it again and again while the clients work, and see that none has noticed anything."""
    took_s = worked_through(clients, service.upgrade, UPGRADES, lambda: service.stderr, after=lambda: await_rounds(clients))
    print(f"{len(took_s)} upgrades of {min(took_s):.2f} to {max(took_s):.2f} s; rounds: {told_of(clients)}")  # noqa: T201


@contextmanager
def serving(folder: Path, configuration: str, **sockets: socket.socket) -> Iterator[Service]:
    """Run a service on a configuration."""
    (folder / "fleet.toml").write_text(configuration)
    with FakeServiceManager(folder / "notify") as manager, Service(folder, manager, sockets) as service:
        yield service


def table(name: str, qemu: str | Path, listen: str) -> str:
    return f'[[vm]]\nname = "{name}"\nupstream = "unix:{qemu}"\nlisten = "{listen}"\n'


@pytest.mark.needs_snapshot_jobs
def test_tools_notice_no_upgrade(vm: Machine) -> None:
    """No connection is dropped, no reply lost, doubled or out of order, no event is missing, and no snapshot is lost."""
    folder, listen = vm.vm.folder, vm.vm.folder / "tools.sock"
    with serving(folder, table("a", vm.vm.qmp_path, f"unix:{listen}")) as service:
        connect = partial(service.connect, listen)
        listener = Listener(negotiated(connect()))
        vm.observer.transcript.clear()
        clients = [Tireless(connect, kind, seed) for seed in range(2) for kind in KINDS if seed == 0 or kind != "save"]
        work(service, clients)
        (saving,) = [client for client in clients if client.kind == "save"]
        vm.observer.returned("human-monitor-command", {"command-line": "savevm last"})
        vm.observer.returned("system_powerdown")
        told = listener.told_until("POWERDOWN")
        listener.close()
    assert [image for image, rows in vm.images.items() if [tag for tag, _ in rows] != ["last"]] == []
    # Each save and each load stops the VM once, and so does that of the observer.
    assert [name for name, _, _ in told] == ["STOP", "RESUME"] * (2 * saving.count + 1) + ["POWERDOWN"]
    assert len(set(told)) == len(told)


def test_tools_of_many_vms_notice_no_upgrade() -> None:
    """Each is a fake, with a client that works all the time. One's path is taken over, and one's socket is that of a unit."""
    with ExitStack() as stack:
        folder = stack.enter_context(short_folder())
        stack.enter_context(fake_qemus([folder / f"q{number}" for number in range(10)]))
        paths = [folder / "q0", folder / "unit", *(folder / f"l{number}" for number in range(2, 10))]
        tables = [f'[[vm]]\nname = "a"\ntake_over = "{folder}/q0"\n', table("b", folder / "q1", "systemd:tools")]
        tables += [table(f"v{number}", folder / f"q{number}", f"unix:{folder}/l{number}") for number in range(2, 10)]
        tools = stack.enter_context(socket.socket(socket.AF_UNIX))
        tools.bind(str(folder / "unit"))
        tools.listen()
        with serving(folder, "".join(tables), tools=tools) as service:
            until(lambda: (folder / "q0.hmpshim").exists() and all(map(is_listening, paths)))
            kinds = ("ping", "save", "pipeline", "oob")
            clients = [Tireless(partial(service.connect, path), kinds[at % 4], at) for at, path in enumerate(paths)]
            work(service, clients)
        assert not (folder / "q0.hmpshim").exists()
        negotiated(RawClient.connect(folder / "q0")).close()
