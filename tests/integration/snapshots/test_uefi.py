"""UEFI machines: a varstore in pflash must not spoil savevm, loadvm and delvm.

The firmware is an idle guest in a read-only pflash of unit 0; its varstore is unit 1. What a disk holds is written with
HMP's `qemu-io`, which goes through the proxy as it is, and read from the image by another process: HMP does not tell whether a
`qemu-io` read failed (QEMU 7.2).
"""

import re
from collections.abc import Sequence
from typing import Final

import pytest

from shim.hmp.render import no_vmstate_candidate
from shim.qmp import QEMUVersion
from tests.integration.proxy_process import ProxyProcess
from tests.integration.uefi_machine import (
    DATA_DISK,
    DISK,
    FLASH,
    QCOW2_VARS,
    RAW_VARS,
    RAW_VARS_BLOCKDEV,
    SECOND_DISK,
    UEFIVM,
    machine,
    pattern_of,
    proxied,
)

BLOCKED_BY_VARSTORE: Final = "Error: Device 'pflash1' is writable but does not support snapshots\r\n"
BLOCKED_BY_DATA: Final = "Error: Device 'data' is writable but does not support snapshots\r\n"
DISK_ONLY: Final = "Error: This is a disk-only snapshot. Revert to it  offline using qemu-img\r\n"
# The row of "t" in a table of snapshots on all disks; QEMU 10.0 has a narrower first column.
LISTED: Final = r"\n-- +t    "
SNAPSHOT_COMMANDS: Final = ("savevm t", "loadvm t", "delvm t")
pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]


@pytest.mark.parametrize("varstore", [RAW_VARS, RAW_VARS_BLOCKDEV], ids=["drive", "blockdev"])
def test_raw_varstore_blocks_everything_natively(varstore: str) -> None:
    """This is the trouble that the proxy is there for."""
    flash = [] if varstore == RAW_VARS_BLOCKDEV else [FLASH]
    name = "pflash1" if flash else "vars"
    with machine(*flash, varstore, DISK) as vm, vm.negotiated() as client:
        for line in SNAPSHOT_COMMANDS:
            assert client.hmp(line) == BLOCKED_BY_VARSTORE.replace("pflash1", name)


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
@pytest.mark.parametrize("varstore", [f"{FLASH} {RAW_VARS}", RAW_VARS_BLOCKDEV], ids=["drive", "blockdev"])
def test_raw_varstore_is_left_out(varstore: str, paused: bool) -> None:
    """Every command succeeds, and both disks come back."""
    with proxied(varstore, DISK, SECOND_DISK, paused=paused) as uefi:
        state = uefi.run_state()
        uefi.write(0xAA, "d0", "d1")
        assert uefi.client.hmp("info snapshots") == "There is no snapshot available.\r\n"
        assert uefi.client.hmp("savevm t") == ""
        assert uefi.last_vmstate()[0] == "d0"
        uefi.write(0xBB, "d0", "d1")
        assert uefi.patterns("d0", "d1") == [0xBB, 0xBB]
        assert re.search(LISTED, uefi.client.hmp("info snapshots"))
        assert (uefi.snapshots("d0.qcow2"), uefi.snapshots("d1.qcow2")) == ([("t", True)], [("t", False)])
        assert uefi.client.hmp("loadvm t") == ""
        assert uefi.run_state() == state
        assert uefi.patterns("d0", "d1") == [0xAA, 0xAA]
        assert uefi.client.hmp("delvm t") == ""
        assert uefi.client.hmp("info snapshots") == "There is no snapshot available.\r\n"
        assert (uefi.snapshots("d0.qcow2"), uefi.snapshots("d1.qcow2")) == ([], [])


def test_raw_varstore_comes_back_with_the_vm_state() -> None:
    """What the firmware sees of it is memory of the flash device. QEMU writes it to the file when a loaded VM runs."""
    with proxied(FLASH, RAW_VARS, DISK) as uefi:
        assert uefi.client.hmp("savevm t") == ""
        uefi.write(0xBB, "pflash1")
        assert pattern_of(uefi.vm.path("vars.raw")) == 0xBB
        assert uefi.client.hmp("loadvm t") == ""
        assert pattern_of(uefi.vm.path("vars.raw")) == 0xAA


def test_replaced_snapshot_brings_the_newer_content() -> None:
    with proxied(FLASH, RAW_VARS, DISK) as uefi:
        for pattern in (0xAA, 0xBB):
            uefi.write(pattern, "d0")
            assert uefi.client.hmp("savevm t") == ""
        uefi.write(0xCC, "d0")
        assert uefi.snapshots("d0.qcow2") == [("t", True)]
        assert uefi.client.hmp("loadvm t") == ""
        assert uefi.patterns("d0") == [0xBB]


def test_errors_are_hmps_also_beside_a_raw_varstore() -> None:
    with proxied(FLASH, RAW_VARS, DISK) as uefi:
        assert uefi.client.hmp("delvm no") == ""
        assert uefi.client.hmp("loadvm no") == "Error: Snapshot 'no' does not exist in one or more devices\r\n"
        assert uefi.run_state() == "restore-vm"
        assert uefi.client.hmp("cont") == ""
        assert uefi.client.hmp("savevm a b").startswith("savevm: extraneous characters at the end of line\r\n")


