"""A fleet that is changed at random, with faults, becomes what its file says, and disturbs nobody whose VM is the same."""

import tempfile
from pathlib import Path

import pytest

from tests.support.processes.changing_fleet import ChangingFleet
from tests.support.processes.running_daemon import run


@pytest.mark.parametrize("seed", range(5))
def test_fleet_becomes_what_the_file_says(seed: int) -> None:
    """100 changes in all. Each leaves the clients alone whose VM and QEMU are as they were."""

    async def main() -> None:
        with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder:
            async with ChangingFleet(Path(folder), seed) as fleet:
                for _ in range(20):
                    await fleet.change()
                await fleet.heal()
                await fleet.check()
            assert fleet.kept > 20

    run(main)
