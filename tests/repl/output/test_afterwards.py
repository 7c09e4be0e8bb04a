"""What is said after a command. The rest is in tests/integration/planning/test_unplugging_on_qemu.py, at a real QEMU."""

import pytest

from repl.output.afterwards import afterwards
from shim.hmp.line import HMPLine
from shim.qmp import Execute
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.repl.executing import Bench, played


def partial() -> FakeQEMU:
    qemu = FakeQEMU(two_disks())
    qemu.vm.save_snapshot("t", overwrite=True)
    qemu.vm.graph["d1"].snapshots.clear()
    return qemu


@pytest.mark.parametrize(
    ("asked", "is_failure", "told"),
    [
        (HMPLine.read("loadvm t"), True, "missing on d1; 'plan loadvm t' says what to type"),
        (HMPLine.read("loadvm t"), False, None),
        (HMPLine.read("info snapshots"), True, None),
        (HMPLine.read("delvm nosuch"), True, None),
        (HMPLine.read("stop"), True, None),
        (Execute("stop"), True, None),
        (Execute("stop"), False, None),
    ],
    ids=str,
)
def test_what_is_said(asked: HMPLine | Execute, is_failure: bool, told: str | None) -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        assert await afterwards(bench.executor, asked, is_failure=is_failure) == told

    played(scene, partial())


def test_load_that_fails_although_the_disks_are_right() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        told = await afterwards(bench.executor, HMPLine.read("loadvm t"), is_failure=True)
        assert told is None, "the VM runs, so nothing was loaded"
        qemu.vm.run_state = "restore-vm"
        told = await afterwards(bench.executor, HMPLine.read("loadvm t"), is_failure=True)
        assert told is not None
        assert told.startswith("the VM stands still, and its disks have gone back to 't'")

    saved = FakeQEMU(two_disks())
    saved.vm.save_snapshot("t", overwrite=True)
    played(scene, saved)
