"""VMs beside one whose QEMU misbehaves: they notice nothing. How long they wait, ./run bench --only host tells."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.control.status import State
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.bad_qemu import BadQEMU, Kind
from tests.support.processes.running_daemon import RunningDaemon, run, table, until
from tests.support.proxy.running_vm_proxy import in_thread
from tests.support.raw_client import RawClient, negotiated


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="n", dir="/tmp") as name:
        yield Path(name)


@pytest.mark.parametrize("kind", Kind)
def test_vm_whose_qemu_misbehaves_harms_no_other(folder: Path, kind: Kind) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, BadQEMU(kind, f"{folder}/bad.qmp") as bad:
            tables = table(qemu, folder / "good"), table(f"{folder}/bad.qmp", folder / "bad")
            async with RunningDaemon(folder, *tables, absent=["bad"]) as daemon:
                await until(lambda: bad.deeds)
                with await in_thread(lambda: negotiated(RawClient.connect(str(folder / "good")))) as client:
                    for _ in range(30):
                        assert await in_thread(client.execute, "query-name")
                    # Those that have one deed only are at it now.
                    count = bad.deeds + (2 if kind in (Kind.FLOODING, Kind.FLAPPING, Kind.LIES) else 0)
                    await until(lambda: bad.deeds >= count)
                    assert await in_thread(client.hmp, "savevm t") == ""
                    assert await in_thread(client.hmp, "info snapshots")
                found = {vm.name: vm.state for vm in daemon.status()}
                assert found["good"] is State.SERVED
                assert qemu.client_count == 1

    run(main)
