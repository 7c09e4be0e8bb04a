"""hmp-proxy in the sandbox of its unit, as far as that can be made without a running systemd, in front of a real QEMU."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

import pytest

from host.net.addresses import ASIDE_SUFFIX
from tests.integration.permissions.other_user import NOBODY
from tests.integration.permissions.unit_sandbox import can_be_made, in_sandbox
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM, make_qcow2
from tests.support.checkout import ROOT
from tests.support.proxy_command import run_proxy
from tests.support.raw_client import DEADLINE_S, command_bytes

pytestmark = pytest.mark.skipif(not can_be_made(), reason="it takes root, the right to mount, systemd's lists and libseccomp")

UNIT: Final = ROOT / "proxy" / "units" / "system" / "hmp-proxy.service"
PROXY: Final = (sys.executable, "-W", "error", "-m", "proxy")
# What the unit refuses, each by another directive; `print` tells what came of it.
ATTEMPTS: Final = """
import ctypes, mmap, os, socket
def attempt(name, do):
    try:
        do()
        print(name, "works")
    except OSError as exc:
        print(name, type(exc).__name__ if exc.errno is None else os.strerror(exc.errno))
attempt("write", lambda: open("/etc/hmpshim-test", "x"))
attempt("network", lambda: socket.socket(socket.AF_INET))
attempt("unix", lambda: socket.socket(socket.AF_UNIX))
attempt("code", lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC))
attempt("others", lambda: os.listdir("/proc/1"))
attempt("priority", lambda: os.setpriority(os.PRIO_PROCESS, 0, 5))
attempt("chown", lambda: os.chown("own", -1, os.getgid()))
"""


@pytest.fixture
def vm() -> Iterator[QEMUVM]:
    """A VM whose socket is the other user's, with a folder of his."""
    vm = QEMUVM(["-drive", "if=none,id=d0,file=d0.qcow2,format=qcow2"])
    make_qcow2(vm.path("d0.qcow2"))
    with vm:
        vm.folder.chmod(0o755)
        os.chown(vm.qmp_path, NOBODY, NOBODY)
        own = vm.path("own")
        own.mkdir(mode=0o700)
        os.chown(own, NOBODY, NOBODY)
        yield vm


def test_sandbox_is_one(vm: QEMUVM) -> None:
    code = f"import os; os.chdir({str(vm.folder)!r})\n{ATTEMPTS}"
    command = in_sandbox(UNIT, vm.path("own"), sys.executable, "-c", code)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "write Read-only file system",
        "network Address family not supported by protocol",
        "unix works",
        "code Operation not permitted",
        "others No such file or directory",
        "priority Operation not permitted",
        "chown works",
    ]


def test_proxy_needs_nothing_that_its_unit_refuses(vm: QEMUVM) -> None:
    """It serves, saves, passes a descriptor on, keeps its log and state, is asked how it is, and reads its file again."""
    own, config, control = vm.path("own"), vm.path("hmpshim.toml"), vm.path("own") / "control.sock"
    table = f'''[[vm]]
upstream = "unix:{vm.qmp_path}"
listen = {{ address = "unix:{own}/legacy.sock", mode = "0660", group = "{NOBODY}" }}
audit = "{own}/audit.jsonl"
check_space = true
'''
    config.write_text(table)

    def status() -> str:
        return run_proxy("status", "--control", str(control)).stdout

    options = ("--config", str(config), "--control", str(control))
    with ProxyProcess(own, None, options, program=in_sandbox(UNIT, own, *PROXY)) as proxy, proxy.negotiated() as client:
        assert os.stat(proxy.path).st_uid == os.stat(proxy.path).st_gid == NOBODY
        assert [client.hmp(line) for line in ("savevm t1", "savevm t1", "loadvm t1", "delvm t1")] == [""] * 4
        with open(os.devnull, "rb") as file:
            socket.send_fds(client.socket, [command_bytes("getfd", {"fdname": "f"}, 1)], [file.fileno()])
            assert b'"return": {}' in client.read_until_reply()[-1]
        assert "served" in status()
        config.write_text(f'{table}mode = "observe"\n')
        assert proxy.process is not None
        proxy.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + DEADLINE_S
        while "observe" not in status():
            assert time.monotonic() < deadline, status()
    assert [record["action"] for record in proxy.records] == ["rewritten", "delegated", "rewritten", "rewritten"]


@pytest.mark.parametrize("is_writable", [False, True], ids=["read-only", "ReadWritePaths="])
def test_taking_over_needs_the_folder_of_the_socket(vm: QEMUVM, is_writable: bool) -> None:
    """It is to be the other user's, too."""
    os.chown(vm.folder, NOBODY, NOBODY)
    own = vm.folder if is_writable else vm.path("own")
    command = in_sandbox(UNIT, own, *PROXY, "--take-over", vm.qmp_path)
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + DEADLINE_S
            while process.poll() is None and not os.path.exists(f"{vm.qmp_path}{ASIDE_SUFFIX}"):
                assert time.monotonic() < deadline
                time.sleep(0.005)
            process.terminate()
            _, said = process.communicate(timeout=DEADLINE_S)
        finally:
            process.kill()
    assert os.path.exists(vm.qmp_path)
    if is_writable:
        assert process.returncode == 0
    else:
        assert (process.returncode, said.count("\n")) == (5, 1)
        assert "Read-only file system" in said
