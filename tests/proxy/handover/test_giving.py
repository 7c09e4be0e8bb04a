"""A fleet that hands its VMs over to another, before modelled QEMUs: tools notice nothing."""

import asyncio
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from proxy.handover import giving, standstill
from proxy.handover.legacy import Legacy
from proxy.recording.audit_writer import AuditWriter
from proxy.relaying.carrying import HoldingStill
from tests.fakes.qemu import FakeQEMU, When, two_disks
from tests.support.processes import previous_format
from tests.support.processes.running_daemon import run, table, until
from tests.support.processes.two_processes import Party, in_use
from tests.support.raw_client import RawClient, command_bytes
from tests.support.routing.pure_router import NAME

Result = TypeVar("Result")
LONG: Final = "x" * 100_000


async def blocking(function: Callable[..., Result], *arguments: Any) -> Result:
    return await asyncio.to_thread(function, *arguments)


async def negotiated(path: Path, *, oob: bool = False) -> RawClient:
    client = await blocking(RawClient.connect, path)
    await asyncio.to_thread(client.negotiate, oob=oob)
    return client


async def handed_over(folder: Path, old: Party, config: str) -> Party:
    """Start a process that takes over, and wait until the other one has ended."""
    new = await Party(folder, config, takes=True).__aenter__()
    await old.ended()
    assert new.served() == old.names
    return new


Scene = Callable[[Path, FakeQEMU, Callable[[], Any]], Any]


def played(folder: Path, scene: Scene, *lines: str) -> None:
    """Run a scene with a fleet of one VM, whose listener is folder/a. It is given what has another process take over."""

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            config = table(qemu, folder / "a", *lines)
            async with Party(folder, config) as old:
                started: list[Party] = []

                async def take_over() -> Party:
                    started.append(await handed_over(folder, old, config))
                    return started[0]

                try:
                    await scene(folder / "a", qemu, take_over)
                finally:
                    for new in started:
                        await new.__aexit__(None, None, None)

    run(main)
    assert not (folder / "a").exists()


def test_client_goes_on_with_the_new_process(folder: Path) -> None:
    async def scene(path: Path, qemu: FakeQEMU, take_over: Callable[[], Any]) -> None:
        with await negotiated(path) as client:
            assert await blocking(client.hmp, "savevm t") == ""
            await take_over()
            assert await blocking(client.hmp, "savevm u") == ""
            with await negotiated(path) as other:
                assert "u" in await blocking(other.hmp, "info snapshots")
        assert qemu.client_count == 1

    played(folder, scene, f'audit = "{folder}/log"')
    lines = [json.loads(line)["command_line"] for line in (folder / "log").read_text().splitlines()]
    assert lines == ["savevm t", "savevm u", "info snapshots"]


@pytest.mark.parametrize("cut", [1, 15, 24])
def test_half_a_command_is_gone_on_with(folder: Path, cut: int) -> None:
    async def scene(path: Path, qemu: FakeQEMU, take_over: Callable[[], Any]) -> None:
        with await negotiated(path) as client:
            await blocking(client.send, NAME[:cut])
            await take_over()
            await blocking(client.send, NAME[cut:])
            assert await blocking(client.receive) == {"return": {}}
        assert qemu.received_raw[-1] == NAME.rstrip()

    played(folder, scene)


def test_client_that_sends_all_the_time_hears_all_in_order(folder: Path) -> None:
    async def scene(path: Path, qemu: FakeQEMU, take_over: Callable[[], Any]) -> None:
        with await negotiated(path) as client:
            await blocking(client.send, b"".join(command_bytes("query-name", id=number) for number in range(1000)))
            taking = asyncio.create_task(take_over())
            more = b"".join(command_bytes("query-name", id=number) for number in range(1000, 1500))
            sending = asyncio.create_task(blocking(client.send, more))
            assert await blocking(lambda: [client.receive()["id"] for _ in range(1500)]) == list(range(1500))
            await sending
            await taking

    played(folder, scene)


