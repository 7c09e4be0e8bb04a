"""hmp-proxy at a socket of systemd's, which starts it for the first client (systemd-socket-activate(1)), on a real QEMU."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM, make_qcow2
from tests.support.raw_client import DEADLINE_S, negotiated

pytestmark = pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="systemd is not installed")

_RETRY_S: Final = 0.005
# It passes on only what it is told to.
_PASSED_ON: Final = (
    "STATE_DIRECTORY",
    "PYTHONPATH",
    "PYTHONPYCACHEPREFIX",
    "PYTHONDONTWRITEBYTECODE",
    "COVERAGE_PROCESS_START",
)


def activated(*paths: Path, names: str | None = None) -> tuple[str, ...]:
    """Return what makes the sockets, waits for somebody to connect, and becomes hmp-proxy."""
    listen = [word for path in paths for word in ("--listen", str(path))]
    named = [] if names is None else ["--fdname", names]
    environment = [word for name in _PASSED_ON if name in os.environ for word in ("--setenv", name)]
    return ("systemd-socket-activate", *listen, *named, *environment, sys.executable, "-m", "proxy")


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


def test_sockets_of_several_units_are_told_apart_by_name(vm: QEMUVM) -> None:
    """FileDescriptorName=: listeners of different terms, or VMs, of one service."""
    with vm:
        tools, watchers, nobodys = (vm.path(name) for name in ("legacy.sock", "watch.sock", "nobodys.sock"))
        config = vm.path("hmpshim.toml")
        config.write_text(f"""[[vm]]
upstream = "unix:{vm.qmp_path}"
listen = [ "systemd:tools", {{ address = "systemd:watchers", role = "read-only" }} ]
""")
        program = activated(tools, watchers, nobodys, names="tools:watchers:nobodys")
        with ProxyProcess(vm.folder, None, ["--config", str(config)], program=program) as proxy:
            with proxy.negotiated() as client:
                assert client.hmp("savevm t1") == ""
            with negotiated(proxy.connect(str(watchers))) as client:
                assert "error" in client.execute("human-monitor-command", {"command-line": "delvm t1"})
        (told,) = [line for line in proxy.stderr.splitlines() if "no VM listens" in line]
        assert "at the socket 'nobodys' of systemd" in told
        assert told.endswith('write listen = "systemd:nobodys"')


def test_vm_begins_again_at_the_same_socket(vm: QEMUVM) -> None:
    """After an error, and where SIGHUP brings another way to QEMU: whoever connects meanwhile waits."""
    with vm:
        config, folder = vm.path("vm1.toml"), vm.path("log")
        table = f'[[vm]]\nupstream = "unix:{vm.qmp_path}"\nlisten = "systemd"\n'
        config.write_text(f'{table}audit = "{folder}/1"\n')
        program = activated(vm.path("legacy.sock"))
        with ProxyProcess(vm.folder, None, ["--config", str(config)], program=program) as proxy:
            with proxy.connect() as client:
                _wait_for(lambda: "No such file or directory; trying again" in proxy.stderr)
                folder.mkdir()
                assert negotiated(client).hmp("savevm t1") == ""
                vm.path("other.sock").symlink_to(vm.qmp_path)
                config.write_text(table.replace(str(vm.qmp_path), str(vm.path("other.sock"))) + f'audit = "{folder}/2"\n')
                assert proxy.process is not None
                proxy.process.send_signal(signal.SIGHUP)
                client.expect_eof()
            with proxy.negotiated() as client:
                assert client.hmp("delvm t1") == ""
        assert [len((folder / name).read_text().splitlines()) for name in ("1", "2")] == [1, 1]


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(_RETRY_S)
