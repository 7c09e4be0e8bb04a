"""`hmp-proxy --replace` again and again, under load, in front of a real QEMU alone and among others: no tool notices anything.

HMPSHIM_REPLACEMENTS sets how often; `-s` shows the figures.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from demo.vm import is_listening
from tests.integration.machines import Machine
from tests.integration.process.fake_qemus import fake_qemus
from tests.integration.process.tireless_clients import KINDS, Listener, Tireless, told_of, worked_through
from tests.integration.proxy_process import ProxyProcess
from tests.integration.waiting import until

REPLACEMENTS: Final = int(os.environ.get("HMPSHIM_REPLACEMENTS", "20"))
# Each takes longer with many VMs, whose tools all ask without a pause.
REPLACEMENTS_OF_A_FLEET: Final = int(os.environ.get("HMPSHIM_REPLACEMENTS", "5"))
OTHER_VMS: Final = 19


def replaced(proxy: ProxyProcess, vm: Machine, stack: ExitStack, config: Path | None = None) -> ProxyProcess:
    """Have another process take over from one, and see that one end."""
    meeting = vm.vm.path("meet")
    until(lambda: is_listening(meeting))
    options = ["--replace", str(meeting), *([] if config is None else ["--config", str(config)])]
    new = stack.enter_context(ProxyProcess(vm.vm.folder, vm.vm.qmp_path if config is None else None, options))
    assert proxy.wait_gone() == 0, proxy.stderr
    return new


@pytest.fixture
def stack(vm: Machine) -> Iterator[ExitStack]:
    (vm.vm.folder / "audit.jsonl").unlink(missing_ok=True)
    with ExitStack() as stack:
        yield stack


def work(clients: Sequence[Tireless], proxy: ProxyProcess, vm: Machine, stack: ExitStack, config: Path | None = None) -> None:
    """Replace the proxy again and again while the clients work, and see that none has noticed anything."""
    times = REPLACEMENTS if config is None else REPLACEMENTS_OF_A_FLEET

    def replace() -> None:
        nonlocal proxy
        proxy = replaced(proxy, vm, stack, config)

    took_s = worked_through(clients, replace, times, lambda: proxy.stderr)
    print(f"{len(took_s)} replacements of {min(took_s):.2f} to {max(took_s):.2f} s; rounds: {told_of(clients)}")  # noqa: T201


@pytest.mark.needs_snapshot_jobs
def test_tools_notice_no_replacement(vm: Machine, stack: ExitStack) -> None:
    """No connection is dropped, no reply lost, doubled or out of order, no event is missing, and no snapshot is lost."""
    options = ["--replaceable", str(vm.vm.path("meet"))]
    proxy = stack.enter_context(ProxyProcess(vm.vm.folder, vm.vm.qmp_path, options))
    listener = Listener(proxy.negotiated())
    stack.callback(listener.close)
    vm.observer.transcript.clear()
    clients = [Tireless(proxy.connect, kind, seed) for seed in range(2) for kind in KINDS if seed == 0 or kind != "save"]
    work(clients, proxy, vm, stack)
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


@pytest.mark.needs_snapshot_jobs
def test_tools_of_many_vms_notice_no_replacement(vm: Machine, stack: ExitStack) -> None:
    """One is real, and each of the others has a client that works all the time, of one kind or another."""
    folder = vm.vm.folder
    others = [folder / f"q{number}" for number in range(OTHER_VMS)]
    stack.enter_context(fake_qemus(others))
    qemus = {folder / "legacy.sock": vm.vm.qmp_path} | {folder / f"{path.name}.legacy": str(path) for path in others}
    config = folder / "fleet.toml"
    log = f'audit = "{folder}/audit.jsonl"'
    addresses = {at.stem: f'upstream = "unix:{qemu}"\nlisten = "unix:{at}"' for at, qemu in qemus.items()}
    tables = [f'[[vm]]\nname = "{name}"\n{both}\n{log}\n' for name, both in addresses.items()]
    config.write_text("".join(tables))
    options = ["--config", str(config), "--replaceable", str(folder / "meet")]
    proxy = stack.enter_context(ProxyProcess(folder, None, options))
    kinds = ("ping", "save", "pipeline")
    clients = [Tireless(proxy.connect, kind, 0) for kind in KINDS]
    for number, listen in enumerate(list(qemus)[1:]):
        clients.append(Tireless(partial(proxy.connect, str(listen)), kinds[number % len(kinds)], number))
    work(clients, proxy, vm, stack, config)
    assert [rows for rows in vm.images.values() if rows] == []
    saved = [client.count for client in clients if client.kind == "save"]
    saves = [record for record in proxy.records if record["command_line"].startswith("savevm")]
    assert [record for record in saves if record["action"] != "rewritten"] == []
    assert len(saves) == sum(saved)
