"""The old process, where the new one fails, at each step: it goes on as if nothing had been."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from host.audit_log.losses import LossesByLog
from proxy.control.status import State
from proxy.errors import HandOverError
from proxy.fleet.fleet import Fleet
from proxy.fleet.successor import known_vms, replacement_of
from proxy.handover import giving
from proxy.handover.channel import Channel, close_all
from proxy.handover.giver import Giver
from proxy.handover.meeting import meet
from proxy.handover.taking import take_from
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import run, table, until
from tests.support.processes.two_processes import Party
from tests.support.raw_client import RawClient

HELLO: Final = {"formats": [1, 2], "version": "9.9"}
GONE: Final = "the process that was to take over has gone; VMs that stay here: 1"


@contextlib.asynccontextmanager
async def replaced(folder: Path) -> AsyncIterator[Channel]:
    """Play the new process."""
    channel = await meet(str(folder / "meet"))
    try:
        yield channel
    finally:
        channel.close()


async def heard(channel: Channel) -> dict[str, Any]:
    message, numbers = await channel.receive()
    close_all(numbers)
    return message


async def works(client: RawClient) -> bool:
    return "return" in await asyncio.to_thread(client.execute, "query-name")


def waits_for(old: Party) -> tuple[tuple[str, str], ...]:
    """Return which VMs the new process waits for, and why."""
    replacement = replacement_of(old.fleet)
    assert replacement is not None
    assert replacement.who == f"hmpshim 9.9 (pid {os.getpid()})"
    return replacement.waits_for


def played(folder: Path, scene: Any, *lines: str) -> None:
    """Run a scene with a client of the old process, which must serve it in the end."""

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, Party(folder, table(qemu, folder / "a", *lines)) as old:
            with await asyncio.to_thread(RawClient.connect, folder / "a") as client:
                await asyncio.to_thread(client.negotiate)
                await scene(old, client)
                assert await works(client)
                assert await asyncio.to_thread(client.hmp, "savevm t") == ""
                with await asyncio.to_thread(RawClient.connect, folder / "a") as other:
                    await asyncio.to_thread(other.negotiate)
        assert qemu.client_count == 1

    run(main)


@pytest.mark.parametrize("step", ["at once", "after its hello", "before it is ready", "when it is ready"])
def test_new_process_may_go_at_each_step(folder: Path, step: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(old: Party, client: RawClient) -> None:
        async with replaced(folder) as channel:
            if step == "at once":
                return
            await channel.send(HELLO)
            assert (await heard(channel))["vms"].keys() == {"a"}
            if step == "after its hello":
                return
            await channel.send({"want": "a"})
            offer = await heard(channel)
            if step == "when it is ready":
                # It goes before the old process has seen the answer.
                await channel.send({"answer": offer["attempt"], "why_not": None})
        await until(lambda: GONE in caplog.messages)

    played(folder, scene)
    assert step == "at once" or GONE in caplog.messages


@pytest.mark.parametrize(
    "nonsense", [{"formats": 1}, {"answer": 3, "why_not": None}, {"want": 5}, {"want": "nobody"}, {"end": "nobody"}]
)
def test_what_the_new_process_says_harms_nobody(
    folder: Path, nonsense: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(old: Party, client: RawClient) -> None:
        async with replaced(folder) as channel:
            await channel.send(HELLO)
            await heard(channel)
            await channel.send(nonsense)
            if "nobody" in nonsense.values():
                assert await heard(channel) == {"vm": "nobody", "ended": True, "lost": []}
            elif "answer" not in nonsense:
                with pytest.raises(EOFError):
                    await heard(channel)
        await until(lambda: GONE in caplog.messages)

    played(folder, scene)


def test_vm_that_the_new_process_cannot_take_goes_on_and_is_offered_again(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also one that it does not answer about in time; a late answer counts for nothing."""

    async def scene(old: Party, client: RawClient) -> None:
        async with replaced(folder) as channel:
            await channel.send(HELLO)
            await heard(channel)
            await channel.send({"want": "a"})
            offer = await heard(channel)
            await channel.send({"answer": offer["attempt"], "why_not": "no room"})
            assert await heard(channel) == {"vm": "a", "keeps": True, "attempt": offer["attempt"]}
            assert await heard(channel) == {"vm": "a", "stays": "no room"}
            assert await works(client)
            assert waits_for(old) == (("a", "no room"),)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(giving, "_ANSWER_S", 0.02)
                offer = await heard(channel)
                assert (await heard(channel))["keeps"]
                await channel.send({"answer": offer["attempt"], "why_not": None})
                assert await heard(channel) == {"vm": "a", "stays": "the new process has not answered within 0.02 s"}
            assert await works(client)
        await until(lambda: GONE in caplog.messages)
        assert replacement_of(old.fleet) is None

    played(folder, scene)


