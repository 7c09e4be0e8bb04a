"""The proxy's own prompt before a real QEMU: byte for byte what QEMU's monitor prints, and snapshots where that has none."""

import socket
import subprocess
from typing import Final

import pytest

from tests.integration.command_lines import FLASH_CODE, disk
from tests.integration.human_monitor.human_twins import MONITOR, proxied
from tests.integration.machines import machine
from tests.support.raw_client import DEADLINE_S
from tests.support.routing.keyboard import typed

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

# Native savevm is refused here.
UEFI: Final = f"{FLASH_CODE} -drive if=pflash,unit=1,format=raw,file=vars.raw {MONITOR} {disk('d0')}"


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
