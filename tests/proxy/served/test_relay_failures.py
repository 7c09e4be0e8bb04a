"""What a relay does where something of ours fails, or a client does not read, or the proxy ends."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import pytest

from host.audit_log.log import AuditLog
from proxy.net.ends import SocketEnd
from proxy.relaying import last_reading
from proxy.relaying.relay import Relay
from proxy.routing.abandonment import LEFT_UNANSWERED, STOPPED
from proxy.routing.dispatcher import Dispatcher
from proxy.routing.router import Router
from shim.client import Client
from shim.records.audit import AuditRecord
from tests.fakes.qemu import FakeQEMU
from tests.support.proxy.lone_relay import lone_relay
from tests.support.proxy.running_vm_proxy import RunningServer, connected, exists, in_thread, played, talk, until
from tests.support.raw_client import DEADLINE_S
from tests.support.routing.pure_router import NAME, failure, hmp

MIB: Final = 1024 * 1024


class OurFailure(Exception):
    """Something that no code expects."""


def failing_once(whole: Callable[..., Any], fails: Callable[..., bool]) -> Callable[..., Any]:
    """Return what raises at the first call for which `fails` holds, and else does as `whole`."""
    failed: list[bool] = []

    def call(*arguments: Any, **named: Any) -> Any:
        if not failed and fails(*arguments):
            failed.append(True)
            raise OurFailure
        return whole(*arguments, **named)

    return call


def test_client_in_whose_service_we_fail_is_told_and_others_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = Dispatcher.receive_from_client
    failing = failing_once(whole, lambda _dispatcher, _session, data, *_: b"boom" in data)
    monkeypatch.setattr(Dispatcher, "receive_from_client", failing)

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client, await connected(server.path) as other:
            client.send(b'{"execute":"boom"}')
            assert b"hmpshim has failed, and ends this connection" in await in_thread(client.expect_eof)
            assert await in_thread(other.hmp, "savevm t") == ""
        assert "OurFailure" in caplog.text

    played(scene)


def test_client_in_whose_later_turn_we_fail_is_told_and_others_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Dispatcher, "work_off", failing_once(Dispatcher.work_off, lambda *_: True))

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client, await connected(server.path) as other:
            client.send(b"[" + b",".join([b"[]"] * 30_000) + b"]")
            assert b"hmpshim has failed, and ends this connection" in await in_thread(client.expect_eof)
            assert await in_thread(other.hmp, "savevm t") == ""
        assert "OurFailure" in caplog.text

    played(scene)


def test_connection_of_whose_replies_nothing_is_known_any_more_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = Router.receive_from_qemu
    monkeypatch.setattr(Router, "receive_from_qemu", failing_once(whole, lambda _router, data: b"SPOILS" in data))

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client:
            await qemu.send_event("SPOILS")
            assert await in_thread(client.expect_eof) == b""
        assert "the connection to QEMU is given up after a failure of hmpshim's own" in caplog.text
        with await connected(server.path) as client:
            assert await in_thread(client.hmp, "savevm t") == ""

    played(scene)


def test_record_that_cannot_be_written_for_an_unknown_reason_costs_nobody_the_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(AuditLog, "write", failing_once(AuditLog.write, lambda *_: True))

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client:
            assert await in_thread(client.hmp, "savevm a") == ""
            assert await in_thread(client.hmp, "savevm b") == ""
        assert server.actions() == [("savevm b", "rewritten")]
        assert caplog.text.count("a record is lost") == 1

    played(scene)


def test_command_that_cannot_be_put_on_record_first_is_not_run(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client:
            told = await in_thread(client.hmp, "savevm t")
            assert told.startswith("Error: cannot write the audit log /dev/full")
            assert "the command was not run" in told
        assert qemu.vm.graph["d0"].count("t") == 0
        assert "commands are refused until it can be written again" in caplog.text

    played(scene, None, "--audit-failure", "refuse", audit="/dev/full")


def test_client_with_oob_that_sends_no_more_is_dropped_as_qemu_drops_it() -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        qemu.hold("query-name")
        with await connected(server.path, oob=True) as client:
            client.send(b'{"execute":"query-name","id":1}')
            await qemu.reached("query-name")
            client.half_close()
            assert await in_thread(client.expect_eof) == b""
            qemu.release()
        # The reply that was still due comes first, and goes nowhere.
        assert await talk(server.path, lambda other: other.hmp("savevm t")) == ""

    played(scene)


def test_client_that_asks_on_without_reading_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    """Each reply comes alone, and goes the short way."""

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client:
            asked = 0

            def is_answered_or_cut() -> bool:
                return qemu.received.count({"execute": "query-commands"}) > asked or "disconnected " in caplog.text

            while "it does not read" not in caplog.text:
                asked = qemu.received.count({"execute": "query-commands"})
                client.send(b'{"execute":"query-commands"}\n')
                await until(is_answered_or_cut)
            assert 0 < len(await in_thread(client.expect_eof)) < 2 * MIB

    played(scene, None, "--client-buffer", "1")


def test_proxy_that_ends_waits_for_the_reply_to_a_forwarded_command() -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        qemu.hold("query-name")
        with await connected(server.path) as client:
            client.send(NAME)
            await qemu.reached("query-name")
            stopping = asyncio.create_task(server.stop())
            await until(lambda: not exists(server.path))
            qemu.release()
            assert b'"return"' in await in_thread(client.expect_eof)
            await stopping

    played(scene)


@pytest.mark.parametrize("reads", [True, False])
def test_proxy_that_ends_waits_a_little_for_a_client_to_read(reads: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Natively QEMU would stay, and its client read on."""
    if not reads:
        monkeypatch.setattr(last_reading, "LAST_READ_S", 0)

    async def run() -> None:
        async with one_client() as (relay, qemu, peer):
            peer.sendall(NAME)
            while NAME not in await in_thread(qemu.recv, MIB):
                pass
            qemu.sendall(b'{"return": []}\r\n')  # there are no jobs, which the relay asks at its start
            answer = b'{"return": {"name": "%s"}}\r\n' % (b"x" * 800_000)
            await in_thread(qemu.sendall, answer)
            while b"query-block" not in await in_thread(qemu.recv, MIB):
                pass
            await in_thread(qemu.sendall, failure() * 4)  # nor can it look for what was left behind
            await until(lambda: relay._dispatcher.owes_nothing)
            relay.stop()
            if reads:
                assert not relay.finished.is_set()
                read = b""
                while len(read) < len(answer):
                    read += await in_thread(peer.recv, MIB)
            await relay.finished.wait()

    asyncio.run(run())


