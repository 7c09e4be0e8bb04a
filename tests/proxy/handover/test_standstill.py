"""A VM that is to be handed over: what cannot be. test_giving.py and test_storing.py make the moments."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from host.net.addresses import AcceptAddress, StdioAddress, UnixAddress
from host.settings.config import VMConfig
from proxy.handover import standstill
from proxy.handover.standstill import Standstill, why_never
from proxy.relaying.quiet import PAUSED
from tests.support.processes.running_daemon import run, table
from tests.support.processes.two_processes import Party, in_use


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"attach": UnixAddress("/q")}, "it is attached to its QEMU (--attach)"),
        ({"upstream": AcceptAddress(UnixAddress("/q"))}, "its QEMU connects to the proxy (accept:)"),
        ({"listen": (StdioAddress(),)}, "its client is at standard input and output"),
        ({}, None),
    ],
)
def test_what_cannot_be_handed_over_by_its_configuration(members: dict[str, Any], reason: str | None) -> None:
    assert standstill._why_never_by(VMConfig(**({"upstream": UnixAddress("/q")} | members))) == reason


def test_vm_that_is_not_there_is_not_settled() -> None:
    assert why_never(None) == "it is not settled whether its QEMU is there"


def test_paused_vm_is_not_held_still(folder: Path) -> None:
    """It stays as long as the pause lasts, and its tools would notice that they are held up."""

    async def main() -> None:
        async with in_use(folder) as (_, _, old, client):
            (vm,) = old.fleet.vms
            assert vm.proxy is not None
            still = Standstill(vm.proxy)
            vm.standing.pausing.begin(None, "somebody")
            assert [await still.no_plan(), await still.hold()] == [PAUSED] * 2
            assert "return" in await asyncio.to_thread(client.execute, "query-name")
            vm.standing.pausing.end("somebody")
            assert [await still.no_plan(), await still.hold()] == [None] * 2
            still.go_on()

    run(main)


def test_pause_of_a_vm_whose_qemu_is_away_is_not_lost(folder: Path) -> None:
    async def main() -> None:
        async with Party(folder, table("/none", folder / "a")) as party:
            (vm,) = party.fleet.vms
            assert vm.proxy is not None
            still = Standstill(vm.proxy)
            assert [await still.no_plan(), await still.hold()] == [None] * 2
            vm.standing.pausing.begin(None, "somebody")
            assert [await still.no_plan(), await still.hold()] == [PAUSED] * 2

    run(main)
