"""A fleet that is left to a service manager, and one that is begun with what that has kept: tools notice nothing.

Where anything fails, all VMs go on as they were, and nothing stays with the manager.
"""

import asyncio
import os
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.errors import UpgradeError
from proxy.fleet.service_manager import ServiceManager
from proxy.handover import standstill, storing
from proxy.handover.parcel import Parcel
from proxy.handover.storing import Storing, stored_name
from proxy.relaying.carrying import HoldingStill
from tests.fakes.qemu import FakeQEMU, When, two_disks
from tests.support.processes.fake_service_manager import FakeServiceManager
from tests.support.processes.running_daemon import run, statuses, table, until
from tests.support.processes.stored_scene import Scene, played, reply, scene, works
from tests.support.processes.two_processes import Party
from tests.support.raw_client import RawClient, command_bytes
from tests.support.routing.pure_router import NAME

LONG: Final = "x" * 100_000


def test_clients_go_on_from_process_to_process(folder: Path) -> None:
    async def main(one: Scene) -> None:
        with await one.client() as client, await one.client(oob=True) as urgent:
            for tag in "tuv":
                assert await asyncio.to_thread(client.hmp, f"savevm {tag}") == ""
                await asyncio.to_thread(client.send, NAME[:9])
                await one.upgrade()
                await asyncio.to_thread(client.send, NAME[9:])
                assert await asyncio.to_thread(reply, client) == {"return": {}}
                await asyncio.to_thread(urgent.send, b'{"exec-oob": "query-yank", "id": 1}\n')
                while "event" in await asyncio.to_thread(urgent.receive):
                    pass
            with await one.client() as other:
                assert await works(other)
        assert one.qemu.client_count == 1

    played(folder, main)


def test_client_that_sends_all_the_time_hears_all_in_order(folder: Path) -> None:
    async def main(one: Scene) -> None:
        with await one.client() as client:
            await asyncio.to_thread(client.send, b"".join(command_bytes("query-name", id=at) for at in range(1000)))
            upgrading = asyncio.create_task(one.upgrade())
            more = b"".join(command_bytes("query-name", id=at) for at in range(1000, 1500))
            sending = asyncio.create_task(asyncio.to_thread(client.send, more))
            assert await asyncio.to_thread(lambda: [client.receive()["id"] for _ in range(1500)]) == list(range(1500))
            await sending
            await upgrading

    played(folder, main)


def test_what_happens_while_no_process_is_there_is_heard(folder: Path) -> None:
    """A client that comes, one that sends and leaves, an event, and what a slow reader has not read yet."""

    async def main(one: Scene) -> None:
        with await one.client() as client, await one.client() as listener, await one.client() as slow:
            ids = [f"{at}{LONG}" for at in range(9)]
            await asyncio.to_thread(slow.send, b"".join(command_bytes("query-name", id=own) for own in ids))
            await one.qemu.wait_received("query-name", 9)
            assert await one.leave() == {}
            await one.party.ended()
            one.qemu.vm.emit("POWERDOWN", {})
            client.send(NAME)
            client.half_close()
            waiting = await asyncio.to_thread(RawClient.connect, folder / "a")
            await one.begin()
            with waiting:
                await asyncio.to_thread(waiting.negotiate)
                assert await works(waiting)
            assert (await asyncio.to_thread(listener.receive))["event"] == "POWERDOWN"
            heard = await asyncio.to_thread(lambda: [client.receive(), client.receive()])
            assert [message.get("event", "return") for message in heard] == ["POWERDOWN", "return"]
            assert await asyncio.to_thread(client.expect_eof) == b""
            replies = await asyncio.to_thread(lambda: [reply(slow)["id"] for _ in ids])
            assert replies == ids

    played(folder, main)


@pytest.mark.parametrize("who", ["client", "QEMU"])
def test_who_goes_while_no_process_is_there_is_noticed(folder: Path, who: str) -> None:
    async def main(one: Scene) -> None:
        with await one.client() as client, await one.client() as other:
            assert await one.leave() == {}
            await one.party.ended()
            if who == "client":
                client.close()
                await one.begin()
                await until(lambda: len(statuses(one.party.fleet)[0].clients) == 1)
                assert await works(other)
            else:
                one.qemu.disconnect()
                await one.begin()
                assert await asyncio.to_thread(other.expect_eof) == b""
                await until(lambda: one.party.served() == ["a"])
                with await one.client() as third:
                    assert await works(third)

    played(folder, main)


