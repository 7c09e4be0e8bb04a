"""A QMP client for what comes before, or instead of, serving clients: played with bytes, and on the modelled QEMU."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Final, NoReturn, TypeVar

import pytest

from host.net.connecting import USE_QMP
from proxy.errors import HungUpError, NotQMPError
from proxy.net import qmp_connection
from proxy.net.qmp_connection import ANSWER_TIMEOUT_S, QMPConnection, shared_commands
from proxy.sessions.monitor import Monitor
from shim.qmp import ErrorReply, Execute, QEMUVersion, Reply, ReturnReply
from tests.fakes.qemu import Drop, FakeQEMU, Faults, When, two_disks

Result = TypeVar("Result")
GREETING: Final = (
    b'{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}\r\n'
)
# To what `negotiate` asks, with the ids that `connection` gives.
NEGOTIATED: Final = (
    b'{"return": {}, "id": "id-1"}\r\n'
    b'{"return": [{"name": "query-status"}, {"name": "stop"}], "id": "id-2"}\r\n'
    b'{"return": {"name": "guest"}, "id": "id-3"}\r\n'
)


@contextmanager
def connection(
    *said: bytes, ends: bool = False, answer_timeout_s: float = ANSWER_TIMEOUT_S
) -> Iterator[tuple[QMPConnection, socket.socket]]:
    """Return a connection with somebody who has said all this already, and the other end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    numbers = count(1)
    with theirs:
        theirs.sendall(b"".join(said))
        if ends:
            theirs.shutdown(socket.SHUT_WR)
        talk = QMPConnection(ours, "unix:/q", lambda: f"id-{next(numbers)}", answer_timeout_s=answer_timeout_s)
        try:
            yield talk, theirs
        finally:
            talk.close()