def test_slow_reader_gets_the_rest(folder: Path) -> None:
    async def scene(path: Path, qemu: FakeQEMU, take_over: Callable[[], Any]) -> None:
        with await negotiated(path) as client:
            sending = asyncio.create_task(
                blocking(client.send, b"".join(command_bytes("query-name", id=f"{number}{LONG}") for number in range(20)))
            )
            await qemu.wait_received("query-name", 20)
            await take_over()
            await sending
            heard = await blocking(lambda: [client.receive()["id"] for _ in range(20)])
            assert heard == [f"{number}{LONG}" for number in range(20)]
            assert (await blocking(client.execute, "query-status"))["return"]["running"]

    played(folder, scene)


@pytest.mark.parametrize("pretty", [False, True])
def test_client_that_has_left_and_still_reads_gets_the_rest(folder: Path, pretty: bool) -> None:
    async def scene(path: Path, qemu: FakeQEMU, take_over: Callable[[], Any]) -> None:
        client = await blocking(lambda: RawClient.connect(path, pretty=pretty))
        with client:
            await blocking(client.negotiate)
            await blocking(client.send, b"".join(command_bytes("query-name", id=f"{number}{LONG}") for number in range(9)))
            client.half_close()
            await qemu.wait_received("query-name", 9)
            await take_over()
            assert await blocking(lambda: [client.receive()["id"][0] for _ in range(9)]) == list("012345678")
            assert await blocking(client.expect_eof) == b""

    played(folder, scene, f"pretty = {str(pretty).lower()}")


def test_half_closed_client_in_the_kernel_is_heard_to_its_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes while nobody reads waits: the last command of a client, the end of what it sends, and an event of QEMU's."""

    async def scene(path: Path, qemu: FakeQEMU, take_over: Callable[[], Any]) -> None:
        with await negotiated(path) as client, await negotiated(path) as listener:
            settle = Legacy.take_up

            async def take_up(self: Legacy, *parts: Any) -> None:
                qemu.vm.emit("POWERDOWN", {})
                client.send(NAME)
                client.half_close()
                await settle(self, *parts)

            monkeypatch.setattr(Legacy, "take_up", take_up)
            await take_over()
            assert (await blocking(listener.receive))["event"] == "POWERDOWN"
            heard = await blocking(lambda: [client.receive(), client.receive()])
            assert [message.get("event", "return") for message in heard] == ["POWERDOWN", "return"]
            assert await blocking(client.expect_eof) == b""

    played(folder, scene)


def test_descriptor_that_waits_for_its_command_is_handed_over(folder: Path) -> None:
    async def scene(path: Path, qemu: FakeQEMU, take_over: Callable[[], Any]) -> None:
        with await negotiated(path) as client:
            command = command_bytes("getfd", {"fdname": "x"})
            number = os.open("/dev/null", os.O_RDONLY)
            socket.send_fds(client.socket, [command[:9]], [number])
            os.close(number)
            await take_over()
            await blocking(client.send, command[9:])
            await blocking(client.receive)
            assert qemu.commands[-1] == "getfd"

    played(folder, scene)


def test_snapshot_command_that_ends_soon_is_waited_for(folder: Path) -> None:
    async def scene(path: Path, qemu: FakeQEMU, take_over: Callable[[], Any]) -> None:
        with await negotiated(path) as client, await negotiated(path, oob=True) as urgent:
            qemu.hold("snapshot-save", When.RECEIVED)
            saving = asyncio.create_task(blocking(client.hmp, "savevm t"))
            await qemu.reached("snapshot-save")
            begun: list[bool] = []
            with pytest.MonkeyPatch.context() as patch:
                begin = HoldingStill.begin

                def note(self: HoldingStill, *, spares_oob: bool) -> None:
                    begun.append(spares_oob)
                    begin(self, spares_oob=spares_oob)

                patch.setattr(HoldingStill, "begin", note)
                taking = asyncio.create_task(take_over())
                await until(lambda: begun == [True])
                await blocking(urgent.send, b'{"exec-oob": "query-yank", "id": 1}\n')
                assert (await blocking(urgent.receive))["id"] == 1
                qemu.release()
                assert await saving == ""
                await taking
            assert begun[:2] == [True, False]

    played(folder, scene)