def test_descriptor_that_waits_for_its_command_is_kept(folder: Path) -> None:
    async def main(one: Scene) -> None:
        with await one.client() as client:
            command = command_bytes("getfd", {"fdname": "x"})
            number = os.open("/dev/null", os.O_RDONLY)
            socket.send_fds(client.socket, [command[:9]], [number])
            os.close(number)
            await one.upgrade()
            await asyncio.to_thread(client.send, command[9:])
            await asyncio.to_thread(client.receive)
            assert one.qemu.commands[-1] == "getfd"

    played(folder, main)


@pytest.mark.parametrize("holds", [False, True])
def test_path_that_is_taken_over_stays_and_is_given_back_in_the_end(folder: Path, holds: bool) -> None:
    async def main() -> None:
        config = f'[[vm]]\nname = "a"\ntake_over = "{"hold:" * holds}{folder}/q"\n'
        async with FakeQEMU(two_disks(), path=f"{folder}/q"):
            with FakeServiceManager(folder / "n") as manager:
                one = Scene(folder, None, config, manager, Party(folder, config))  # type: ignore[arg-type]
                await one.party.__aenter__()
                with await one.client(folder / "q") as client:
                    assert await one.leave() == {}
                    await one.party.ended()
                    assert (folder / "q.hmpshim").exists()
                    waiting = await asyncio.to_thread(RawClient.connect, folder / "q")
                    await one.begin()
                    with waiting:
                        await asyncio.to_thread(waiting.negotiate)
                    assert await works(client)
                await one.party.__aexit__(None, None, None)
            assert not (folder / "q.hmpshim").exists()
            with await asyncio.to_thread(RawClient.connect, folder / "q") as native:
                await asyncio.to_thread(native.negotiate)

    run(main)


def test_vm_whose_qemu_is_away_is_kept_with_those_who_wait(folder: Path) -> None:
    async def main() -> None:
        config = f'[[vm]]\nname = "a"\nupstream = "unix:{folder}/q"\nlisten = "hold:unix:{folder}/a"\n'
        with FakeServiceManager(folder / "n") as manager:
            one = Scene(folder, None, config, manager, Party(folder, config))  # type: ignore[arg-type]
            await one.party.__aenter__()
            with await asyncio.to_thread(RawClient.connect, folder / "a") as waiting:
                await one.upgrade()
                async with FakeQEMU(two_disks(), path=f"{folder}/q"):
                    await asyncio.to_thread(waiting.negotiate)
                    assert await works(waiting)
                    await one.party.__aexit__(None, None, None)

    run(main)
    assert not (folder / "a").exists()


def test_savevm_that_ends_soon_is_waited_for(folder: Path) -> None:
    """Meanwhile the other VMs go on."""

    async def main(one: Scene) -> None:
        with await one.client() as client, await one.client(folder / "b") as other:
            one.qemu.hold("snapshot-save", When.RECEIVED)
            saving = asyncio.create_task(asyncio.to_thread(client.hmp, "savevm t"))
            await one.qemu.reached("snapshot-save")
            upgrading = asyncio.create_task(one.upgrade())
            for _ in range(9):
                assert await works(other)
            assert not upgrading.done()
            one.qemu.release()
            assert await saving == ""
            await upgrading
            assert one.party.served() == ["a", "b"]
            assert await works(client)
            assert await works(other)

    async def both() -> None:
        async with FakeQEMU(two_disks()) as second:
            tables = table(f"{folder}/q", folder / "a") + table(second, folder / "b")
            async with scene(folder, config=tables) as one:
                await main(one)

    run(both)


# What prevents it.


async def stays(one: Scene, client: RawClient, told: dict[str, str], **options: Any) -> None:
    """See that nothing is left to the manager, and that all goes on."""
    assert await one.leave(**options) == told
    await until(lambda: one.manager.names == [])
    assert await works(client)
    with await one.client() as other:
        assert await works(other)
    assert one.qemu.client_count == 1