async def on_qemu(
    qemu: FakeQEMU, use: Callable[[QMPConnection], Awaitable[Result]], ids: Iterator[int] | None = None
) -> Result:
    """Talk to the modelled QEMU. ids: so that two connections with one QEMU have different ones."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, qemu.path)
    numbers = ids or count(1)
    talk = QMPConnection(sock, "unix:/q", lambda: f"id-{next(numbers)}")
    try:
        return await use(talk)
    finally:
        talk.close()


async def negotiated(talk: QMPConnection) -> Monitor:
    await talk.negotiate(None, "unix:/q")
    return talk.monitor


# -- what is learnt -------------------------------------------------------------------------------------------------------


def test_negotiation_tells_what_the_monitor_is() -> None:
    with connection(GREETING, NEGOTIATED) as (talk, theirs):
        asyncio.run(talk.negotiate(None, "unix:/q"))
        commands = frozenset({"query-status", "stop"})
        assert talk.monitor == Monitor(GREETING, True, QEMUVersion(7, 2, 22), commands, "guest")
        assert theirs.recv(4096) == (
            b'{"execute":"qmp_capabilities","arguments":{"enable":["oob"]},"id":"id-1"}\n'
            b'{"execute":"query-commands","id":"id-2"}\n'
            b'{"execute":"query-name","id":"id-3"}\n'
        )


@pytest.mark.parametrize(
    ("name", "answer", "vm"),
    [
        ("own", b'{"return": {"name": "guest"}, "id": "id-3"}\n', "own"),
        (None, b'{"return": {"name": "guest"}, "id": "id-3"}\n', "guest"),
        (None, b'{"return": {}, "id": "id-3"}\n', "unix:/q"),
        (None, b'{"id": "id-3", "error": {"class": "GenericError", "desc": "no"}}\n', "unix:/q"),
    ],
)
def test_name_of_the_vm(name: str | None, answer: bytes, vm: str) -> None:
    with connection(GREETING, *NEGOTIATED.splitlines(keepends=True)[:2], answer) as (talk, _):
        asyncio.run(talk.negotiate(name, "unix:/q"))
        assert talk.monitor.vm == vm


@pytest.mark.parametrize("pretty", [False, True], ids=["lines", "pretty"])
@pytest.mark.parametrize("piece_bytes", [None, 1])
def test_negotiation_with_a_model_of_qemu(pretty: bool, piece_bytes: int | None) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks(), pretty=pretty, faults=Faults(piece_bytes=piece_bytes)) as qemu:
            monitor = await on_qemu(qemu, negotiated)
            assert (monitor.version, monitor.offers_oob, monitor.vm) == (QEMUVersion(7, 2, 22), True, "unix:/q")
            assert {"snapshot-save", "query-jobs"} <= monitor.commands
            assert qemu.received[0]["arguments"] == {"enable": ["oob"]}

    asyncio.run(main())


def test_nothing_is_enabled_that_is_not_offered() -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks(), capabilities=()) as qemu:
            monitor = await on_qemu(qemu, negotiated)
            assert not monitor.offers_oob
            assert "enable" not in qemu.received[0].get("arguments", {})

    asyncio.run(main())


def test_monitor_is_not_known_before_the_negotiation() -> None:
    with connection() as (talk, _), pytest.raises(RuntimeError, match="negotiate first"):
        _ = talk.monitor


# -- commands -------------------------------------------------------------------------------------------------------------


def test_commands_go_in_one_go_and_have_their_replies_in_order() -> None:
    async def ask(talk: QMPConnection) -> list[Reply]:
        await talk.negotiate(None, "unix:/q")
        return await talk.execute([Execute("query-status"), Execute("nosuch"), Execute("query-jobs")])

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            status, error, jobs = await on_qemu(qemu, ask)
            assert isinstance(status, ReturnReply)
            assert status.value["status"] == "running"
            assert error == ErrorReply("CommandNotFound", "The command nosuch has not been found")
            assert jobs == ReturnReply([])

    asyncio.run(main())


def test_events_between_replies_are_dropped() -> None:
    event = b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}\r\n'
    said = [event + line for line in NEGOTIATED.splitlines(keepends=True)]
    with connection(GREETING, *said) as (talk, _):
        asyncio.run(talk.negotiate(None, "unix:/q"))
        assert talk.monitor.vm == "guest"


def test_reply_owed_to_an_earlier_client_is_nobodys() -> None:
    """QEMU 5.2 to 11.1 give it to the next client."""
    faults = Faults(drops=[Drop("query-commands", When.DONE)])

    async def main() -> None:
        ids = count(1)
        async with FakeQEMU(two_disks(), faults=faults) as qemu:
            with pytest.raises(NotQMPError):
                await on_qemu(qemu, negotiated, ids)
            monitor = await on_qemu(qemu, negotiated, ids)
            assert "query-status" in monitor.commands

    asyncio.run(main())


def test_socket_is_handed_over_with_what_was_not_read() -> None:
    rest = b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}\r\n{"timest'
    with connection(GREETING, NEGOTIATED, rest) as (talk, theirs):
        asyncio.run(talk.negotiate(None, "unix:/q"))
        connected = talk.hand_over()
        assert (connected.rest, connected.monitor) == (rest, talk.monitor)
        theirs.recv(4096)
        connected.end.send(b"x")
        assert theirs.recv(4096) == b"x"


def test_close_of_a_peer_that_has_read_nothing_is_a_hang_up() -> None:
    """The kernel tells it by a reset then (QEMU 7.2 in preconfig, under load): the next attempt may be let in."""
    with connection(GREETING) as (talk, theirs):

        async def main() -> None:
            negotiating = asyncio.create_task(talk.negotiate(None, "unix:/q"))
            asked = asyncio.Event()
            asyncio.get_running_loop().add_reader(theirs, asked.set)
            await asked.wait()
            asyncio.get_running_loop().remove_reader(theirs)
            theirs.close()
            with pytest.raises(HungUpError, match="Connection reset by peer"):
                await negotiating

        asyncio.run(main())


def test_closing_twice_does_nothing() -> None:
    with connection(GREETING) as (talk, _):
        talk.close()


# -- what is no QMP server ------------------------------------------------------------------------------------------------

HEAD: Final = "unix:/q does not answer as a QMP server: "
EARLY: Final = "it closed the connection before its answers were complete"
UNSHAPED: Final = "its answers do not have the shape of QEMU's"
NO_GREETINGS: Final = (
    *(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", b"\n", b"5\n", b"[]\n", b"\xff\n", b'{"QMP": []}\n', b'{"QMP": {}}\n'),
    b'{"QMP": {"version": {"qemu": {}}, "capabilities": []}}\n',
)
NO_REPLIES: Final = (b"nonsense\n", b"[]\n", b"\xff\n", b'{"id": "id-1"}\n', b'{"id": "id-1", "error": 5}\n')


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        *((greeting, f"its greeting is {greeting!r}") for greeting in NO_GREETINGS),
        (b"", EARLY),
        (GREETING[:-2], EARLY),
        (GREETING, EARLY),
        (GREETING + NEGOTIATED[:40], EARLY),
        (b"x" * 70_000, f"it sent {b'x' * 60!r}…"),
        *((GREETING + line, f"it sent {line!r}") for line in NO_REPLIES),
        (GREETING + NEGOTIATED.replace(b'[{"name": "query-status"}, {"name": "stop"}]', b"5"), UNSHAPED),
        (GREETING + NEGOTIATED.replace(b'"name": "stop"', b'"nom": "stop"'), UNSHAPED),
        (GREETING + NEGOTIATED.replace(b'{"name": "guest"}', b"[]"), UNSHAPED),
    ],
)
def test_who_is_no_qmp_server(said: bytes, reason: str) -> None:
    with connection(said, ends=True) as (talk, _), pytest.raises(NotQMPError) as caught:
        asyncio.run(talk.negotiate(None, "unix:/q"))
    assert str(caught.value) == HEAD + reason


@pytest.mark.parametrize("said", [(GREETING,), ()], ids=["greeting", "nothing"])
def test_other_end_has_reset_the_connection(said: Sequence[bytes]) -> None:
    with connection(*said) as (talk, theirs):
        theirs.close()
        with pytest.raises(NotQMPError) as caught:
            asyncio.run(talk.negotiate(None, "unix:/q"))
    assert str(caught.value).startswith(HEAD)


def test_no_greeting_in_time() -> None:
    with connection() as (talk, _), pytest.raises(NotQMPError) as caught:
        asyncio.run(talk.negotiate(None, "unix:/q", timeout_s=0.01))
    either = "QEMU is still starting or is stopped, or another client is connected: it serves one per socket"
    assert str(caught.value) == f"{HEAD}no greeting within 0.01 s; {either}"


class _Nameless(socket.socket):
    """A socket of whose other end the kernel does not tell the name."""

    def getpeername(self) -> NoReturn:
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))


@pytest.mark.parametrize("kind", ["tcp", "nameless"])
def test_no_greeting_where_nobody_can_tell_who_else_is_served(kind: str) -> None:
    with contextlib.ExitStack() as stack:
        if kind == "tcp":
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            ours = socket.create_connection(server.getsockname())
        else:
            pair, theirs = socket.socketpair()
            ours = _Nameless(fileno=pair.detach())
            stack.enter_context(theirs)
        ours.setblocking(False)
        talk = QMPConnection(ours, "unix:/q", lambda: "id")
        stack.callback(talk.close)
        with pytest.raises(NotQMPError, match="QEMU is still starting or is stopped, or another client is connected"):
            asyncio.run(talk.negotiate(None, timeout_s=0.01))


def test_greeting_that_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than a QEMU that runs takes: this one is starting."""
    monkeypatch.setattr("proxy.net.qmp_connection.GREETING_TIMEOUT_S", 0.01)

    async def main(talk: QMPConnection, theirs: socket.socket) -> None:
        asyncio.get_running_loop().call_later(0.05, theirs.sendall, GREETING + NEGOTIATED)
        await talk.negotiate(None, "unix:/q", timeout_s=60)

    with connection() as (talk, theirs):
        asyncio.run(main(talk, theirs))
        assert talk.monitor.vm == "guest"


