"""The new process: what it claims, what it begins anew, and what it does where the old one goes, or will not have it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from host.audit_log.losses import LossesByLog
from host.configuration.config_file import load_config_file
from host.net.addresses import UnixAddress
from proxy.errors import HandOverError
from proxy.fleet.wish import Wish, by_key
from proxy.handover import format as handover_format
from proxy.handover import taking
from proxy.handover.channel import Channel
from proxy.handover.meeting import MeetingPoint
from proxy.handover.settings import settings_of
from proxy.handover.taking import take_from
from shim.version import VERSION
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import hmp, run, table, until
from tests.support.processes.two_processes import Party, in_use
from tests.support.raw_client import RawClient

HANDS_OVER: Final = "it is hmpshim 9.9, which hands over in format"
STRANGER: Final = "what answers there is not hmp-proxy's --replaceable socket"
HELLO: Final = {"format": handover_format.FORMAT, "version": "9.9", "vms": {}}


@contextlib.asynccontextmanager
async def played(folder: Path, play: Callable[[Channel], Awaitable[None]]) -> AsyncIterator[None]:
    """Play the old process, to whoever comes first."""
    tasks: list[asyncio.Task[None]] = []

    async def meet(channel: Channel) -> None:
        try:
            await channel.receive()
            await play(channel)
        finally:
            channel.close()

    point = MeetingPoint(str(folder / "meet"), lambda channel, _: tasks.append(asyncio.create_task(meet(channel))))
    point.start()
    try:
        yield
    finally:
        point.close()
        for task in tasks:
            await task


@pytest.mark.parametrize(
    ("hello", "reason"),
    [
        (
            HELLO | {"format": handover_format.FORMAT + 1},
            f"{HANDS_OVER} 3, and this is {VERSION}, which reads 1 and 2; install that version or a newer one",
        ),
        (HELLO | {"format": 0}, f"{HANDS_OVER} 0, and this is {VERSION}, which reads 1 and 2; stop it, and start this one"),
        ({"refused": "not now"}, "not now"),
        ({"vms": {}}, f"{STRANGER}; name the path that it was started with"),
        ({"done": True}, "it is ending; start this one without --replace when it has ended"),
    ],
)
def test_process_that_cannot_be_replaced_is_told_of(folder: Path, hello: dict[str, Any], reason: str) -> None:
    async def main() -> None:
        async with played(folder, lambda channel: channel.send(hello)):
            with pytest.raises(HandOverError) as caught:
                await take_from(str(folder / "meet"), LossesByLog())
        assert str(caught.value) == f"cannot replace the proxy at {folder}/meet: {reason}"

    run(main)


@contextlib.asynccontextmanager
async def stranger(path: Path, said: bytes, *, hears: bool, stays: bool) -> AsyncIterator[None]:
    """Another program that listens there. hears: it reads what it is told. stays: it does not hang up."""
    gone = asyncio.Event()
    tasks: list[asyncio.Task[Any] | None] = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        writer.write(said)
        if hears:
            await reader.read(1)
        if stays:
            await gone.wait()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_unix_server(meet, str(path))
    try:
        yield
    finally:
        gone.set()
        for task in filter(None, tasks):
            await task
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("said", "hears", "stays", "reason"),
    [
        (b'{"QMP": {"version": {}, "capabilities": []}}\r\n', False, True, f"{STRANGER}; name the path"),
        (b'{"error": "this is not a request"}\n', True, False, f"{STRANGER}; name the path"),
        (b"\0\0\0\5\0\0\0\0hello", True, False, f"{STRANGER}; name the path"),
        (b"\0\0\1\0\0\0\0\0" + b"[" * 256, True, False, f"{STRANGER}; name the path"),
        (b"", True, False, f"it has hung up: {STRANGER}, or that process is ending"),
        (b"", False, False, f"it has hung up: {STRANGER}, or that process is ending"),
        (b"", False, True, f"it has not answered within 0.05 s: {STRANGER}, or that process hangs"),
    ],
)
def test_another_program_is_told_of(
    folder: Path, said: bytes, hears: bool, stays: bool, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stays and not said:
        monkeypatch.setattr(taking, "_HELLO_S", 0.05)

    async def main() -> None:
        async with stranger(folder / "meet", said, hears=hears, stays=stays):
            with pytest.raises(HandOverError) as caught:
                await take_from(str(folder / "meet"), LossesByLog())
        assert caught.value.reason.startswith(reason)

    run(main)


def test_other_troubles_are_told_of_as_they_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: Channel) -> None:
        raise OSError("too few files may be open; raise ulimit -n")

    async def main() -> None:
        async with played(folder, lambda channel: channel.send(HELLO)):
            monkeypatch.setattr(Channel, "receive", fail)
            with pytest.raises(HandOverError, match=r": too few files may be open; raise ulimit -n$"):
                await take_from(str(folder / "meet"), LossesByLog())
            monkeypatch.undo()

    run(main)


@pytest.mark.parametrize("says", ["nothing", "done", "nonsense"])
def test_vms_of_a_process_that_goes_are_begun_anew(folder: Path, says: str, caplog: pytest.LogCaptureFixture) -> None:
    """However it goes. It had a second VM, which is not wanted any more."""

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            config = table(qemu, folder / "a")
            (folder / "f").write_text(config)
            (vm,) = load_config_file(str(folder / "f"))

            async def go(channel: Channel) -> None:
                await channel.send(HELLO | {"vms": {"a": settings_of(vm), "b": {}}})
                assert await channel.receive() == ({"want": "a"}, [])
                await channel.send({"vm": "a", "stays": "not yet"})
                # Not before: this process might still have failed.
                assert await channel.receive() == ({"end": "b"}, [])
                if says == "nonsense":
                    await channel.send({"vm": "c"})
                elif says == "done":
                    await channel.send({"done": True})

            async with played(folder, go), Party(folder, config, takes=True) as new:
                await until(lambda: new.served() == ["a"])
                assert await hmp(folder / "a", "savevm t") == [""]

    run(main)
    assert ("the old process has gone" in caplog.text) is (says != "done")


def test_vm_that_cannot_be_read_stays_where_it_is(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            config = table(qemu, folder / "a")
            (folder / "f").write_text(config)
            (vm,) = load_config_file(str(folder / "f"))
            answers = []

            async def offer(channel: Channel) -> None:
                await channel.send(HELLO | {"vms": {"a": settings_of(vm)}})
                await channel.receive()
                await channel.send({"vm": "a", "attempt": 7, "is": {"front": None}}, [0])
                answers.append((await channel.receive())[0])
                await channel.send({"vm": "a", "attempt": 7, "keeps": True})

            async with played(folder, offer), Party(folder, config, takes=True) as new:
                await until(lambda: new.served() == ["a"])
            (answer,) = answers
            assert answer["answer"] == 7
            assert answer["why_not"].startswith("what was handed over of it cannot be read: KeyError")

    run(main)


def test_new_vms_begin_and_others_end_or_begin_anew(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            names = ("same", "changed", "gone", "new")
            qemus = {name: await stack.enter_async_context(FakeQEMU(two_disks())) for name in names}
            same, changed, gone, new_table = (table(qemus[name], folder / name) for name in names)
            other = f'[[vm]]\nname = "changed"\nupstream = "unix:{qemus["changed"].path}"\nlisten = "unix:{folder}/other"\n'
            old = await stack.enter_async_context(Party(folder, same, changed, gone))
            clients = {}
            for name in ("same", "changed", "gone"):
                clients[name] = stack.enter_context(await asyncio.to_thread(RawClient.connect, folder / name))
                await asyncio.to_thread(clients[name].negotiate)
            new = await stack.enter_async_context(Party(folder, same, other, new_table, takes=True))
            await old.ended()
            await until(lambda: new.served() == ["changed", "new", "same"])
            assert "return" in await asyncio.to_thread(clients["same"].execute, "query-name")
            for name in ("changed", "gone"):
                assert await asyncio.to_thread(clients[name].expect_eof) == b""
            assert [(folder / name).exists() for name in ("same", "other", "new", "changed", "gone")] == [True] * 3 + [
                False
            ] * 2

    run(main)
    assert "begins anew, as these settings have changed: listen" in caplog.messages


def test_policy_and_limits_are_those_of_the_new_process(folder: Path) -> None:
    """And what the old policy has left out is remembered, so that a disk that it loses is told of."""

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            strict = table(qemu, folder / "a", 'exclude = "d1"', f'audit = "{folder}/log"')
            async with Party(folder, strict) as old:
                with await asyncio.to_thread(RawClient.connect, folder / "a") as client:
                    await asyncio.to_thread(client.negotiate)
                    assert await asyncio.to_thread(client.hmp, "savevm t") == ""
                    async with Party(folder, strict + 'mode = "enforce"\n', takes=True) as new:
                        await old.ended()
                        assert (await asyncio.to_thread(client.hmp, "nosuch")).startswith(
                            "Error: HMP command 'nosuch' is not allowed"
                        )
                        (vm,) = new.fleet.by_key.values()
                        assert set(vm.config.policy.exclusions.remembered().values()) == {"d1"}

    run(main)


def test_settings_that_change_while_the_vm_is_waited_for(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The old process has been asked to hand it over, and is asked to end it now. An offer that was under way is refused."""

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            (folder / "f").write_text(table(qemu, folder / "a"))
            (before,) = load_config_file(str(folder / "f"))
            after = replace(before, listen=(UnixAddress(f"{folder}/b"),))
            told = []

            async def play(channel: Channel) -> None:
                await channel.send(HELLO | {"vms": {"a": settings_of(before)}})
                assert await channel.receive() == ({"want": "a"}, [])
                await channel.send({"vm": "a", "stays": "not yet"})
                assert await channel.receive() == ({"end": "a"}, [])
                await channel.send({"vm": "a", "attempt": 1, "is": {}}, [0])
                told.append((await channel.receive())[0])
                await channel.send({"vm": "a", "ended": True})

            async with played(folder, play), Party(folder, table(qemu, folder / "a"), takes=True) as new:
                assert await new.fleet.want(Wish(by_key([after], new.fleet.wanted, forgives=True))) == []
                await until(lambda: new.served() == ["a"])
                assert (folder / "b").exists()
            assert told == [{"answer": 1, "why_not": "its settings have changed"}]

    run(main)


def test_vm_whose_log_cannot_be_opened_stays_where_it_is_until_it_can(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its disk may have been stuck before, when a mistake would have ended the process."""

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            _, config, old, client = await stack.enter_async_context(in_use(folder))
            wrong = config + f'audit = "{folder}/none/log"\n'
            new = await stack.enter_async_context(Party(folder, wrong, takes=True))
            why = f"cannot write the audit log {folder}/none/log: No such file or directory"
            assert f"{why}; the old process goes on with it meanwhile, and this one tries again" in caplog.messages
            assert "return" in await asyncio.to_thread(client.execute, "query-name")
            assert old.served() == ["a"]
            (folder / "none").mkdir()
            await old.ended()
            await until(lambda: new.served() == ["a"])
            assert await asyncio.to_thread(client.hmp, "savevm t") == ""

    run(main)