def test_vm_that_cannot_be_handed_over_prevents_it_before_anything_happens(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(one: Scene) -> None:
        monkeypatch.setattr(HoldingStill, "begin", lambda *_, **__: pytest.fail("a VM is held"))
        with await one.client() as client, socket.socket(socket.AF_UNIX) as person:
            await asyncio.to_thread(person.connect, str(folder / "m"))
            await until(lambda: len(statuses(one.party.fleet)[0].clients) == 2)
            (why,) = (await one.leave()).values()
            assert why.endswith("is at HMP's prompt")
            assert await works(client)

    played(folder, main, f'hmp_listen = "unix:{folder}/m"')


def test_vms_that_cannot_be_handed_over_end_where_that_is_wanted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also the only one; it begins anew with the next process."""

    async def main(one: Scene) -> None:
        one.party.fleet.outlast_vms(True)
        with await one.client() as client, socket.socket(socket.AF_UNIX) as person:
            await asyncio.to_thread(person.connect, str(folder / "m"))
            await until(lambda: len(statuses(one.party.fleet)[0].clients) == 2)
            assert await one.leave(ends_others=True) == {}
            assert await asyncio.to_thread(client.expect_eof) == b""
        one.party.fleet.stop()
        await one.party.ended()
        await one.begin()
        assert one.party.served() == ["a"]

    played(folder, main, f'hmp_listen = "unix:{folder}/m"')
    assert "its clients are disconnected, as it cannot be handed over: " in caplog.text


def test_vms_that_were_ended_begin_anew_where_the_rest_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = [{"a": "it is not to be"}]

    async def fail(*_: Any) -> dict[str, str]:
        raise OSError(9, "it breaks")

    async def main(one: Scene) -> None:
        one.party.fleet.outlast_vms(True)
        monkeypatch.setattr(Storing, "_why_never", lambda _: reasons.pop() if reasons else {})
        monkeypatch.setattr(Storing, "_try", fail)
        with pytest.raises(UpgradeError, match="cannot pass files to the service manager: it breaks"):
            await one.leave(ends_others=True)
        await until(lambda: one.party.served() == ["a"])
        one.party.fleet.outlast_vms(False)

    played(folder, main)


def test_snapshot_command_that_takes_long_prevents_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "_PLAN_S", 0.05)
    monkeypatch.setattr(storing, "_PATIENCE_S", 0.0)

    async def main(one: Scene) -> None:
        with await one.client() as client:
            one.qemu.hold("snapshot-save", When.RECEIVED)
            saving = asyncio.create_task(asyncio.to_thread(client.hmp, "savevm t"))
            await one.qemu.reached("snapshot-save")
            assert await one.leave() == {"a": "a snapshot command runs"}
            one.qemu.release()
            assert await saving == ""
            assert await works(client)

    played(folder, main)


def test_vm_that_does_not_become_quiet_prevents_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "_QUIET_S", 0.02)
    monkeypatch.setattr(storing, "_PATIENCE_S", 0.1)

    async def main(one: Scene) -> None:
        with await one.client() as client:
            one.qemu.hold("query-name", When.RECEIVED)
            await asyncio.to_thread(client.send, NAME)
            await one.qemu.reached("query-name")
            assert await one.leave() == {"a": "QEMU has not answered all commands"}
            one.qemu.release()
            assert "return" in await asyncio.to_thread(client.receive)

    played(folder, main)


def test_vm_that_nobody_serves_prevents_nothing(folder: Path) -> None:
    """Its log cannot be opened, so there is nobody at it."""

    async def main() -> None:
        with FakeServiceManager(folder / "n") as manager:
            config = table("/none", folder / "a", 'audit = "/none/log"')
            one = Scene(folder, None, config, manager, Party(folder, config))  # type: ignore[arg-type]
            await one.party.__aenter__()
            await until(lambda: one.party.fleet.by_key["a"].proxy is None)
            assert await one.leave() == {}
            await one.party.__aexit__(None, None, None)

    run(main)


@pytest.mark.parametrize("is_always_so", [False, True])
def test_client_that_is_cut_off_meanwhile_is_no_reason_unless_it_is_always_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, is_always_so: bool
) -> None:
    is_as_carried = [True, False, False]

    async def main(one: Scene) -> None:
        with await one.client() as client:
            monkeypatch.setattr(HoldingStill, "is_as_carried", property(lambda _: not is_always_so and is_as_carried.pop()))
            if is_always_so:
                monkeypatch.setattr(storing, "_PATIENCE_S", 0.0)
                await stays(one, client, {"a": "QEMU or a client has gone meanwhile"})
                return
            await one.upgrade()
            assert await works(client)

    played(folder, main)


def test_busy_vm_is_tried_until_it_ends_where_that_is_wanted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(HoldingStill, "is_as_carried", property(lambda _: False))

    async def main(one: Scene) -> None:
        one.party.fleet.outlast_vms(True)
        with await one.client() as client:
            assert await one.leave(ends_others=True) == {}
            assert await asyncio.to_thread(client.expect_eof) == b""
        one.party.fleet.stop()
        await one.party.ended()
        await one.begin()

    played(folder, main)


def test_vm_that_comes_meanwhile_is_held_the_next_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, stored = Storing._store, []

    async def hide_one(self: Storing, stills: Any, parcels: Any) -> None:
        stored.append(set(stills))
        if len(stored) == 1:
            stills.pop("a").go_on()
        await store(self, stills, parcels)

    async def main(one: Scene) -> None:
        monkeypatch.setattr(Storing, "_store", hide_one)
        with await one.client() as client:
            await one.upgrade()
            assert await works(client)
        assert stored == [{"a"}, {"a"}]

    played(folder, main)


@pytest.mark.parametrize("most", [0, 1])
def test_store_that_is_too_small_prevents_it(folder: Path, most: int, caplog: pytest.LogCaptureFixture) -> None:
    """It says nothing of that, but what was given is not there."""
    words = ["the service manager keeps nothing for it", "the service manager keeps 1 of 2 VMs; raise"][most]

    async def main() -> None:
        async with FakeQEMU(two_disks()) as second:
            tables = table(f"{folder}/q", folder / "a") + table(second, folder / "b")
            async with scene(folder, config=tables, most=most) as one:
                with await one.client() as client, await one.client(folder / "b") as other:
                    with pytest.raises(UpgradeError, match=words):
                        await one.leave()
                    await until(lambda: one.manager.names == [])
                    assert await works(client)
                    assert await works(other)

    run(main)


def test_service_manager_that_does_not_answer_prevents_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(storing, "_ANSWER_S", 0.05)

    async def main(one: Scene) -> None:
        with await one.client() as client:
            one.manager.is_silent = True
            with pytest.raises(UpgradeError, match="the service manager has not answered"):
                await one.leave()
            assert await works(client)
            one.manager.is_silent = False

    played(folder, main)


def test_service_manager_that_has_gone_prevents_it(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main(one: Scene) -> None:
        with await one.client() as client:
            told = ServiceManager({"NOTIFY_SOCKET": str(folder / "none")})
            with pytest.raises(UpgradeError, match="cannot pass files to the service manager: "):
                await Storing(one.party.fleet, told).leave(None, ends_others=False)
            told.close()
            assert await works(client)

    played(folder, main)
    assert "the service manager still keeps what it no longer needs to" in caplog.text


@pytest.mark.parametrize(("formats", "is_refused"), [([1, 2], False), ([3], True), ("2", True)])
def test_program_that_could_not_go_on_is_refused(folder: Path, formats: Any, is_refused: bool) -> None:
    async def main(one: Scene) -> None:
        told = ServiceManager(one.manager.environment)
        asking = Storing(one.party.fleet, told).leave(formats, ends_others=False)
        if is_refused:
            with pytest.raises(UpgradeError, match="hands over in format 2, which the program that asks does not read"):
                await asking
        else:
            assert await asking == {}
            await one.party.ended()
            await one.begin()
        told.close()

    played(folder, main)


def test_whoever_has_asked_and_goes_stops_it(folder: Path) -> None:
    async def main(one: Scene) -> None:
        with await one.client() as client:
            one.qemu.hold("snapshot-save", When.RECEIVED)
            saving = asyncio.create_task(asyncio.to_thread(client.hmp, "savevm t"))
            await one.qemu.reached("snapshot-save")
            leaving = asyncio.create_task(one.leave())
            await until(lambda: one.manager.names == [] and any(task.get_name() == "hold a" for task in asyncio.all_tasks()))
            leaving.cancel()
            await asyncio.wait((leaving,))
            one.qemu.release()
            assert await saving == ""
            assert await works(client)

    played(folder, main)


def test_vm_that_the_manager_loses_at_the_last_moment_ends(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It cannot be known any earlier; the others are handed over by then."""
    seal = Parcel.seal

    async def main() -> None:
        async with FakeQEMU(two_disks()) as second:
            tables = table(f"{folder}/q", folder / "a") + table(second, folder / "b")
            async with scene(folder, config=tables) as one:

                def lose(self: Parcel) -> None:
                    one.manager.drop(stored_name("a"))
                    seal(self)

                monkeypatch.setattr(Parcel, "seal", lose)
                with await one.client() as client, await one.client(folder / "b") as other:
                    assert await one.leave() == {}
                    one.party.fleet.stop()
                    await one.party.ended()
                    assert await asyncio.to_thread(client.expect_eof) == b""
                    await one.begin()
                    assert await works(other)
                    assert one.party.served() == ["a", "b"]

    run(main)
    assert "the service manager no longer keeps it, so it ends: Broken pipe" in caplog.messages


def test_vm_has_more_descriptors_than_the_kernel_takes_at_once(folder: Path) -> None:
    async def main(one: Scene) -> None:
        with ExitStack() as stack:
            clients = [stack.enter_context(await one.client()) for _ in range(220)]
            await one.upgrade()
            for client in clients:
                assert await works(client)

    played(folder, main, "max_clients = 300", "max_user_clients = 300")
