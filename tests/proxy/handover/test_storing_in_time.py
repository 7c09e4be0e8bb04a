"""VMs that are left to a service manager while something comes, begins or fails; test_storing.py has the rest."""

import asyncio
import socket
from pathlib import Path

import pytest

from proxy.handover import standstill, storing
from proxy.handover.storing import Storing
from tests.support.processes.running_daemon import statuses, until
from tests.support.processes.stored_scene import Scene, played, works


def test_client_that_comes_while_others_are_waited_for_may_prevent_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One at HMP's prompt, say, of whom nothing was to be seen at first."""
    no_plan = standstill.Standstill.no_plan

    async def main(one: Scene) -> None:
        monkeypatch.setattr(storing, "_PATIENCE_S", 0.0)
        with await one.client() as client, socket.socket(socket.AF_UNIX) as person:

            async def meanwhile(still: standstill.Standstill) -> str | None:
                if len(statuses(one.party.fleet)[0].clients) == 1:
                    await asyncio.to_thread(person.connect, str(folder / "m"))
                    await until(lambda: len(statuses(one.party.fleet)[0].clients) == 2)
                return await no_plan(still)

            monkeypatch.setattr(standstill.Standstill, "no_plan", meanwhile)
            (why,) = (await one.leave()).values()
            assert why.endswith("is at HMP's prompt")
            assert await works(client)

    played(folder, main, f'hmp_listen = "unix:{folder}/m"')


@pytest.mark.parametrize("ends_others", [False, True])
def test_vm_that_only_begins_is_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch, ends_others: bool) -> None:
    reasons = [{"a": standstill.UNSETTLED}, {"a": standstill.UNSETTLED}]

    async def main(one: Scene) -> None:
        monkeypatch.setattr(Storing, "_why_never", lambda _: reasons.pop() if reasons else {})
        with await one.client() as client:
            await one.upgrade(ends_others=ends_others)
            assert await works(client)

    played(folder, main)
    assert reasons == []


def test_fault_of_ours_in_letting_go_undoes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Still:
        def let_go(self) -> None:
            raise AssertionError("boom")

    storing._leave_to_manager("a", Still())  # type: ignore[arg-type]
    assert "handed over to the service manager, but not completely released" in caplog.text
