"""Few VMs begin at once, whatever their QEMUs do."""

import asyncio

import pytest

from proxy.fleet import settling
from proxy.fleet.settling import Settling
from tests.support.raw_client import DEADLINE_S


def test_all_are_settled_once_it_is_known_of_each() -> None:
    async def main() -> None:
        vms = Settling()
        for number in range(3):
            vms.add(number)
        for number in (0, 1, 1):
            vms.discard(number)
            assert not vms.settled.is_set()
        vms.discard(2)
        assert vms.settled.is_set()

    asyncio.run(main())


def test_next_vm_waits_until_few_are_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "_AT_ONCE", 2)
    monkeypatch.setattr(settling, "_SOON_S", DEADLINE_S)

    async def main() -> None:
        vms = Settling()
        for number in range(3):
            vms.add(number)
        waiting = asyncio.create_task(vms.room())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        vms.discard(0)
        await waiting
        assert vms._allowed == 2

    asyncio.run(main())


def test_vms_that_take_long_are_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "_AT_ONCE", 2)
    monkeypatch.setattr(settling, "_SOON_S", 0.0)

    async def main() -> None:
        vms, allowed = Settling(), []
        for number in range(6):
            vms.add(number)
            await vms.room()
            allowed.append(vms._allowed)
        assert allowed == [2, 2, 4, 4, 6, 6]

    asyncio.run(main())
