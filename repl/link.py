"""The connection to a QMP monitor, through qemu.qmp: batches of commands, events as they arrive, and the end of the connection.

It knows QMP and nothing about HMP, policies or a terminal.
"""

import asyncio
import contextlib
import json
import logging
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from qemu.qmp import ConnectError, ExecInterruptedError, ExecuteError, QMPClient, QMPError, Runstate

from host.net.addresses import TCPAddress, UnixAddress
from host.net.connecting import (
    HANG_UP_PAUSE_S,
    HANG_UPS,
    connect_socket,
    server_pid,
    why_no_greeting,
)
from host.settings.config import UpstreamTLS
from repl.errors import LinkError, LostError, NotConnectedError, reason_of_loss
from repl.progress.aside import beside_loop
from repl.progress.silence import Owed
from shim.hmp.line import first_refused
from shim.qmp import JSON, ErrorReply, Execute, QEMUVersion, Reply, ReturnReply

__all__ = ["Event", "Link", "TimedReply"]

# QEMU sends its greeting at once, unless the socket's one client is somebody else.
_GREETING_TIMEOUT_S = 5.0
# A QEMU that has sent its greeting, but no answer for this long, is in the middle of a save or load.
_BUSY_S = 1.0
# The longest line that qemu.qmp accepts. `query-qmp-schema` has 200 KB; a block graph with many snapshots may have more.
_LONGEST_LINE_BYTES = 64 * 1024 * 1024
_NOT_SENT = ErrorReply("GenericError", "not sent: QMP cannot carry one of its characters or numbers")


@dataclass(frozen=True, slots=True)
class Event:
    """An event (qmp-spec.rst, "Asynchronous events"). time_s: seconds since the epoch, None if QEMU's host has no clock."""

    name: str
    data: Mapping[str, JSON] = field(default_factory=dict)
    time_s: float | None = None


@dataclass(frozen=True, slots=True)
class TimedReply:
    """A reply, when it arrived (time.monotonic_ns), and roughly how long it was on the wire."""

    reply: Reply
    received_ns: int
    size_bytes: int


class _HungUpError(LinkError):
    """The other end closed a new connection: QEMU was still ending the previous one, or choked on what that had left."""