HMP_BANNER: Final = b"QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) "


@pytest.mark.parametrize("before", [b"", b"\xff\xfb\x01\xff\xfb\x03"], ids=["plain", "telnet"])
def test_human_monitor_is_called_so(before: bytes) -> None:
    with connection(before + HMP_BANNER) as (talk, _), pytest.raises(NotQMPError) as caught:
        asyncio.run(talk.negotiate(None, "unix:/q"))
    assert str(caught.value) == HEAD + USE_QMP


def test_no_answer_in_time() -> None:
    with connection(GREETING, answer_timeout_s=0.01) as (talk, _), pytest.raises(NotQMPError) as caught:
        asyncio.run(talk.negotiate(None, "unix:/q"))
    assert str(caught.value) == HEAD + "its commands are not answered"


def test_commands_that_do_not_fit_are_sent_when_there_is_room() -> None:
    async def main(talk: QMPConnection, theirs: socket.socket) -> None:
        await talk.negotiate(None, "unix:/q")
        long = Execute("human-monitor-command", {"command-line": "x" * 4_000_000})
        executing = asyncio.ensure_future(talk.execute([long]))
        got = 0
        while got < 4_000_000:
            got += len(await asyncio.to_thread(theirs.recv, 65536))
        theirs.sendall(b'{"return": {}, "id": "id-4"}\r\n')
        assert await executing == [ReturnReply({})]

    with connection(GREETING + NEGOTIATED) as (talk, theirs):
        asyncio.run(main(talk, theirs))


def test_answer_that_comes_as_nobody_waits_any_more_is_nobodys() -> None:
    async def main(talk: QMPConnection, theirs: socket.socket) -> None:
        await talk.negotiate(None, "unix:/q")
        executing = asyncio.ensure_future(talk.execute([Execute("query-status")]))
        while not await asyncio.to_thread(theirs.recv, 65536, socket.MSG_PEEK):
            pass
        # Both in one turn of the loop, the end first.
        asyncio.get_running_loop().call_soon(executing.cancel)
        theirs.sendall(b'{"return": {}, "id": "id-4"}\r\n')
        await asyncio.wait((executing,))
        # Which of the two is seen first in a turn of the loop differs from one release of Python to the next.
        assert executing.cancelled() or executing.result()

    with connection(GREETING + NEGOTIATED) as (talk, theirs):
        asyncio.run(main(talk, theirs))


def test_commands_are_kept_once_for_all_qemus_that_have_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not for ever, whatever QEMUs come."""
    monkeypatch.setattr(qmp_connection, "_known_sets", {})
    monkeypatch.setattr(qmp_connection, "_MOST_KNOWN_SETS", 2)
    one, same, other = frozenset(["a", "b"]), frozenset(["b", "a"]), frozenset(["c"])
    assert shared_commands(one) is one
    assert shared_commands(same) is one
    assert shared_commands(other) is other
    assert shared_commands(same) is same
