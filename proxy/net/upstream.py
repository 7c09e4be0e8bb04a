"""Where QEMU is, and how to connect to it whenever it is there.

A monitor serves one client at a time, and the socket's queue holds a few more. So a connection proves little: it may wait in
the queue behind another client for as long as that one stays. Only the greeting shows that QEMU is ours, and the wait for it is
limited. QEMU also hangs up on a newcomer while it disconnects its last client; then we try again after a short pause.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from host.configuration.access_contradictions import UPSTREAM_NEEDS_TLS
from host.net.addresses import ASIDE_SUFFIX, AcceptAddress, Address, DescriptorAddress, TCPAddress, UnixAddress
from host.net.connecting import HANG_UP_PAUSE_S, HANG_UPS, connect_socket, is_served, why_no_greeting
from host.net.socket_access import OWNER_ONLY, SocketAccess
from host.settings.config import VMConfig
from proxy.entrance.inherited import inherited_sockets
from proxy.errors import HungUpError, ListenError, NotQMPError, OccupiedError, UpstreamError
from proxy.net.closing import close_listening
from proxy.net.ends import End
from proxy.net.qmp_connection import GREETING_TIMEOUT_S, QMPConnection
from proxy.net.sockets import listen, unlink_socket

if TYPE_CHECKING:
    from host.tls import PeerContext
    from proxy.net.certificates import Certificates

__all__ = ["Upstream"]

_log = logging.getLogger(__name__)


class Upstream:
    """One VM's QEMU: call `connect` for each connection to it.

    name: the VM's name for the audit; None takes QEMU's own (`-name`), else the address. timeout_s: how long connecting may
    take, and after that the greeting. access: who may connect as QEMU, where QEMU connects to us on a unix socket.
    certificates: None where there is no TLS.
    """

    def __init__(
        self,
        address: Address,
        *,
        name: str | None,
        new_id: Callable[[], str],
        timeout_s: float = GREETING_TIMEOUT_S,
        access: SocketAccess = OWNER_ONLY,
        certificates: Certificates | None = None,
    ) -> None:
        """Raises ListenError if QEMU is to connect to us and the socket for it cannot be made."""
        self.address = address
        # `address` changes when the path is taken over; a VM without a name goes by its first address.
        self._first_address = address
        self._name = name
        self._has_inherited = False
        self._new_id = new_id
        self._timeout_s = timeout_s
        self._certificates = certificates
        self._listening = None
        if isinstance(address, AcceptAddress):
            why_not_outside = UPSTREAM_NEEDS_TLS if self._tls is None else None
            self._listening = listen(address.listening, access, why_not_outside=why_not_outside)

    @classmethod
    def of_vm(cls, config: VMConfig, new_id: Callable[[], str], certificates: Certificates) -> Self:
        """Return the upstream of a VM as it is configured. Raises ListenError, as the constructor does."""
        return cls(
            config.upstream,
            name=config.name,
            new_id=new_id,
            timeout_s=config.connect_timeout_s,
            access=config.terms.access,
            certificates=certificates,
        )

    def change(self, name: str | None, timeout_s: float) -> None:
        """Use another name and another time limit for later connections."""
        self._name, self._timeout_s = name, timeout_s

    @property
    def _tls(self) -> PeerContext | None:
        return None if self._certificates is None else self._certificates.upstream

    @property
    def can_return(self) -> bool:
        """Whether QEMU can be connected to again; with an inherited connection it cannot."""
        return not isinstance(self.address, DescriptorAddress)

    async def connect(self) -> QMPConnection:
        """Connect to QEMU's monitor and negotiate.

        Each connection starts with a greeting of its own and without capabilities, whatever was negotiated on an earlier one.
        Raises UpstreamError if nobody answers there, NotQMPError if it is not a QMP server or serves another client.
        """
        for _ in range(HANG_UPS if self.can_return else 0):
            try:
                return await self._connect()
            except HungUpError:
                await asyncio.sleep(HANG_UP_PAUSE_S)
        return await self._connect()

    async def _connect(self) -> QMPConnection:
        """Connect once. Where QEMU connects to us (`accept:`) there is no time limit, because it may be started at any time."""
        # The limit covers connecting, too: two may wait in front of a monitor, and a third is not let in by the kernel.
        try:
            async with asyncio.timeout(None if self._listening else self._timeout_s):
                sock, end = await self._open_end()
        except TimeoutError:
            raise self._full_error() from None
        except OSError as exc:
            reason = exc.strerror or os.strerror(exc.errno or 0)
            raise UpstreamError(str(self.address), f"{reason} (is the VM running, with this QMP socket?)") from exc
        return await self._negotiated(sock, end)

    async def _negotiated(self, sock: socket.socket, end: End | None = None) -> QMPConnection:
        connection = QMPConnection(sock, str(self.address), self._new_id, end)
        try:
            await connection.negotiate(self._name, str(self._first_address), timeout_s=self._timeout_s)
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Stop waiting for QEMU. A connection that was made belongs to whoever has it, and stays open."""
        if self._listening is not None:
            close_listening(self._listening, is_shared=False)
            if isinstance(self.address, AcceptAddress) and isinstance(self.address.listening, UnixAddress):
                unlink_socket(self.address.listening.path)

    def _full_error(self) -> NotQMPError:
        # The kernel knows a socket that was moved aside by the path at which it was made.
        served = is_served(self.address.path.removesuffix(ASIDE_SUFFIX)) if isinstance(self.address, UnixAddress) else None
        kind = OccupiedError if served else NotQMPError
        return kind(str(self.address), why_no_greeting(self._timeout_s, is_served=served))

    async def _open_end(self) -> tuple[socket.socket, End | None]:
        """Connect, and shake hands if there is TLS. Return the socket, and its end if that is not a plain one."""
        sock = await self._open()
        if self._tls is None:
            return sock, None
        from proxy.net.tls import shake_hands  # already imported with the certificates

        while True:
            outcome = await shake_hands(sock, self._tls)
            if not isinstance(outcome, str):
                return outcome.sock, outcome
            if self._listening is None:
                raise UpstreamError(str(self.address), outcome)
            _log.warning("a program that connected to %s is not QEMU: %s", self.address, outcome)
            sock = await self._open()

    async def _open(self) -> socket.socket:
        match self.address:
            case UnixAddress() | TCPAddress():
                return await connect_socket(self.address)
            case DescriptorAddress():
                return self._inherit(self.address)
            case AcceptAddress() if self._listening is not None:
                self._listening.setblocking(False)
                sock, _ = await asyncio.get_running_loop().sock_accept(self._listening)
                if sock.family != socket.AF_UNIX:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as connect_socket() does
                return sock
        raise UpstreamError(str(self.address), "QEMU cannot be there")

    def _inherit(self, address: DescriptorAddress) -> socket.socket:
        # Only once: after the connection has ended, its number will soon be another file's.
        if self._has_inherited:
            raise UpstreamError(str(address), "the inherited connection has ended")
        self._has_inherited = True
        try:
            (sock,) = inherited_sockets(address)
        except ListenError as exc:
            raise UpstreamError(str(address), exc.reason) from exc
        sock.setblocking(False)
        return sock
