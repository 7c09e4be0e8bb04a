"""The proxy's own prompt before a real QEMU: byte for byte what QEMU's monitor prints, and snapshots where that has none."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.integration.command_lines import FLASH_CODE, disk
from tests.integration.machines import machine
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM
from tests.support.keyboard import typed
from tests.support.raw_client import DEADLINE_S
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

MONITOR: Final = "-monitor unix:hmp.sock,server=on,wait=off"
PLAIN: Final = f"-bios idle.rom {MONITOR} {disk('d0')} {disk('d1')}"
# Native savevm is refused here.
UEFI: Final = f"{FLASH_CODE} -drive if=pflash,unit=1,format=raw,file=vars.raw {MONITOR} {disk('d0')}"

SCRIPTS: Final = (
    b"",
    b"\n \n",
    b"info status\ninfo snapshots\ninfo block\n",
    b"foo\ninfo foo\n  bar baz\n",
    b"savevm\nloadvm\ndelvm\nsavevm a b\n",
    b"loadvm no\ncont\n",
    b"delvm no\ninfo snapshots\n",
    b'savevm "t\n',
    b"stop\ninfo status\ncont\n",
    b"cpu 0\ncpu 7\ninfo registers\ncpu x\n",
    b"info vers\t\n",
    b"info s\t\t\x15\n",
    b"sav\tx\ndelvm x\n",
    b"help savevm\nhelp info snapshots\n?\n",
    b"info name\r\ninfo uuid\r\n",
    b"abc\x01\x7f\x05\x7f\x08\x1b[D\x1b[CX\x0c\n",
    b"info uuid\ninfo name\n\x1b[A\x1b[A\n\x1b[A\x1b[B\n",
    b"info history\n",
    b"print 1+1\nprint\nx /2xb 0\n",
    "info Ünicode\nfö\n".encode(),
    b"info status\ninfo sta",
    b"q\x7finfo name\n",
    b"device_del nothing\nnetdev_del nothing\nobject_del nothing\n",
    b"change vnc password\nsecret\ninfo name\n",
)


@contextmanager
def proxied(vm: QEMUVM) -> Iterator[tuple[Path, Path]]:
    """Yield the sockets of QEMU's monitor and of the proxy's."""
    ours = vm.path("ours.sock")
    with ProxyProcess(vm.folder, vm.qmp_path, ["--hmp-listen", f"unix:{ours}"]) as proxy:
        wait_for(lambda: f"listening on unix:{ours} " in proxy.stderr)  # the other listener opens first
        yield vm.path("hmp.sock"), ours


def test_what_is_printed_is_what_qemu_prints() -> None:
    with machine(PLAIN, {"d0.qcow2": "", "d1.qcow2": ""}) as vm, proxied(vm.vm) as (native, ours):
        for script in SCRIPTS:
            if b"history" not in script:  # QEMU's lasts longer than a connection
                assert typed(ours, script) == typed(native, script), script


@pytest.mark.parametrize("script", [b"quit\n", b"q\n", b"info name\nquit\n", b"quit\r\ninfo name\n"])
def test_quit_ends_as_at_qemu(script: bytes) -> None:
    with QEMUVM(MONITOR.split()) as vm:
        native = typed(vm.path("hmp.sock"), script)
        assert vm.wait_gone() == 0
    with QEMUVM(MONITOR.split()) as vm, proxied(vm) as (_, ours):
        assert typed(ours, script) == native
        assert vm.wait_gone() == 0


def test_scripts_with_socat_take_snapshots_where_native_ones_are_refused() -> None:
    with machine(UEFI, {"vars.raw": "", "d0.qcow2": ""}) as vm, proxied(vm.vm) as (native, ours):
        assert b"Device 'pflash1' is writable but does not support snapshots" in typed(native, b"savevm t\n")
        for line in ("savevm t", "loadvm t", "info snapshots", "delvm t"):
            command = ["socat", "-t10", "-", f"UNIX-CONNECT:{ours}"]
            ended = subprocess.run(command, input=f"{line}\n", capture_output=True, text=True, check=True, timeout=DEADLINE_S)
            assert ended.stdout.endswith("(qemu) ")
            assert "Error" not in ended.stdout
            assert (" t " in ended.stdout) is (line == "info snapshots")


def test_client_waits_for_the_prompt_as_gns3_does() -> None:
    """It connects by TCP there; reads to the prompt, sends a line, reads its echo, and leaves."""
    with machine(UEFI, {"vars.raw": "", "d0.qcow2": ""}) as vm, proxied(vm.vm) as (_, ours):
        for line in (b"savevm GNS3_SAVED_STATE_x", b"loadvm GNS3_SAVED_STATE_x"):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(DEADLINE_S)
                client.connect(str(ours))
                file = client.makefile("rb")
                assert file.readline().startswith(b"QEMU ")
                assert file.read(7) == b"(qemu) "
                client.sendall(line + b"\n")
                assert line in file.readline()
                assert file.read(7) == b"(qemu) "
        assert "GNS3_SAVED_STATE_x" in typed(ours, b"info snapshots\n").decode()
