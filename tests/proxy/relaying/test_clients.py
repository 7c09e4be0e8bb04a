"""The limits of clients, each at it and one above, with real sockets; and what the log says of those that are disconnected."""

import asyncio
import os
import socket
from dataclasses import replace
from typing import Any, Final

import pytest

from host.net.addresses import UnixAddress
from host.settings.config import Origin, VMConfig
from proxy.fairness.ledger import Ledger
from proxy.net.ends import SocketEnd
from proxy.net.stream import Stream
from proxy.relaying.clients import Clients
from proxy.relaying.leaving import Leaving
from shim.client import Client
from tests.fakes.qemu import FakeQEMU
from tests.support.proxy.heard_stream import Heard
from tests.support.proxy.lone_relay import lone_relay
from tests.support.proxy.running_vm_proxy import RunningServer, connected, in_thread, played, until
from tests.support.raw_client import DEADLINE_S, ConnectionLostError, RawClient, command_bytes
from tests.support.routing.pure_router import GETFD, NAME, Desk

MIB: Final = 1024 * 1024
GREETING: Final = b'{"QMP"'


async def is_refused(path: str) -> bool:
    """Tell whether one more client finds its connection closed, without a byte."""

    def first_byte() -> bytes:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(DEADLINE_S)
            sock.connect(path)
            return sock.recv(1)

    return not await in_thread(first_byte)


async def admitted(path: str) -> RawClient:
    """Return one more client, as soon as there is room: that others have gone shows a little later."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            client = await in_thread(RawClient.connect, path)
            try:
                await in_thread(client.receive_message)
            except ConnectionLostError:
                client.close()
            else:
                return client


@pytest.mark.parametrize("option", ["--max-clients", "--max-user-clients"])
def test_one_client_too_many_is_refused(option: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as first, await connected(server.path):
            assert await is_refused(server.path)
            assert f"as many clients as {option} allows" in caplog.text
            assert await in_thread(first.hmp, "savevm t") == ""
            first.close()
            (await admitted(server.path)).close()

    played(scene, None, option, "2")


def test_clients_that_have_not_negotiated_are_counted_apart(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await admitted(server.path) as silent:
            assert await is_refused(server.path)
            assert "as --max-negotiating allows" in caplog.text
            silent.send(b'{"execute":"qmp_capabilities"}')
            await in_thread(silent.receive_message)
            (await admitted(server.path)).close()

    played(scene, None, "--max-negotiating", "1")


def test_client_that_does_not_negotiate_is_disconnected(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client, await in_thread(RawClient.connect, server.path) as silent:
            assert (await in_thread(silent.expect_eof)).startswith(GREETING)
            assert "it has not negotiated within 0.1 s (--negotiation-timeout)" in caplog.text
            assert await in_thread(client.hmp, "savevm t") == ""

    played(scene, None, "--negotiation-timeout", "0.1")


@pytest.mark.parametrize("more", [(), ("--negotiation-timeout", "0")])
def test_idle_client_is_disconnected_but_not_one_that_waits(more: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        qemu.hold("query-name")
        with await connected(server.path) as waiting:
            waiting.send(NAME)
            await qemu.reached("query-name")
            with await connected(server.path) as idle:
                await in_thread(idle.expect_eof)
            assert caplog.text.count("it has been idle for 0.2 s (--client-idle-timeout)") == 1
            qemu.release()
            assert b'"return"' in await in_thread(waiting.receive_message)
            await in_thread(waiting.expect_eof)

    played(scene, None, "--client-idle-timeout", "0.2", *(more or ("--negotiation-timeout", "0.1")))


@pytest.mark.parametrize(("count", "begun"), [(1, 1), (2, 2), (3, 2), (20, 2)])
def test_no_more_commands_of_a_client_are_under_way_than_may_be(count: int, begun: int) -> None:
    """Another client's command shows how many of them went before it."""

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        qemu.hold("query-name")
        with await connected(server.path) as client, await connected(server.path) as other:
            earlier = len(qemu.commands)
            client.send(NAME * count)
            await qemu.reached("query-name")
            other.send(command_bytes("query-uuid"))
            await qemu.wait_received("query-uuid")
            under_way = qemu.commands[earlier:]
            qemu.release()
            assert under_way == ["query-name"] * begun + ["query-uuid"]
            for _ in range(count):
                assert b'"return"' in await in_thread(client.receive_message)

    played(scene, None, "--client-commands", "2")


