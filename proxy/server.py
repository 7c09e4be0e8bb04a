"""The proxy of one VM: the listening socket, the connection to QEMU and its return, and an orderly end."""

import asyncio
import logging
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count

from proxy.addresses import listen, unlink_socket
from proxy.audit_log import AuditLog
from proxy.config import Config
from proxy.errors import NotQMPError, UpstreamError
from proxy.link import Link
from proxy.monitor import Clock
from proxy.upstream import backoff_s, connect
from shim.jobs import JOB_PREFIX

__all__ = ["Server"]

_log = logging.getLogger(__name__)

# Out of descriptors: how long to leave new connections in the kernel's queue.
_ACCEPT_PAUSE_S = 1.0

_CLOCK = Clock(
    monotonic_ns=time.monotonic_ns,
    utc=lambda: datetime.now(UTC),
    local=datetime.now,
    local_time=datetime.fromtimestamp,
)


def _job_ids() -> Iterator[str]:
    """Give ids that no other run of the proxy uses."""
    run = secrets.token_hex(4)
    return (f"{JOB_PREFIX}{run}-{number}" for number in count(1))


class Server:
    """Serve one VM until SIGINT or SIGTERM. A second signal ends it at once."""

    def __init__(self, config: Config, audit_log: AuditLog | None) -> None:
        self._config = config
        self._audit_log = audit_log
        self._ids = _job_ids()
        self._link: Link | None = None
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serve. Raises UpstreamError, NotQMPError or ListenError if it cannot begin."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._receive_signal)
        await self._connect()
        try:
            listening = listen(self._config.listen)
            try:
                await self._serve(listening)
            finally:
                unlink_socket(listening, self._config.listen)
        finally:
            if self._link is not None:
                self._link.close()

    def _receive_signal(self) -> None:
        if self._stop.is_set():
            raise KeyboardInterrupt
        self._stop.set()

    async def _connect(self) -> None:
        connected = await connect(self._config.upstream, name=self._config.name, new_id=self._new_id)
        self._link = Link(
            connected,
            self._config.policy,
            new_job_id=self._new_id,
            clock=_CLOCK,
            audit_log=self._audit_log,
            client_buffer_bytes=self._config.client_buffer_bytes,
        )
        self._link.start()
        monitor = connected.monitor
        _log.info("connected to QEMU %s at %s, VM %s", monitor.version, self._config.upstream, monitor.vm)

    def _new_id(self) -> str:
        return next(self._ids)

    async def _serve(self, listening: socket.socket) -> None:
        listening.setblocking(False)
        loop = asyncio.get_running_loop()
        loop.add_reader(listening, self._accept, listening)
        _log.warning("listening on %s for QEMU at %s", self._config.listen, self._config.upstream)
        try:
            async with asyncio.TaskGroup() as group:
                reconnecting = group.create_task(self._reconnect_for_ever())
                await self._stop.wait()
                reconnecting.cancel()
        finally:
            loop.remove_reader(listening)
        await self._finish_work()

    async def _finish_work(self) -> None:
        """See the rewritten commands to their end: between deleting and saving, a snapshot exists nowhere."""
        link = self._link
        if link is None or link.idle.is_set():
            return
        _log.warning("stopping when the running snapshot command is done; a second signal stops at once")
        async with asyncio.TaskGroup() as group:
            ends = [group.create_task(event.wait()) for event in (link.idle, link.lost)]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()

    async def _reconnect_for_ever(self) -> None:
        while self._link is not None:
            await self._link.lost.wait()
            self._link = None
            _log.warning("QEMU at %s has gone; waiting for it to come back", self._config.upstream)
            await self._reconnect()
            _log.warning("QEMU at %s is back", self._config.upstream)

    async def _reconnect(self) -> None:
        for delay in backoff_s():
            await asyncio.sleep(delay)
            try:
                return await self._connect()
            except (UpstreamError, NotQMPError) as exc:
                _log.info("%s", exc)

    def _accept(self, listening: socket.socket) -> None:
        try:
            sock, _ = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as exc:
            _log.error("cannot take a client: %s", exc.strerror)
            loop = asyncio.get_running_loop()
            loop.remove_reader(listening)
            loop.call_later(_ACCEPT_PAUSE_S, self._accept_again, listening)
            return
        if self._link is None:
            sock.close()  # as QEMU's own socket would be: there is nobody
        else:
            self._link.add_client(sock)

    def _accept_again(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)