def test_commands_that_wait_are_on_record_when_all_ends_at_once() -> None:
    """As where a second signal comes with the first."""

    async def run() -> None:
        records: list[AuditRecord] = []
        async with one_client() as (relay, qemu, peer):
            relay._scribe.write_records = lambda outbox: records.extend(outbox.records_to_write()[0])  # type: ignore[method-assign]
            peer.sendall(hmp("savevm one"))
            await in_thread(qemu.recv, MIB)
            end, second = socket.socketpair()
            with second:
                relay.add_client(SocketEnd(end), Client())
                second.sendall(b'{"execute":"qmp_capabilities"}' + hmp("savevm two"))
                await until(lambda: relay._dispatcher.waiting)
                relay.close()
        told = {record.command_line: record.reason for record in records}
        assert told == {"savevm one": LEFT_UNANSWERED, "savevm two": STOPPED}

    asyncio.run(run())


def test_command_that_is_on_record_first_is_run() -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client:
            assert await in_thread(client.hmp, "savevm t") == ""
        assert server.actions() == [("savevm t", "begun"), ("savevm t", "rewritten")]

    played(scene, None, "--audit-failure", "refuse")


@contextlib.asynccontextmanager
async def one_client() -> AsyncIterator[tuple[Relay, socket.socket, socket.socket]]:
    """Yield a relay with one client in command mode, and the other ends of its sockets: QEMU's and the client's."""
    (ours, qemu), (end, peer) = socket.socketpair(), socket.socketpair()
    with qemu, peer:
        relay = lone_relay(ours)
        relay.start()
        relay.add_client(SocketEnd(end), Client())
        await in_thread(peer.recv, MIB)
        peer.sendall(b'{"execute":"qmp_capabilities"}')
        await in_thread(peer.recv, MIB)
        qemu.settimeout(DEADLINE_S)
        try:
            yield relay, qemu, peer
        finally:
            relay.close()


def test_flood_of_plain_commands_waits_in_the_kernel_while_qemu_does_not_answer() -> None:
    """QEMU gets the first ones, and the others as it answers."""

    async def run() -> None:
        async with one_client() as (_, qemu, peer):
            peer.setblocking(False)
            written = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    written += peer.send(NAME * 40)
                    await asyncio.sleep(0)
            count, answered = written // len(NAME), 0
            read = await in_thread(qemu.recv, MIB)
            assert read.count(b"query-name") < count // 10
            while read.count(b"query-name") < count:
                due = read.count(b"\n") - answered  # the relay asks for what an earlier one left, too
                qemu.sendall(b'{"return": []}\r\n' * due)
                answered += due
                read += await in_thread(qemu.recv, MIB)

    asyncio.run(run())


def test_client_is_read_no_more_once_the_proxy_ends() -> None:
    """Not even when QEMU has taken what waited for it, for which clients are let go on otherwise."""

    async def run() -> None:
        async with one_client() as (relay, qemu, peer):
            relay._upstream.write(b"x" * 4 * MIB)  # more than the kernel takes
            relay.stop()
            peer.sendall(NAME)
            read = b""
            while read.count(b"x" * MIB) < 4:
                read += await in_thread(qemu.recv, MIB)
            await until(lambda: not relay._upstream.unsent_bytes)
            assert b"query-name" not in read

    asyncio.run(run())
