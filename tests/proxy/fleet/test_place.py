"""What a new wish has changed of a fleet, and for how long whoever wished waits for a VM's disks."""

import asyncio

import pytest

from host.log_lines import VMLabel
from proxy.fleet.place import Changes, Place
from proxy.fleet.supervision import SupervisedVM


class _Compared(SupervisedVM):
    """A VM whose disks are compared at once, or never. It is made without anything that would be needed to serve it."""

    def __init__(self, why: str | None, *, is_late: bool = False) -> None:
        self._why, self._is_late = why, is_late

    async def policy_checked(self) -> str | None:
        if self._is_late:
            await asyncio.Event().wait()
        return self._why


def test_only_what_is_known_in_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.fleet.place._COMPARED_WITHIN_S", 0.01)
    vms: list[SupervisedVM] = [_Compared("x: it misses"), _Compared(None), _Compared("late", is_late=True)]
    assert asyncio.run(Changes(compared=vms).why_not_used()) == ["x: it misses"]
    assert asyncio.run(Changes().why_not_used()) == []


def test_changes_are_counted() -> None:
    told = "new: 1, changed: 2, begun anew: 0, not served any more: 0"
    assert str(Changes(new=1, changed=2)) == told
    assert str(Changes(new=1, changed=2, problems=["why"])) == f"{told}, not changed: 1"


def test_place_without_a_proxy_has_nothing_to_give_up() -> None:
    Place("a", VMLabel("a")).stop_trying()