def test_vm_whose_snapshot_command_runs_stays_until_that_is_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Meanwhile commands out of band are not held up."""
    monkeypatch.setattr(standstill, "_PLAN_S", 0.05)

    async def scene(path: Path, qemu: FakeQEMU, take_over: Callable[[], Any]) -> None:
        with await negotiated(path) as client, await negotiated(path, oob=True) as urgent:
            qemu.hold("snapshot-save", When.RECEIVED)
            saving = asyncio.create_task(blocking(client.hmp, "savevm t"))
            await qemu.reached("snapshot-save")
            taking = asyncio.create_task(take_over())
            await until(lambda: "stays with the old process for now: a snapshot command runs" in caplog.messages)
            await blocking(urgent.send, b'{"exec-oob": "query-yank", "id": 1}\n')
            assert (await blocking(urgent.receive))["id"] == 1
            assert not taking.done()
            qemu.release()
            assert await saving == ""
            await taking
            assert "the old process serves it for now: a snapshot command runs" in caplog.messages
            await blocking(urgent.send, b'{"exec-oob": "query-yank", "id": 2}\n')
            while (message := await blocking(urgent.receive)).get("id") != 2:
                assert "event" in message

    played(folder, scene)


def test_vm_that_does_not_become_quiet_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(standstill, "_QUIET_S", 0.02)

    async def scene(path: Path, qemu: FakeQEMU, take_over: Callable[[], Any]) -> None:
        with await negotiated(path) as client, await negotiated(path) as other:
            qemu.hold("query-name", When.RECEIVED)
            await blocking(client.send, NAME)
            await qemu.reached("query-name")
            taking = asyncio.create_task(take_over())
            await until(lambda: "stays with the old process for now: QEMU has not answered all commands" in caplog.messages)
            qemu.release()
            assert "return" in await blocking(client.receive)
            await taking
            assert "return" in await blocking(other.execute, "query-status")

    played(folder, scene)


def test_vm_stays_as_long_as_somebody_is_at_the_prompt(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(path: Path, qemu: FakeQEMU, take_over: Callable[[], Any]) -> None:
        with socket.socket(socket.AF_UNIX) as person:
            await blocking(person.connect, str(folder / "m"))
            taking = asyncio.create_task(take_over())
            await until(lambda: any(message.endswith("is at HMP's prompt") for message in caplog.messages))
        await taking

    played(folder, scene, f'hmp_listen = "unix:{folder}/m"')


def test_vm_whose_records_wait_for_a_stuck_disk_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(standstill, "_QUIET_S", 0.05)
    written = AuditWriter.written

    async def never(_: AuditWriter) -> None:
        await asyncio.Event().wait()

    async def scene(path: Path, qemu: FakeQEMU, take_over: Callable[[], Any]) -> None:
        monkeypatch.setattr(AuditWriter, "written", never)
        taking = asyncio.create_task(take_over())
        told = "stays with the old process for now: records wait for a disk that is stuck"
        await until(lambda: told in caplog.messages)
        monkeypatch.setattr(AuditWriter, "written", written)
        monkeypatch.setattr(standstill, "_QUIET_S", 1.0)
        await taking

    played(folder, scene, f'audit = "{folder}/log"')


def test_vm_whose_log_cannot_be_opened_is_not_settled_and_is_begun_by_the_new_process(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """There is nothing to hand over; it ends, where the new one can begin it."""

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            broken = table(qemu, folder / "a", 'audit = "/none/log"')
            async with Party(folder, broken) as old, Party(folder, table(qemu, folder / "a"), takes=True) as new:
                await until(lambda: "stays with the old process for now: it is not settled" in caplog.text)
                old.fleet.stop()
                await until(lambda: new.served() == ["a"])

    run(main)


def test_attached_vm_stays(folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    reasons: list[str | None] = ["it is attached to its QEMU (--attach)"]
    monkeypatch.setattr(standstill, "_why_never_by", lambda _: reasons.pop() if reasons else None)

    async def scene(path: Path, qemu: FakeQEMU, take_over: Callable[[], Any]) -> None:
        await take_over()
        assert "stays with the old process for now: it is attached to its QEMU (--attach)" in caplog.messages

    played(folder, scene)


def test_format_before_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an older program writes it."""
    monkeypatch.setattr(giving, "FORMAT", previous_format.FORMAT)
    monkeypatch.setattr(giving, "written", previous_format.written)

    async def main() -> None:
        async with in_use(folder) as (_, config, old, client), Party(folder, config, takes=True):
            await old.ended()
            assert "return" in await asyncio.to_thread(client.execute, "query-name")

    run(main)
