"""A QMP client on a socket, one batch of commands after the other, for questions before or instead of serving clients.

qemu.qmp would serve as well, but afterwards the socket is handed over to the router with every byte that was not yet consumed:
QEMU may send events right after its last reply, and clients must see them.

It is not for the hot path, because it awaits each reply and decodes each message. It runs before the first client is served,
for `hmp-proxy plan`, and to check the policy's patterns.
"""

import asyncio
import contextlib
import functools
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from host.net.connecting import USE_QMP, is_human_monitor, is_served, why_no_greeting
from proxy.errors import HungUpError, NotQMPError, OccupiedError
from proxy.net.ends import End, SocketEnd, shared_buffer
from proxy.qmp_json.messages import format_of
from proxy.sessions.monitor import Monitor
from shim.qmp import JSON, Execute, QEMUVersion, Reply, ReturnReply, decode, read_reply

__all__ = ["ANSWER_TIMEOUT_S", "GREETING_TIMEOUT_S", "Connected", "QMPConnection", "ready", "shared_commands"]

# A running QEMU sends its greeting at once; if none comes, somebody else is its one client, which the kernel may confirm. A
# QEMU that is starting takes longer: if its socket was made for it, as libvirt does, clients can connect before it is there.
GREETING_TIMEOUT_S = 5.0
# The monitor of a busy VM answers when the main loop is free: after a savevm of many gigabytes, at worst.
ANSWER_TIMEOUT_S = 600.0
# A greeting has 150 bytes; a peer that sends more than this without a line's end is not a QMP server.
_GREETING_BYTES = 64 * 1024
# Enough for the versions of QEMU on one host; a bound in case one answers differently each time.
_MOST_KNOWN_SETS = 16
_known_sets: dict[frozenset[str], frozenset[str]] = {}


@dataclass(frozen=True, slots=True)
class Connected:
    """A negotiated connection. rest: bytes that came after the last answer, to be routed first."""

    end: End
    monitor: Monitor
    rest: bytes = b""