def test_raw_varstore_with_no_other_disk(qemu_version: QEMUVersion) -> None:
    """The proxy finds nothing to save on, and says what HMP says then."""
    with proxied(FLASH, RAW_VARS) as uefi:
        assert uefi.client.hmp("savevm t") == "Error: no block device can store vmstate for snapshot\r\n"
        assert uefi.client.hmp("info snapshots") == no_vmstate_candidate(qemu_version)
        assert uefi.client.hmp("delvm t") == ""
        assert uefi.client.hmp("loadvm t") == "Error: no block device can store vmstate for snapshot\r\n"
        assert uefi.run_state() == "restore-vm"


def test_qcow2_varstore_is_in_the_snapshot_without_the_vm_state() -> None:
    with proxied(FLASH, QCOW2_VARS, DISK) as uefi:
        uefi.write(0xAA, "d0")
        assert uefi.client.hmp("savevm t") == ""
        assert (uefi.snapshots("vars.qcow2"), uefi.snapshots("d0.qcow2")) == ([("t", False)], [("t", True)])
        device, reason = uefi.last_vmstate()
        assert device == "d0"
        assert "-loadvm" in reason
        uefi.write(0xBB, "pflash1", "d0")
        assert re.search(LISTED, table := uefi.client.hmp("info snapshots"))
        assert " 0 B " not in table
        assert uefi.client.hmp("loadvm t") == ""
        assert uefi.patterns("pflash1", "d0") == [0xAA, 0xAA]
        assert uefi.client.hmp("delvm t") == ""
        assert (uefi.snapshots("vars.qcow2"), uefi.snapshots("d0.qcow2")) == ([], [])


def test_qcow2_varstore_with_the_vm_state_of_a_native_savevm_is_loaded() -> None:
    """HMP puts the VM state into the varstore; the proxy finds it there."""
    with machine(FLASH, QCOW2_VARS, DISK) as vm:
        with vm.negotiated() as native:
            assert native.hmp("savevm t") == ""
        with ProxyProcess(vm.folder, vm.qmp_path) as proxy, proxy.negotiated() as client:
            uefi = UEFIVM(vm, proxy, client)
            assert (uefi.snapshots("vars.qcow2"), uefi.snapshots("d0.qcow2")) == ([("t", True)], [("t", False)])
            assert " 0 B " not in client.hmp("info snapshots")
            assert client.hmp("loadvm t") == ""
            assert uefi.last_vmstate()[0] == "pflash1"
            assert client.hmp("savevm t") == ""
            assert (uefi.snapshots("vars.qcow2"), uefi.snapshots("d0.qcow2")) == ([("t", False)], [("t", True)])
            assert client.hmp("loadvm t") == ""


@pytest.mark.parametrize("order", [(DISK, DATA_DISK), (DATA_DISK, DISK)], ids=["behind", "before"])
def test_raw_data_disk_still_gives_the_native_error(order: Sequence[str]) -> None:
    """Its content would not come back, so leaving it out silently would be worse than HMP's refusal."""
    with proxied(FLASH, RAW_VARS, *order) as uefi:
        for line in SNAPSHOT_COMMANDS:
            assert uefi.client.hmp(line) == BLOCKED_BY_DATA
        assert uefi.snapshots("d0.qcow2") == []


def test_raw_data_disk_excluded_by_name() -> None:
    with proxied(FLASH, RAW_VARS, DISK, DATA_DISK, options=["--exclude", "data"]) as uefi:
        for line in SNAPSHOT_COMMANDS:
            assert uefi.client.hmp(line) == ""


def test_policy_hmp_is_blocked_by_a_raw_varstore_as_natively() -> None:
    with proxied(FLASH, RAW_VARS, DISK, options=["--policy", "hmp"]) as uefi:
        for line in SNAPSHOT_COMMANDS:
            assert uefi.client.hmp(line) == BLOCKED_BY_VARSTORE
        assert uefi.snapshots("d0.qcow2") == []


def test_policy_hmp_puts_the_vm_state_into_a_qcow2_varstore_as_natively() -> None:
    with proxied(FLASH, QCOW2_VARS, DISK, options=["--policy", "hmp"]) as uefi:
        assert uefi.client.hmp("savevm t") == ""
        assert (uefi.snapshots("vars.qcow2"), uefi.snapshots("d0.qcow2")) == ([("t", True)], [("t", False)])
        assert uefi.client.hmp("loadvm t") == ""
        assert uefi.client.hmp("delvm t") == ""
        assert uefi.snapshots("vars.qcow2") == []


def test_native_loadvm_of_a_moved_vm_state_says_disk_only() -> None:
    """What the audit warned of: QEMU itself looks for the VM state in the qcow2 varstore."""
    with machine(FLASH, QCOW2_VARS, DISK) as vm:
        with ProxyProcess(vm.folder, vm.qmp_path) as proxy, proxy.negotiated() as client:
            assert client.hmp("savevm t") == ""
        with vm.negotiated() as native:
            assert native.hmp("loadvm t") == DISK_ONLY
