"""What people call the clients of a proxy, looked up in /proc by whoever asks."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from host.net.addresses import process
from host.who.lookups import Lookups
from proxy.commands import tools
from proxy.commands.tools import tool_names
from proxy.control.status import ClientStatus, State, VMStatus
from shim.records.identity import Identity
from tests.support.processes.vm_statuses import OLD, TOOL


@pytest.fixture
def script(tmp_path: Path) -> Iterator[ClientStatus]:
    """A client that is a script, as the proxy would tell of it."""
    path = tmp_path / "nightly.sh"
    path.write_text("echo\nread line\n")
    with subprocess.Popen(["/bin/sh", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        seen = process(running.pid, os.getuid())
        yield replace(TOOL, pid=seen.pid, uid=seen.uid, program=seen.exe, started=seen.started)
        running.communicate()


def name_of(*clients: ClientStatus) -> list[str]:
    name = tool_names([VMStatus("a", "unix:/q", State.SERVED, clients=clients)])
    return [name(client) for client in clients]


def test_script_is_called_by_its_name(script: ClientStatus) -> None:
    (name,) = name_of(script)
    assert name.partition(" (")[0] == "nightly.sh"


def test_process_that_is_another_one_now_has_no_name(script: ClientStatus) -> None:
    assert script.started is not None
    assert name_of(replace(script, started=script.started - 1), replace(script, pid=None), OLD, TOOL) == ["", "", "", ""]


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (Identity(tool="n.py", unit="backup.service", container="lxc:web"), "n.py (backup.service)"),
        (Identity(tool="n.py", container="lxc:web"), "n.py (lxc:web)"),
        (Identity(tool="n.py"), "n.py"),
        (Identity(user="backup", unit="backup.service"), ""),
    ],
)
def test_unit_or_container_is_named(script: ClientStatus, monkeypatch: pytest.MonkeyPatch, found: Identity, name: str) -> None:
    monkeypatch.setattr(tools, "LOOKUPS", Lookups(lambda client, connection: found))
    assert name_of(script, script) == [name, name]