class QMPConnection:
    """Call `negotiate` first, then `execute` as often as needed, then `hand_over` or `close`.

    end: the socket's end, None for a plain one. answer_timeout_s: None waits for ever. Methods raise NotQMPError if the peer
    does not behave like a QMP server.
    """

    def __init__(
        self,
        sock: socket.socket,
        address: str,
        new_id: Callable[[], str],
        end: End | None = None,
        *,
        answer_timeout_s: float | None = ANSWER_TIMEOUT_S,
    ) -> None:
        self._sock = sock
        self._end = SocketEnd(sock, takes_descriptors=False) if end is None else end
        self._address = address
        self._new_id = new_id
        self._answer_timeout_s = answer_timeout_s
        self._buffer = b""
        self._greeting = b""
        self._monitor: Monitor | None = None

    @property
    def monitor(self) -> Monitor:
        """What the negotiation has found out. Raises RuntimeError before `negotiate`."""
        if self._monitor is None:
            raise RuntimeError("negotiate first")
        return self._monitor

    async def negotiate(
        self, name: str | None, default_name: str | None = None, *, timeout_s: float = GREETING_TIMEOUT_S
    ) -> None:
        """Read the greeting, enable the capabilities that it offers, and query the commands.

        name: the VM's name, None to take QEMU's, or else default_name, or else the address. timeout_s: how long the greeting
        may take. The answers may take longer: a QEMU that is still starting, or loading its -loadvm, greets at once but answers
        nothing until that is done (7.2, 11.1).

        Out-of-band execution is enabled if it is offered, because otherwise no client could have it; a client that does not ask
        for it does not get it. Raises NotQMPError, and HungUpError if QEMU closes the connection.
        """
        await self.await_greeting(timeout_s)
        greeting, version, offers_oob = self._read_greeting()
        enable = {"enable": ["oob"]} if offers_oob else {}
        _, known, own_name = await self.execute(
            [Execute("qmp_capabilities", enable), Execute("query-commands"), Execute("query-name")]
        )
        try:
            commands = shared_commands(frozenset(entry["name"] for entry in _value(known, [])))
            unnamed = _value(own_name, {}).get("name") or default_name or self._address
        except (KeyError, TypeError, AttributeError) as exc:
            raise NotQMPError(self._address, "its answers do not have the shape of QEMU's") from exc
        self._monitor = Monitor(greeting, offers_oob, version, commands, name or unnamed, unnamed)

    async def execute(self, commands: Sequence[Execute], descriptors: Sequence[int] = ()) -> list[Reply]:
        """Write the commands in one go and return their replies. Events are dropped: there is no client yet to miss them.

        In one go they cost one round trip, and QEMU answers them in order. descriptors: sent with the first command; they still
        belong to the caller. Raises HungUpError if the connection ends, NotQMPError if a reply takes too long or is not QMP.
        """
        own_ids = [self._new_id() for _ in commands]
        request = b"".join(command.to_wire(own) for command, own in zip(commands, own_ids, strict=True))
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                await self._send(request, descriptors)
                return [await self._reply(own_id) for own_id in own_ids]
        except ConnectionError as exc:
            raise HungUpError(self._address, "its commands are not answered") from exc
        except (TimeoutError, OSError) as exc:
            raise NotQMPError(self._address, "its commands are not answered") from exc

    def hand_over(self) -> Connected:
        """Return the connection for somebody else to take over, with the bytes that were not consumed."""
        return Connected(self._end, self.monitor, self._buffer)

    def close(self) -> None:
        self._end.close()

    async def await_greeting(self, timeout_s: float) -> bytes:
        """Wait for the greeting, if it has not come yet, and return it.

        The first wait is only as long as a running QEMU needs. Then the kernel is asked whether another client is being served.
        If so, waiting longer would only hide that. If not, or if the kernel cannot tell, QEMU may be starting, and the wait
        goes on for the rest of the time.

        Raises OccupiedError if another client is being served, NotQMPError if no greeting comes in time or what comes is not
        QMP, and HungUpError if QEMU closes the connection.
        """
        if self._greeting:
            return self._greeting
        soon_s = min(GREETING_TIMEOUT_S, timeout_s)
        waited_s, limit_s = soon_s, soon_s
        while True:
            try:
                async with asyncio.timeout(limit_s):
                    self._greeting = await self._message(limit=_GREETING_BYTES)
                    return self._greeting
            except TimeoutError:
                has_other = self._has_other_client()
                if has_other or waited_s == timeout_s:
                    kind = OccupiedError if has_other else NotQMPError
                    raise kind(self._address, why_no_greeting(waited_s, is_served=has_other)) from None
                waited_s, limit_s = timeout_s, timeout_s - soon_s

    def _has_other_client(self) -> bool | None:
        if self._sock.family != socket.AF_UNIX:
            return None
        with contextlib.suppress(OSError):
            return is_served(self._sock.getpeername())
        return None

    def _read_greeting(self) -> tuple[bytes, QEMUVersion, bool]:
        try:
            return _read_greeting(self._greeting)
        except (ValueError, RecursionError, KeyError, TypeError) as exc:
            is_hmp = is_human_monitor(self._greeting + self._buffer)
            reason = USE_QMP if is_hmp else f"its greeting is {self._greeting[:60]!r}"
            raise NotQMPError(self._address, reason) from exc

    async def _reply(self, own_id: str) -> Reply:
        """Wait for the reply with this id.

        Replies that QEMU still owed to an earlier connection come on this one (seen in 5.2 to 11.1), and are dropped. So ids
        are never used twice, not even by another process (host/ids.py): with a fixed id, such a reply would be taken for ours.
        """
        while True:
            line = await self._message()
            try:
                message = decode(line)
                if message.get("id") == own_id:
                    return read_reply(message)
            except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as exc:
                raise NotQMPError(self._address, f"it sent {line[:60]!r}") from exc

    async def _message(self, *, limit: int | None = None) -> bytes:
        while True:
            end = format_of(self._greeting or self._buffer).find_end(self._buffer, 0)
            if end:
                message, self._buffer = self._buffer[:end], self._buffer[end:]
                return message
            if limit is not None and len(self._buffer) > limit:
                raise NotQMPError(self._address, f"it sent {self._buffer[:60]!r}…")
            await self._read_more()

    async def _send(self, data: bytes, descriptors: Sequence[int]) -> None:
        sent = 0
        while sent < len(data):
            try:
                if descriptors and not sent:
                    sent = self._end.send_with(data, descriptors)
                else:
                    sent += self._end.send(data[sent:])
            except BlockingIOError:
                await ready(self._end.write_fd(), writing=True)

    async def _receive(self) -> bytes:
        while True:
            try:
                count, _ = self._end.receive()
            except BlockingIOError:
                await ready(self._end.read_fd())
            else:
                return bytes(shared_buffer[:count])

    async def _read_more(self) -> None:
        try:
            data = await self._receive()
        except ConnectionError as exc:  # a close is reported like this if the peer had not read everything we sent
            raise HungUpError(self._address, exc.strerror or str(exc)) from exc
        except OSError as exc:
            raise NotQMPError(self._address, exc.strerror or str(exc)) from exc
        if not data:
            raise HungUpError(self._address, "it closed the connection before its answers were complete")
        self._buffer += data


@functools.lru_cache(_MOST_KNOWN_SETS)
def _read_greeting(greeting: bytes) -> tuple[bytes, QEMUVersion, bool]:
    """Return the greeting, the version, and whether OOB is offered. Cached, so QEMUs with equal greetings share the values."""
    content = decode(greeting)["QMP"]
    version = content["version"]["qemu"]
    return greeting, QEMUVersion(version["major"], version["minor"], version["micro"]), "oob" in content["capabilities"]


def shared_commands(commands: frozenset[str]) -> frozenset[str]:
    """Return one shared set for all QEMUs that have these commands, since each copy takes 20 KB."""
    if len(_known_sets) >= _MOST_KNOWN_SETS:
        _known_sets.clear()
    return _known_sets.setdefault(commands, commands)


async def ready(number: int, *, writing: bool = False) -> None:
    """Wait until a descriptor can be read from, or written to."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)

    def note() -> None:
        if not future.done():
            future.set_result(None)

    add(number, note)
    try:
        await future
    finally:
        remove(number)


def _value(reply: Reply, default: JSON) -> JSON:
    return reply.value if isinstance(reply, ReturnReply) else default
