"""Scripts of several kinds send `info name` to a real QEMU through a proxy, and its records say whose they are."""

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from audit.counting.filters import Filters
from audit.counting.report_builder import make_report
from audit.reporting.report import Report, State
from host.who.control_groups import place_of
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM, make_qcow2
from tests.integration.scripts.repl_process import repl
from tests.support.raw_client import DEADLINE_S

USER: Final = pwd.getpwuid(os.getuid()).pw_name
COMMANDS: Final = '{"execute":"qmp_capabilities"}{"execute":"human-monitor-command","arguments":{"command-line":"info name"}}'
PYTHON: Final = """\
import json, socket, sys
host, _, port = sys.argv[1].rpartition(":")
if host:
    sock = socket.create_connection((host, int(port)))
else:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(port)
lines = sock.makefile("rw")
hmp = {"execute": "human-monitor-command", "arguments": {"command-line": "info name"}}
for command in {"execute": "qmp_capabilities"}, hmp:
    lines.readline()
    lines.write(json.dumps(command))
    lines.flush()
lines.readline()
"""
SOCAT: Final = f"echo '{COMMANDS}' | socat -t30 - UNIX-CONNECT:$1 > /dev/null; true"
IS_ROOT: Final = os.geteuid() == 0

needs_socat = pytest.mark.skipif(shutil.which("socat") is None, reason="socat is not installed")


@dataclass
class Place:
    """A VM with a proxy. port: where it listens too."""

    folder: Path
    proxy: ProxyProcess
    port: int

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    def client_of(self, *command: str) -> dict[str, Any]:
        """Run a tool, and return the client of its record."""
        known = len(self.proxy.records)
        subprocess.run(command, timeout=DEADLINE_S, check=False, stdin=subprocess.DEVNULL, cwd=self.folder)
        (record,) = self.proxy.records[known:]
        assert record["command_line"] == "info name"
        client: dict[str, Any] = record["client"]
        return client


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="w", dir="/tmp") as name, ExitStack() as stack:
        folder, port = Path(name), _free_port()
        make_qcow2(folder / "disk", "4M")
        vm = stack.enter_context(QEMUVM(["-drive", "file=disk,format=qcow2,if=virtio,id=d0", "-name", "vm"], folder=folder))
        proxy = stack.enter_context(ProxyProcess(folder, vm.qmp_path, ["--listen", f"tcp:127.0.0.1:{port}"]))
        yield Place(folder, proxy, port)


def test_script_is_called_by_its_name(place: Place) -> None:
    path = place.write("nightly.py", PYTHON)
    client = place.client_of(sys.executable, "-u", path, place.proxy.path, "--token", "hunter2")
    assert (client["tool"], client["user"], client["parent"]) == ("nightly.py", USER, None)
    assert client["argv"] == [sys.executable, "-u", path, place.proxy.path, "--token", "***"]
    assert client["exe"] == os.path.realpath(sys.executable)


def test_module_and_code(place: Place) -> None:
    place.write("nightly_mod.py", PYTHON)
    assert place.client_of(sys.executable, "-m", "nightly_mod", place.proxy.path)["tool"] == "nightly_mod"
    # Whoever runs the tests starts it.
    client = place.client_of(sys.executable, "-c", PYTHON, place.proxy.path)
    assert client["argv"][:2] == [sys.executable, "-c"]


@needs_socat
def test_socat_is_called_by_the_script_that_uses_it(place: Place) -> None:
    path = place.write("nightly.sh", f"#!/bin/bash\n{SOCAT}\n")
    client = place.client_of(path, place.proxy.path)
    assert (client["tool"], client["argv"][:2]) == ("nightly.sh", ["socat", "-t30"])
    assert client["parent"]["argv"] == ["/bin/bash", path, place.proxy.path]


@needs_socat
def test_script_is_found_above_what_only_starts_others(place: Place) -> None:
    inner = f"import subprocess, sys; subprocess.run(['timeout', '20', 'bash', '-c', {SOCAT!r}, 'x', sys.argv[1]])"
    path = place.write("outer.py", inner)
    client = place.client_of(sys.executable, path, place.proxy.path)
    assert (client["tool"], Path(client["exe"]).name.startswith("socat")) == ("outer.py", True)
    assert client["parent"]["argv"] == [sys.executable, path, place.proxy.path]


def test_client_on_tcp_is_its_process(place: Place) -> None:
    path = place.write("distant.py", PYTHON)
    client = place.client_of(sys.executable, path, f"127.0.0.1:{place.port}")
    assert (client["tool"], client["user"], client["uid"]) == ("distant.py", USER, os.getuid())
    assert client["address"].startswith("tcp:127.0.0.1:")
    assert client["pid"] is not None


def test_unit_and_container_are_those_of_the_kernel(place: Place) -> None:
    path = place.write("nightly.py", PYTHON)
    client = place.client_of(sys.executable, path, place.proxy.path)
    ours = place_of(Path("/proc/self/cgroup").read_text())
    assert (client["unit"], client["container"]) == (ours.unit, ours.container)


@pytest.mark.skipif(not IS_ROOT, reason="only root can be another user")
def test_tool_of_a_user_without_a_name(place: Place) -> None:
    path = place.write("nightly.py", PYTHON)
    place.folder.chmod(0o755)
    os.chmod(place.proxy.path, 0o666)
    words = ["python3", path, place.proxy.path]
    switch = f"import os; os.setgid(4242); os.setuid(4242); os.execv({sys.executable!r}, {words!r})"
    client = place.client_of(sys.executable, "-c", switch)
    assert (client["tool"], client["uid"], client["user"]) == ("nightly.py", 4242, None)


def test_prompt_says_who_it_is(place: Place) -> None:
    known = len(place.proxy.records)
    log = place.folder / "own.jsonl"
    lines = ("-c", "savevm own", "-c", "delvm own", "-c", "info snapshots", "-c", "help savevm")
    assert repl(place.proxy.path, *lines, "--audit", str(log)).status == 0
    own = [json.loads(line) for line in log.read_text().splitlines()]
    for records in (place.proxy.records[known:], own):
        assert {(record["client"]["tool"], record["client"]["prompt"]) for record in records} == {("hmp-repl", True)}
        assert {record["client"]["user"] for record in records} == {USER}
        told = {record["command_line"]: (record["action"], record["housekeeping"]) for record in records}
        assert told["help savevm"] == ("passed", True)
        assert told["savevm own"] == ("rewritten" if records is not own else "delegated", False)


def test_report_groups_by_what_people_call_the_tools(place: Place) -> None:
    report: Report = make_report([str(place.proxy.audit_path)], Filters())
    uses = {(use.tool.name, use.tool.user): use for use in report.tools}
    assert uses["nightly.py", USER].seen_on == os.uname().nodename
    assert uses["distant.py", USER].hmp_count == 1
    prompt = uses["hmp-repl", USER]
    assert {(use.name, use.is_hmp) for use in prompt.commands} >= {("snapshot-save", False), ("snapshot-delete", False)}
    assert report.log.housekeeping == 1
    assert (prompt.modern_count, prompt.state is State.MODERN) == (2, not prompt.hmp_count)
