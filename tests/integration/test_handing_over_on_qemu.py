"""`hmp-proxy --replace` again and again, in front of a real QEMU and under load: no tool notices anything.

HMPSHIM_REPLACEMENTS sets how often; `-s` shows the figures.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.integration.machines import Machine
from tests.integration.proxy_process import ProxyProcess
from tests.integration.tireless_clients import KINDS, Listener, Tireless
from tests.support.raw_client import DEADLINE_S

REPLACEMENTS: Final = int(os.environ.get("HMPSHIM_REPLACEMENTS", "20"))
RETRY_S: Final = 0.005


def wait_for(path: Path) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not path.exists():
        assert time.monotonic() < deadline_s, f"{path} is not there"
        time.sleep(RETRY_S)


def replaced(proxy: ProxyProcess, vm: Machine, stack: ExitStack) -> ProxyProcess:
    """Have another process take over from one, and see that one end."""
    meeting = vm.vm.path("meet")
    wait_for(meeting)
    new = stack.enter_context(ProxyProcess(vm.vm.folder, vm.vm.qmp_path, ["--replace", str(meeting)]))
    assert proxy.wait_gone() == 0, proxy.stderr
    return new


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.needs_snapshot_jobs
def test_tools_notice_no_replacement(vm: Machine, stack: ExitStack) -> None:
    """No connection is dropped, no reply lost, doubled or out of order, no event is missing, and no snapshot is lost."""
    options = ["--replaceable", str(vm.vm.path("meet"))]
    proxy = stack.enter_context(ProxyProcess(vm.vm.folder, vm.vm.qmp_path, options))
    listener = Listener(proxy.negotiated())
    stack.callback(listener.close)
    vm.observer.transcript.clear()
    clients = [Tireless(proxy.connect, kind, seed) for seed in range(2) for kind in KINDS if seed == 0 or kind != "save"]
    for client in clients:
        client.start()
    took_s = []
    try:
        for _ in range(REPLACEMENTS):
            began_s = time.monotonic()
            proxy = replaced(proxy, vm, stack)
            took_s.append(time.monotonic() - began_s)
            if any(client.has_failed for client in clients):
                break
    finally:
        errors = []
        for client in clients:
            try:
                client.finish()
            except AssertionError as exc:
                errors.append(exc)
    if errors:
        raise ExceptionGroup(proxy.stderr, errors)
    vm.observer.returned("human-monitor-command", {"command-line": "savevm last"})
    vm.observer.returned("system_powerdown")
    told = listener.told_until("POWERDOWN")
    assert told[-1][0] == "POWERDOWN"
    assert [image for image, rows in vm.images.items() if [tag for tag, _ in rows] != ["last"]] == []
    assert len(set(told)) == len(told)
    saves = [record for record in proxy.records if record["command_line"].startswith(("savevm", "loadvm"))]
    assert all(record["action"] == "rewritten" for record in saves)
    # Each save and each load stops the VM once, and so does that of the observer.
    assert [name for name, _, _ in told[:-1]] == ["STOP", "RESUME"] * (len(saves) + 1)
    rounds = ", ".join(f"{client.kind} {client.count} (at most {client.longest_s:.3f} s)" for client in clients)
    print(f"{len(took_s)} replacements of {min(took_s):.2f} to {max(took_s):.2f} s; rounds: {rounds}")  # noqa: T201
