"""One connection to QEMU, with a relay only while somebody needs one."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest

from host.intents import IntentStore
from host.net.addresses import UnixAddress
from host.settings.config import VMConfig
from proxy.attending.attendance import Attendance
from proxy.fairness import visits
from proxy.net.ends import SocketEnd
from proxy.net.qmp_connection import Connected
from proxy.relaying.lasting import Lasting, Shared
from proxy.relaying.leaving import Leaving
from proxy.relaying.relay import Relay
from proxy.routing.turns import Turns
from shim.client import Client
from shim.plans.intent import Intent
from shim.plans.plan import Intend
from tests.support.processes.running_daemon import run, until
from tests.support.routing.pure_router import EVENT, a_monitor
from tests.support.routing.shared import a_shared

WHO: Final = Client(1, 2, "/bin/tool")
OURS: Final = Client(1, 2, "/bin/tool", is_proxy=True)
INTENT: Final = Intent("t", None, "d0", ("d0",), "hmpshim-x")


class Stage:
    """An attendance, and QEMU's end of the connection."""

    def __init__(self, ours: socket.socket, qemu: socket.socket, shared: Shared, intents: IntentStore) -> None:
        self.qemu = qemu
        self.lasting = Lasting(intents, "hmpshim-", lambda: "hmpshim-1", Turns(), shared, Leaving(shared.ledger), audit=None)
        self.connected = Connected(SocketEnd(ours, takes_descriptors=False), a_monitor())
        self.config = VMConfig(UnixAddress("/qmp"))
        self.attendance = Attendance.begin(self.connected, self.config, self.lasting)

    async def answer(self) -> None:
        """Answer what is asked, until nobody needs a relay any more."""
        while self.attendance.relay is not None:
            self.answer_once()
            await asyncio.sleep(0)

    def answer_once(self) -> None:
        with contextlib.suppress(BlockingIOError):
            asked = self.qemu.recv(1 << 16, socket.MSG_DONTWAIT).count(b"\n")
            self.qemu.sendall(b'{"return": []}\r\n' * asked)

    async def come(self, client: Client = WHO) -> socket.socket:
        """Have a client come, and return its end when it is greeted."""
        theirs, sock = socket.socketpair()
        assert self.attendance.add_client(SocketEnd(theirs), client, errors_in_qmp=False) is None
        assert b"QMP" in await asyncio.to_thread(sock.recv, 1 << 16)
        return sock


@asynccontextmanager
async def staged(*, shared: Shared | None = None, intent: Intent | None = None) -> AsyncIterator[Stage]:
    intents = IntentStore("unix:/qmp", None)
    if intent is not None:
        intents.note(Intend(intent))
    ours, qemu = socket.socketpair()
    with qemu:
        stage = Stage(ours, qemu, a_shared() if shared is None else shared, intents)
        yield stage
        stage.attendance.close()
        stage.attendance.close()


async def visited(stage: Stage) -> None:
    await until(lambda: stage.attendance.relay is not None)
    await stage.answer()


def test_relay_is_there_for_a_moment_only() -> None:
    async def main() -> None:
        async with staged() as stage:
            assert stage.attendance.relay is None
            await visited(stage)
            assert stage.lasting.standing.counters.connections == 1

    run(main)


def test_what_qemu_says_to_nobody_is_counted_and_forgotten() -> None:
    async def main() -> None:
        async with staged() as stage:
            await visited(stage)
            before = stage.lasting.standing.counters.from_qemu_bytes
            stage.qemu.sendall(EVENT * 3 + EVENT[:20])
            await until(lambda: stage.lasting.standing.counters.from_qemu_bytes == before + 3 * len(EVENT) + 20)
            assert stage.attendance.relay is None
            with await stage.come() as client:
                stage.qemu.sendall(EVENT[20:])
                client.sendall(b'{"execute": "qmp_capabilities"}')
                assert await asyncio.to_thread(client.recv, 1 << 16) == b'{"return": {}}\r\n'
                stage.qemu.sendall(EVENT)
                assert await asyncio.to_thread(client.recv, 1 << 16) == EVENT

    run(main)


def test_nothing_to_read_is_nothing() -> None:
    async def main() -> None:
        async with staged() as stage:
            await visited(stage)
            assert stage.attendance._resting is not None
            stage.attendance._resting._read()
            assert not stage.attendance.lost.is_set()

    run(main)


