"""A real QEMU that is not there, that goes, or whose human monitor was meant."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from host.net.connecting import USE_QMP
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import IDLE_ROM, QEMUVM, make_qcow2
from tests.integration.waiting import until
from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S, RawClient

pytestmark = pytest.mark.versions


@pytest.fixture
def vm() -> Iterator[QEMUVM]:
    """A VM with a human monitor beside its QMP socket."""
    drive = "if=none,id=d0,file=d0.qcow2,format=qcow2"
    machine = QEMUVM(["-bios", "rom", "-drive", drive, "-monitor", "unix:hmp,server=on,wait=off"], observed=True)
    machine.path("rom").write_bytes(IDLE_ROM)
    make_qcow2(machine.path("d0.qcow2"))
    with machine:
        yield machine


@pytest.mark.parametrize("program", ["serve", "plan", "repl"])
def test_human_monitor_is_called_so(vm: QEMUVM, program: str) -> None:
    monitor = f"{vm.folder}/hmp"
    arguments = {
        "serve": ["proxy", "--upstream", f"unix:{monitor}", "--listen", f"unix:{vm.folder}/a"],
        "plan": ["proxy", "plan", "--upstream", f"unix:{monitor}", "savevm t"],
        "repl": ["repl", monitor, "-c", "info status"],
    }[program]
    command = [sys.executable, "-m", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert ended.returncode == (3 if program == "repl" else 4)
    assert ended.stderr.rstrip().endswith(USE_QMP)


def test_nobody_listens_while_qemu_is_away(vm: QEMUVM) -> None:
    with ProxyProcess(vm.folder, vm.qmp_path) as proxy:
        with proxy.negotiated() as client:
            assert client.hmp("info snapshots")
        vm.kill()
        until(lambda: not os.path.exists(proxy.path))
        vm.start()
        with proxy.negotiated() as client:
            assert "running" in client.hmp("info status")


def test_client_waits_for_qemu_where_that_is_wanted(vm: QEMUVM) -> None:
    held = f"{vm.folder}/held"
    with ProxyProcess(vm.folder, vm.qmp_path, ["--listen", f"hold:unix:{held}"]) as proxy:
        vm.kill()
        until(lambda: not os.path.exists(proxy.path))
        with RawClient.connect(held) as waiting:
            vm.start()
            waiting.negotiate()
            assert waiting.hmp("savevm t") == ""


def test_proxy_ends_with_its_vm(vm: QEMUVM) -> None:
    with ProxyProcess(vm.folder, vm.qmp_path, ["--end-with-vm"]) as proxy:
        with proxy.negotiated() as client:
            client.execute("quit")
        assert proxy.wait_gone() == 0
        assert not os.path.exists(proxy.path)