def test_client_that_goes_meanwhile_keeps_the_vm_where_it_is(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is cut off here, and the new process would not know of that."""

    async def scene(old: Party, client: RawClient) -> None:
        async with replaced(folder) as channel:
            with await asyncio.to_thread(RawClient.connect, folder / "a") as silent:
                await channel.send(HELLO)
                await heard(channel)
                await channel.send({"want": "a"})
                offer = await heard(channel)
                await asyncio.to_thread(silent.receive)
                await asyncio.to_thread(silent.expect_eof)  # --negotiation-timeout
                await channel.send({"answer": offer["attempt"], "why_not": None})
                assert (await heard(channel))["keeps"]
                assert await heard(channel) == {"vm": "a", "stays": "QEMU or a client has gone meanwhile"}
        await until(lambda: GONE in caplog.messages)

    played(folder, scene, "negotiation_timeout = 0.3")


def test_vms_of_a_new_process_that_goes_are_begun_anew(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where the old one is there still, because another of its VMs could not be handed over yet."""

    async def main() -> None:
        async with FakeQEMU(two_disks()) as one, FakeQEMU(two_disks()) as other:
            tables = table(one, folder / "a"), table(other, folder / "b")
            async with Party(folder, *tables) as old:
                async with replaced(folder) as channel:
                    await channel.send(HELLO)
                    await heard(channel)
                    await channel.send({"want": "a"})
                    offer = await heard(channel)
                    await channel.send({"answer": offer["attempt"], "why_not": None})
                    assert await heard(channel) == {"vm": "a", "goes": True, "attempt": offer["attempt"]}
                    assert old.given == [os.getpid()]
                    given, here = known_vms(old.fleet)
                    assert (given.status().state, given.status().has_qemu) == (State.HANDED_OVER, True)
                    assert here.status().state is State.SERVED
                    assert waits_for(old) == (("b", "the other process has not asked for it yet"),)
                    await until(lambda: old.served() == ["b"])
                await until(lambda: old.served() == ["a", "b"])
                assert [vm.status().state for vm in known_vms(old.fleet)] == [State.SERVED] * 2

    run(main)
    assert "served from now on, by the old process again" in caplog.messages


def test_only_one_process_replaces_another_at_a_time(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(old: Party, client: RawClient) -> None:
        assert isinstance(old.giver, Giver)
        async with replaced(folder) as first:
            await first.send(HELLO)
            await heard(first)
            for _ in range(20):
                with pytest.raises(HandOverError) as caught:
                    await take_from(str(folder / "meet"), LossesByLog())
                already = f"another process is replacing it already (pid {os.getpid()})"
                assert caught.value.reason == f"{already}; hmp-proxy status says what that one waits for"
        await until(lambda: GONE in caplog.messages)

    played(folder, scene)


def test_end_of_the_old_process_is_told(folder: Path) -> None:
    async def main() -> None:
        async with (
            FakeQEMU(two_disks()) as qemu,
            Party(folder, table(qemu, folder / "a")) as old,
            replaced(folder) as channel,
        ):
            await channel.send(HELLO)
            await heard(channel)
            old.fleet.stop()
            assert await heard(channel) == {"done": True, "lost": []}
            await old.ended()

    run(main)
    assert not (folder / "meet").exists()


def test_fault_of_ours_ends_the_conversation_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(fleet: Fleet) -> None:
        raise RuntimeError("boom")

    async def scene(old: Party, client: RawClient) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Fleet, "by_key", property(fail))
            async with replaced(folder) as channel:
                await channel.send(HELLO)
                with pytest.raises(EOFError):
                    await heard(channel)

    played(folder, scene)
    assert "hmpshim has failed to hand over, and goes on" in caplog.messages