def test_vm_that_has_had_a_client_keeps_its_relay() -> None:
    async def main() -> None:
        async with staged() as stage:
            with await stage.come():
                relay = stage.attendance.relay
            assert relay is not None
            await until(lambda: not relay.clients.streams)
            for _ in range(100):
                stage.answer_once()
                await asyncio.sleep(0)
            assert stage.attendance.relay is relay
            assert stage.attendance.deserted.is_set()

    run(main)


def test_client_of_the_proxys_own_leaves_none_behind() -> None:
    async def main() -> None:
        async with staged() as stage:
            await visited(stage)
            with await stage.come(OURS):
                stage.answer_once()
                assert stage.attendance.relay is not None
            await stage.answer()
            assert not stage.attendance.deserted.is_set()

    run(main)


def test_savevm_that_was_cut_off_is_looked_after_at_once() -> None:
    async def main() -> None:
        async with staged(intent=INTENT) as stage:
            assert stage.attendance.relay is not None

    run(main)


@pytest.mark.parametrize("resets", [False, True])
def test_end_of_qemu_shows_without_a_relay(*, resets: bool) -> None:
    async def main() -> None:
        async with staged() as stage:
            await visited(stage)
            if resets:  # unix(7): a socket that is closed with something unread
                stage.connected.end.send(b"unread")
            stage.qemu.close()
            await until(stage.attendance.lost.is_set)
            assert stage.attendance.relay is None
            assert stage.attendance.deserted.is_set()

    run(main)


def test_what_is_no_event_is_looked_at_by_a_relay() -> None:
    async def main() -> None:
        async with staged() as stage:
            await visited(stage)
            stage.qemu.sendall(b"x" * 100_000)
            await until(lambda: stage.attendance.relay is not None)
            stage.qemu.sendall(b"\n")
            await until(stage.attendance.lost.is_set)

    run(main)


def test_change_without_a_relay_holds_for_the_next_one() -> None:
    async def main() -> None:
        async with staged() as stage:
            await visited(stage)
            stage.attendance.change(VMConfig(UnixAddress("/qmp"), max_clients=0), stage.lasting)
            theirs, sock = socket.socketpair()
            with sock:
                why_not = stage.attendance.add_client(SocketEnd(theirs), WHO, errors_in_qmp=False)
            assert "--max-clients" in str(why_not)

    run(main)


def test_relay_that_is_wanted_stays() -> None:
    async def main() -> None:
        async with staged() as stage:
            relay = stage.attendance.keep_awake()
            for _ in range(100):
                stage.answer_once()
                await asyncio.sleep(0)
            assert stage.attendance.relay is relay

    run(main)


def test_visit_comes_to_nothing_when_the_vm_has_gone() -> None:
    async def main() -> None:
        shared = a_shared()
        async with staged(shared=shared) as first:
            first.attendance.close()
            async with staged(shared=shared) as second:
                await visited(second)
            assert first.attendance.relay is None

    run(main)


def test_vms_are_visited_one_after_the_other_whoever_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        shared = a_shared()
        async with staged(shared=shared) as hangs, staged(shared=shared) as next_one, staged(shared=shared) as last:
            await until(lambda: hangs.attendance.relay is not None)
            assert next_one.attendance.relay is last.attendance.relay is None
            await visited(next_one)
            assert hangs.attendance.relay is not None
            await visited(last)

    monkeypatch.setattr(visits, "_LONGEST_S", 0.05)
    run(main)


def test_client_that_comes_ends_the_visit() -> None:
    async def main() -> None:
        shared = a_shared()
        async with staged(shared=shared) as hangs, staged(shared=shared) as next_one:
            await until(lambda: hangs.attendance.relay is not None)
            with await hangs.come():
                await visited(next_one)

    run(main)


def test_connection_that_nobody_has_begun_with_is_closed() -> None:
    async def main() -> None:
        async with staged() as stage:
            ours, qemu = socket.socketpair()
            with qemu:
                Attendance(Connected(SocketEnd(ours), a_monitor()), stage.config, stage.lasting).close()
                assert qemu.recv(1) == b""

    run(main)


def test_failure_of_ours_loses_the_connection(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(relay: Relay, *, recovers: bool) -> None:
        monkeypatch.undo()
        raise RuntimeError("a fault of ours")

    async def main() -> None:
        shared = a_shared()
        async with staged(shared=shared) as stage, staged(shared=shared) as other:
            monkeypatch.setattr(Relay, "start", fail)
            await until(stage.attendance.lost.is_set)
            await visited(other)
        monkeypatch.setattr(Relay, "start", fail)
        with pytest.raises(RuntimeError, match="a fault of ours"):
            async with staged(intent=INTENT):
                pass

    run(main)
    assert "cannot clean up" in caplog.text
