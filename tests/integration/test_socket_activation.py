"""hmp-proxy at a socket of systemd's, which starts it for the first client (systemd-socket-activate(1)), on a real QEMU."""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM, make_qcow2
from tests.support.raw_client import negotiated

pytestmark = pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="systemd is not installed")

# It passes on only what it is told to.
_PASSED_ON: Final = ("PYTHONPATH", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE", "COVERAGE_PROCESS_START")


def activated(*paths: Path, names: str | None = None) -> tuple[str, ...]:
    """Return what makes the sockets, waits for somebody to connect, and becomes hmp-proxy."""
    listen = [word for path in paths for word in ("--listen", str(path))]
    named = [] if names is None else ["--fdname", names]
    environment = [word for name in _PASSED_ON if name in os.environ for word in ("--setenv", name)]
    return ("systemd-socket-activate", *listen, *named, *environment, sys.executable, "-X", "dev", "-m", "proxy")


@pytest.fixture
def vm() -> QEMUVM:
    vm = QEMUVM(["-drive", "if=none,id=d0,file=d0.qcow2,format=qcow2"])
    make_qcow2(vm.path("d0.qcow2"))
    return vm


@pytest.mark.parametrize("how", ["options", "file"])
def test_first_client_starts_the_proxy(vm: QEMUVM, how: str) -> None:
    """As the template unit has it: the file of one VM, or options that say the same."""
    with vm:
        path, audit = vm.path("legacy.sock"), vm.path("audit.jsonl")
        options = ["--upstream", f"unix:{vm.qmp_path}", "--listen", "systemd", "--audit", str(audit)]
        if how == "file":
            config = vm.path("vm1.toml")
            config.write_text(f'[[vm]]\nupstream = "unix:{vm.qmp_path}"\nlisten = "systemd"\naudit = "{audit}"\n')
            options = ["--config", str(config)]
        with ProxyProcess(vm.folder, None, options, program=activated(path)) as proxy:
            with proxy.negotiated() as client:
                assert client.hmp("savevm t1") == ""
            with proxy.negotiated() as client:
                assert " t1 " in client.hmp("info snapshots")
        assert proxy.records[0]["action"] == "rewritten"
        assert path.exists()  # it is systemd's


def test_client_that_comes_before_its_qemu_waits(vm: QEMUVM) -> None:
    """Only a proxy of a file waits for its QEMU."""
    with vm:
        config = vm.path("vm1.toml")
        config.write_text(f'[[vm]]\nupstream = "unix:{vm.qmp_path}"\nlisten = "systemd"\n')
        vm.quit()
        starting = ProxyProcess(vm.folder, None, ["--config", str(config)], program=activated(vm.path("legacy.sock")))
        with starting as proxy, proxy.connect() as client:
            vm.start()
            assert negotiated(client).hmp("savevm t1") == ""