class Link:
    """Consecutive connections to one address. Call `connect`, then `execute`, and `close` at the end.

    tls: None for a connection without TLS.
    on_event: called for each event, before any reply that arrived after it is returned.
    on_lost: called once when a connection ends without `close`.
    on_busy: called if `connect` has to wait until QEMU has time to answer.
    """

    def __init__(
        self,
        address: UnixAddress | TCPAddress,
        *,
        tls: UpstreamTLS | None = None,
        on_event: Callable[[Event], None],
        on_lost: Callable[[LostError], None],
        on_busy: Callable[[], None] = lambda: None,
    ) -> None:
        """Raises TLSError for a certificate that cannot be used."""
        self.address = address
        self._client_type: type[QMPClient] = QMPClient
        self._tls: ssl.SSLContext | None = None
        if tls is not None and isinstance(address, TCPAddress):
            # Here, because connections without TLS do not need it.
            from host.tls import upstream_client_context
            from repl.tls_client import TLSClient

            self._tls, self._client_type = upstream_client_context(tls, address.host), TLSClient
        self.version = QEMUVersion(0, 0)
        self.server_pid: int | None = None  # as server_pid returns it
        self.owed = Owed()
        self._on_event = on_event
        self._on_lost = on_lost
        self._on_busy = on_busy
        self._client: QMPClient | None = None
        self._watch_task: asyncio.Task[None] | None = None
        # The errors raised here say what goes wrong; the library would also write it to standard error.
        logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL + 1)

    @property
    def is_connected(self) -> bool:
        return self._client is not None and self._client.runstate is Runstate.RUNNING

    async def connect(self) -> None:
        """Connect and negotiate. Raises LinkError, which says what to do about it.

        After QEMU's greeting there is no timeout: QEMU answers when the save or load that it is busy with is done.
        """
        await self.close()
        try:
            client = await self._new_client()
        except (QMPError, OSError) as exc:
            raise LinkError(str(self.address), reason_of_loss(exc)) from exc
        self._client = client
        self.version = _version(client)
        self._watch_task = asyncio.create_task(self._watch(client))

    async def execute(self, commands: Sequence[Execute]) -> list[TimedReply]:
        """Write the commands in one go and return their replies in order. Raises LostError if one does not arrive."""
        replies, loss = await self.attempt(commands)
        if loss is not None:
            raise loss
        return replies

    async def attempt(self, commands: Sequence[Execute]) -> tuple[list[TimedReply], LostError | None]:
        """Write the commands in one go; return the replies that arrived, and the loss if some did not, else None."""
        client = self._client
        if client is None or not self.is_connected:
            return [], self._not_connected()
        tasks = [asyncio.ensure_future(self._execute(client, command)) for command in commands]
        replies: list[TimedReply] = []
        try:
            with self.owed.asked():
                for task in tasks:
                    replies.append(await task)
                    self.owed.heard()
        except LostError as exc:
            return replies, exc
        finally:
            # After the first loss, or when the caller is cancelled: the library drops replies that arrive later.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return replies, None

    def check(self) -> None:
        """Raise NotConnectedError if nothing can be sent."""
        if not self.is_connected:
            raise self._not_connected()

    def _not_connected(self) -> NotConnectedError:
        return NotConnectedError(str(self.address), "it has ended")

    async def close(self) -> None:
        """End the connection; a second call does nothing."""
        task, self._watch_task = self._watch_task, None
        client, self._client = self._client, None
        if task is None or client is None:
            return
        if client.runstate is Runstate.RUNNING:
            task.cancel()
            await asyncio.wait([task])
            await _disconnect(client)
        else:
            await task  # the connection has just ended by itself, and the task is cleaning up

    async def _new_client(self) -> QMPClient:
        for _ in range(HANG_UPS):
            with contextlib.suppress(_HungUpError):
                return await self._try_new_client()
            await asyncio.sleep(HANG_UP_PAUSE_S)
        return await self._try_new_client()

    async def _try_new_client(self) -> QMPClient:
        client = self._client_type(readbuflen=_LONGEST_LINE_BYTES)
        # The filter handles the event and rejects it, because the library would keep every event forever.
        client.events.event_filter = self._take_event
        # Done by a command of ours, because the library would take a reply that QEMU still owes an earlier client for its own.
        client.negotiate = False
        try:
            await self._connect_up_to_greeting(client)
            await self._negotiate(client)
        # The library asserts that a connection does not end right after it was made.
        except (AssertionError, ExecInterruptedError) as exc:
            raise _HungUpError(str(self.address), await _disconnect(client)) from exc
        except BaseException:
            if client.runstate is not Runstate.IDLE:
                await _disconnect(client)
            raise
        return client

    async def _negotiate(self, client: QMPClient) -> None:
        answering = asyncio.ensure_future(client.execute("qmp_capabilities"))
        try:
            await asyncio.wait([answering], timeout=_BUSY_S)
            if not answering.done():
                self._on_busy()
            await answering
        finally:
            answering.cancel()

    async def _connect_up_to_greeting(self, client: QMPClient) -> None:
        try:
            async with asyncio.timeout(_GREETING_TIMEOUT_S):
                if self._tls is not None and isinstance(self.address, TCPAddress):
                    await client.connect((self.address.host, self.address.port), self._tls)
                else:
                    self.server_pid = server_pid(connected := await connect_socket(self.address))
                    await client.connect(connected)
        except TimeoutError as exc:
            raise LinkError(str(self.address), await self._why_silent()) from exc
        except ConnectError as exc:
            if isinstance(exc.exc, EOFError | ConnectionError):
                raise _HungUpError(str(self.address), reason_of_loss(exc)) from exc
            raise

    async def _why_silent(self) -> str:
        from repl.finding.holding import why_silent  # here, because most greet

        try:
            async with asyncio.timeout(_GREETING_TIMEOUT_S):
                return await beside_loop(partial(why_silent, self.address, _GREETING_TIMEOUT_S, self.server_pid))
        except TimeoutError:
            return why_no_greeting(_GREETING_TIMEOUT_S, is_served=None)

    async def _execute(self, client: QMPClient, command: Execute) -> TimedReply:
        if not _can_be_sent(command):
            return TimedReply(_NOT_SENT, time.monotonic_ns(), 0)
        reply: Reply
        try:
            value = await client.execute(command.command, dict(command.arguments) or None)
            received_ns = time.monotonic_ns()
            reply, size_bytes = ReturnReply(value), len(json.dumps(value))
        except ExecuteError as exc:
            received_ns = time.monotonic_ns()
            reply, size_bytes = ErrorReply(exc.error_class, str(exc)), len(str(exc))
        except (ExecInterruptedError, QMPError, OSError) as exc:
            raise LostError(str(self.address), "QEMU has stopped answering") from exc
        return TimedReply(reply, received_ns, size_bytes)

    def _take_event(self, message: Mapping[str, JSON]) -> bool:
        stamp = message.get("timestamp", {})
        seconds = stamp.get("seconds", -1)  # -1 where the host's clock cannot be read (qmp-spec.rst)
        time_s = None if seconds < 0 else seconds + stamp.get("microseconds", 0) / 1_000_000
        self._on_event(Event(message["event"], message.get("data", {}), time_s))
        return False

    async def _watch(self, client: QMPClient) -> None:
        """Wait for the end of a connection, clean up after it, and call on_lost."""
        while client.runstate is Runstate.RUNNING:
            await client.runstate_changed()
        reason = await _disconnect(client)
        self._client = self._watch_task = None
        self._on_lost(LostError(str(self.address), reason))


async def _disconnect(client: QMPClient) -> str:
    """Disconnect a client, and return why the connection had ended if it ended by itself."""
    try:
        await client.disconnect()
    except (EOFError, ConnectionResetError, BrokenPipeError):  # which one depends on what was under way
        return "QEMU closed it"
    except Exception as exc:  # disconnect() raises whatever the library's tasks ended with
        return reason_of_loss(exc)
    return "it was closed"


def _version(client: QMPClient) -> QEMUVersion:
    told: JSON = {} if client.greeting is None else client.greeting.QMP.version.get("qemu")
    triple = told if isinstance(told, dict) else {}
    return QEMUVersion(triple.get("major", 0), triple.get("minor", 0), triple.get("micro", 0))


def _can_be_sent(command: Execute) -> bool:
    """Return whether QEMU could read the command. If not, QEMU's error has no id, and would end the connection here."""
    try:
        text = json.dumps([command.command, dict(command.arguments)], ensure_ascii=False, allow_nan=False)
        return first_refused(text) is None
    except (ValueError, RecursionError):
        return False
