"""A QEMU without snapshot jobs, before 6.0, gets the client's own commands; the audit says why. A newer one never does.

What needs the jobs (the marker needs_snapshot_jobs, in conftest.py) is not tested on such a QEMU; this is tested instead.
"""

from typing import Final

import pytest

from shim.qmp import QEMUVersion
from tests.integration.command_lines import BIOS, FLASH_CODE, disk
from tests.integration.machines import Machine, machine

pytestmark = pytest.mark.versions

IMAGES: Final = dict.fromkeys(("d0.qcow2", "d1.qcow2", "vars.qcow2", "vars.raw"), "")
COMMANDS: Final = ("savevm t", "savevm", "loadvm t", "delvm t")
LINES: Final = (*COMMANDS, "info snapshots")
OPTIONS: Final[dict[str, list[str]]] = {
    "auto": [],
    "hmp": ["--policy", "hmp"],
    "vmstate": ["--vmstate", "d1"],
    "exclude": ["--exclude", "d0"],
    "refuse": ["--overwrite", "refuse"],
    "no-guard": ["--no-guard"],
}
MACHINES: Final = {
    "disks": f"{BIOS} {disk('d0')} {disk('d1')}",
    "raw-varstore": f"{FLASH_CODE} -drive if=pflash,unit=1,format=raw,file=vars.raw {disk('d0')} {disk('d1')}",
    "qcow2-varstore": f"{FLASH_CODE} -drive if=pflash,unit=1,format=qcow2,file=vars.qcow2 {disk('d0')} {disk('d1')}",
}


def passed_reasons(vm: Machine, options: list[str]) -> list[str | None]:
    """Run all commands; tell of each why QEMU itself was asked, and None where it was not."""
    with vm.proxied(*options) as (client, proxy):
        for line in LINES:
            client.hmp(line)
        found = {record["command_line"]: record for record in proxy.records}
        return [found[line]["reason"] if found[line]["action"] == "passed" else None for line in COMMANDS]


@pytest.mark.matrix
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("args", MACHINES.values(), ids=MACHINES)
def test_commands_are_left_to_a_qemu_without_jobs(args: str, options: list[str], qemu_version: QEMUVersion) -> None:
    """No policy changes that: there is nothing that it could be done with."""
    expected = None if qemu_version >= (6, 0) else f"QEMU {qemu_version} has no snapshot jobs"
    with machine(args, IMAGES) as vm:
        assert passed_reasons(vm, options) == [expected] * len(COMMANDS)


@pytest.mark.parametrize("args", MACHINES.values(), ids=MACHINES)
def test_answers_of_a_qemu_without_jobs_are_its_own(args: str, qemu_version: QEMUVersion) -> None:
    """With policy hmp they are QEMU's in any version, made by jobs or not."""
    with machine(args, IMAGES) as vm, machine(args, IMAGES) as twin:
        options = ["--policy", "hmp"] if qemu_version >= (6, 0) else []
        with vm.native() as native, twin.proxied(*options) as (client, _):
            for line in ("savevm t", "loadvm t", "savevm t", "delvm t", "loadvm t"):
                assert client.hmp(line) == native.hmp(line)
                assert (twin.images, twin.run_state) == (vm.images, vm.run_state)