@pytest.mark.parametrize(("count", "goes"), [(2, False), (3, True)])
def test_descriptors_that_no_command_takes_are_counted(count: int, goes: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        null = os.open("/dev/null", os.O_RDONLY)
        try:
            with await connected(server.path) as client:
                socket.send_fds(client.socket, [GETFD[:9]], [null] * count)
                if goes:
                    assert await in_thread(client.expect_eof) == b""
                else:
                    client.send(GETFD[9:])
                    assert b"getfd has not been found" in await in_thread(client.receive_message)
        finally:
            os.close(null)
        assert ("it has sent more file descriptors than may wait" in caplog.text) is goes

    played(scene, None, "--client-descriptors", "2")


@pytest.mark.parametrize(("size", "is_taken"), [(MIB - 100, True), (MIB + 100, False)])
def test_command_that_is_too_long_gets_qemus_error(size: int, is_taken: bool) -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client:
            frame = len(command_bytes("query-name", {"x": ""}))
            await in_thread(client.send, command_bytes("query-name", {"x": "a" * (size - frame)}))
            reply = await in_thread(client.receive)
            assert ("JSON token size limit exceeded" in reply["error"]["desc"]) is not is_taken
            # What is left of it is read as a new value, and answered as QEMU answers that.
            client.send(b'"}}\n' + command_bytes("query-status", id="last"))
            while reply.get("id") != "last":
                reply = await in_thread(client.receive)

    played(scene, None, "--max-command-mib", "1")


def test_command_may_be_longer_than_what_may_be_unread() -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client:
            await in_thread(client.send, command_bytes("query-name", {"x": "a" * 3_500_000}))
            reply = await in_thread(client.receive)
            assert "is not allowed here" in reply["error"]["desc"]  # the fake QEMU would be long at it

    played(scene, None, "--client-buffer", "1", "--max-command-mib", "4", "--rule", "deny query-name")


def test_command_that_is_nested_too_deeply_gets_qemus_error() -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client:
            for depth, is_taken in ((8, True), (9, False)):
                client.send(b'{"execute":"query-name","arguments":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}")
                desc = (await in_thread(client.receive))["error"]["desc"]
                assert ("JSON nesting depth limit exceeded" in desc) is not is_taken

    played(scene, None, "--max-command-nesting", "8")


def test_those_that_have_most_go_where_all_have_too_much(caplog: pytest.LogCaptureFixture) -> None:
    def has_gone(client: RawClient) -> bool:
        client.socket.settimeout(DEADLINE_S)
        while data := client.socket.recv(MIB):
            if data.endswith(b'"last"}}\r\n'):
                return False
        return True

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with (
            await connected(server.path) as reader,
            await connected(server.path) as first,
            await connected(server.path) as second,
        ):
            for _ in range(48):
                await qemu.send_event("BIG", {"text": "x" * 32 * 1024})
                await in_thread(reader.read_until_event, "BIG")
            await qemu.send_event("BIG", {"text": "last"})
            assert sorted([await in_thread(has_gone, first), await in_thread(has_gone, second)]) == [False, True]
            assert await in_thread(reader.hmp, "savevm t") == ""
        assert caplog.text.count("what is queued for all clients is too much") == 1

    played(scene, None, "--client-buffer", "4", "--total-buffer", "2")


@pytest.mark.parametrize("key", ["max_clients", "max_user_clients"])
def test_limit_of_a_file_is_told_by_its_key(key: str) -> None:
    async def run() -> None:
        desk, ledger = Desk(), Ledger(MIB)
        limits: dict[str, Any] = {key: 0}
        config = VMConfig(UnixAddress("/qmp"), origin=Origin("/file", 0), **limits)
        clients = Clients(desk.dispatcher, config, ledger, Leaving(ledger), lambda: None)
        assert f" as {key} allows" in (clients.make_room(Client(1, 5)) or "")

    asyncio.run(run())


def test_each_limit_of_number_lets_so_many_in() -> None:
    async def run() -> None:
        desk = Desk()
        ends: list[socket.socket] = []
        rows: tuple[tuple[dict[str, Any], list[int | None], Client, str | None], ...] = (
            ({"max_clients": 2}, [5], Client(1, 5), None),
            ({"max_clients": 2}, [5, 6], Client(1, 5), "this VM has as many clients as --max-clients allows: 2"),
            ({"max_user_clients": 2}, [5, 6], Client(1, 5), None),
            ({"max_user_clients": 2}, [5, 5], Client(1, 5), "its user has as many clients as --max-user-clients allows: 2"),
            ({"max_user_clients": 2}, [None, None], Client(address="10.0.0.1"), None),
            (
                {"max_user_clients": 2},
                [None, None],
                Client(),
                "its listener has as many clients as --max-user-clients allows: 2",
            ),
            ({"max_clients": 2, "max_user_clients": 2, "max_negotiating": 1}, [5, 5], Client(1, 5, is_proxy=True), None),
            ({"max_negotiating": 3}, [5, 5], Client(1, 5), None),
            (
                {"max_negotiating": 2},
                [5, 5],
                Client(1, 5),
                "as many clients as --max-negotiating allows have not negotiated: 2",
            ),
        )
        for limits, others, client, reason in rows:
            config = replace(VMConfig(UnixAddress("/qmp"), negotiation_timeout_s=0), **limits)
            ledger = Ledger(MIB)
            clients = Clients(desk.dispatcher, config, ledger, Leaving(ledger), lambda: None)
            for uid in others:
                ours, theirs = socket.socketpair()
                ends.append(theirs)
                stream = Stream(SocketEnd(ours), on_data=print, on_eof=print, on_drained=print, on_failure=print)
                clients.add(desk.dispatcher.add_session(Client(None, uid)), stream)
            told = clients.make_room(client)
            assert told is None if reason is None else told is not None and told.startswith(reason), (limits, others)
            clients.close()
        for end in ends:
            end.close()

    asyncio.run(run())


USER_5: Final = Client(1, 5)
USER_6: Final = Client(2, 6)
ON_HOST: Final = Client(address="tcp:10.0.0.1:1000")
ON_HOST_TOO: Final = Client(address="tcp:10.0.0.1:1001")
ELSEWHERE: Final = Client(address="tcp:10.0.0.2:1000")
CERTIFIED: Final = Client(address="tcp:10.0.0.1:1002", certificate="a")
ITSELF: Final = Client(3, 5, is_proxy=True)


@pytest.mark.parametrize(
    ("there", "comes", "expected"),
    [
        ([USER_6, USER_5, USER_5], USER_6, 1),
        ([USER_5, USER_5, USER_6], USER_5, "as many clients as --max-negotiating allows have not negotiated: 3"),
        ([USER_5, USER_5, USER_5], ON_HOST, 0),
        ([USER_6, ON_HOST, ON_HOST_TOO], USER_5, 1),
        ([ON_HOST, ON_HOST_TOO, CERTIFIED], CERTIFIED, 0),
        ([CERTIFIED, CERTIFIED, ON_HOST], ELSEWHERE, 0),
        ([USER_5, USER_6, ON_HOST], ELSEWHERE, 0),
        ([USER_5, ITSELF, ITSELF], USER_5, None),
        ([ON_HOST, ON_HOST_TOO, ON_HOST], ITSELF, None),
    ],
)
def test_one_that_has_not_negotiated_gives_way_to_others(
    there: list[Client], comes: Client, expected: int | str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """expected: which of them goes, or why the newcomer is refused."""

    async def run() -> None:
        desk = Desk()
        config = replace(VMConfig(UnixAddress("/qmp"), negotiation_timeout_s=0), max_negotiating=3)
        ledger = Ledger(MIB)
        clients = Clients(desk.dispatcher, config, ledger, Leaving(ledger), lambda: None)
        pairs = [socket.socketpair() for _ in there]
        for client, (ours, _) in zip(there, pairs, strict=True):
            clients.add(desk.dispatcher.add_session(client), Heard().stream(SocketEnd(ours)))
        sessions = list(clients.streams)
        told = clients.make_room(comes)
        gone = [number for number, session in enumerate(sessions) if session not in clients.streams]
        clients.close()
        for _, theirs in pairs:
            theirs.close()
        if isinstance(expected, str):
            assert told is not None
            assert told.startswith(expected)
        else:
            assert told is None
        assert gone == ([expected] if isinstance(expected, int) else [])
        reason = "it has not negotiated, and too many others have come since (--max-negotiating)"
        assert [reason in message for message in caplog.messages] == [True] * len(gone)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("there", "comes", "reason"),
    [
        ([ON_HOST, ON_HOST_TOO], ON_HOST, "its host has as many clients as --max-user-clients allows: 2"),
        ([ON_HOST, ON_HOST_TOO], ELSEWHERE, None),
        ([ON_HOST, ON_HOST_TOO], CERTIFIED, None),
        ([CERTIFIED, CERTIFIED], CERTIFIED, "its certificate has as many clients as --max-user-clients allows: 2"),
    ],
)
def test_on_the_network_a_certificate_or_a_host_is_a_user(there: list[Client], comes: Client, reason: str | None) -> None:
    async def run() -> None:
        desk = Desk()
        ledger = Ledger(MIB)
        config = VMConfig(UnixAddress("/qmp"), negotiation_timeout_s=0, max_user_clients=2)
        clients = Clients(desk.dispatcher, config, ledger, Leaving(ledger), lambda: None)
        pairs = [socket.socketpair() for _ in there]
        for client, (ours, _) in zip(there, pairs, strict=True):
            clients.add(desk.dispatcher.add_session(client), Heard().stream(SocketEnd(ours)))
        assert clients.make_room(comes) == reason
        clients.close()
        for _, theirs in pairs:
            theirs.close()

    asyncio.run(run())


def test_proxy_itself_has_no_time_limits(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        desk = Desk()
        ledger = Ledger(MIB)
        config = VMConfig(UnixAddress("/qmp"), negotiation_timeout_s=0.001, client_idle_timeout_s=0.001)
        clients = Clients(desk.dispatcher, config, ledger, Leaving(ledger), lambda: None)
        for client in (ITSELF, USER_5):
            ours, theirs = socket.socketpair()
            with theirs:
                clients.add(desk.dispatcher.add_session(client), Heard().stream(SocketEnd(ours)))
        await until(lambda: caplog.messages)
        assert [session.client for session in clients.streams] == [ITSELF]
        clients.close()

    asyncio.run(run())


def test_changed_limits_of_commands_hold_for_who_is_connected() -> None:
    async def main() -> None:
        ours, qemu = socket.socketpair()
        theirs, peer = socket.socketpair()
        with qemu, peer:
            relay = lone_relay(ours)
            relay.start()
            relay.add_client(SocketEnd(theirs), Client(1, 2, "/bin/tool"))
            (session,) = relay.clients.streams
            config = VMConfig(UnixAddress("/qmp"), client_commands=2, max_command_bytes=1000, max_command_nesting=5)
            relay.change(config, None)
            assert session.window.size == 2
            assert session.inbox.most_command_bytes == VMConfig(UnixAddress("/qmp")).max_command_bytes
            session.inbox.receive_data(b"{}")
            assert session.inbox.most_command_bytes == 1000
            relay.close()

    asyncio.run(main())


def test_client_that_sends_on_while_it_waits_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    """Not while it is what a command may have that has begun."""
    command = b'{"a": "%s"}' % (b"x" * (MIB - 20))

    async def main() -> None:
        ours, qemu = socket.socketpair()
        theirs, peer = socket.socketpair()
        with qemu, peer:
            relay = lone_relay(ours)
            relay.start()
            relay.add_client(SocketEnd(theirs), Client(1, 2, "/bin/tool"))
            (session,) = relay.clients.streams
            session.wait()
            session.inbox.receive_data(command * 15)
            relay.change(VMConfig(UnixAddress("/qmp"), client_buffer_bytes=MIB, max_command_bytes=MIB), None)
            assert relay.clients.check(session)
            session.inbox.receive_data(command * 4)
            assert not relay.clients.check(session)
            relay.close()

    asyncio.run(main())
    assert "it does not read, and sends more (--client-buffer)" in caplog.text
