"""The proxy of one VM: where clients come in, the connection to QEMU and its return, and an orderly end.

The order of a start matters. Sockets that hold clients while QEMU is away open first. Then the proxy connects to QEMU,
negotiates, and compares the policy's patterns with its disks. Only then do the other sockets open, so that a client that gets
in finds a QEMU behind the proxy. What serving may need is imported after that, but before the first byte of a client is read,
so the start stays quick and a later upgrade of the package does no harm.

An orderly end is the reverse. First no client is read any more; then what was begun is completed and answered, or put on
record; then the sockets are closed, and those that were moved aside are put back. All that has a time limit, as supervisors
have one.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

from host.net.addresses import AcceptAddress
from host.settings.config import VMConfig
from proxy.attending.attendance import Attendance
from proxy.change import POLICY_CHANGED, Change, PolicyCheck, own_client
from proxy.connector import Connector
from proxy.entrance import takeover
from proxy.entrance.front import Front
from proxy.errors import NotQMPError, UpstreamError
from proxy.needs import Need, describe, needs, unbound
from proxy.net.attaching import upstream_of
from proxy.net.certificates import Certificates, Contexts
from proxy.net.ends import End
from proxy.net.qmp_connection import QMPConnection
from proxy.preload import preload_in_loop
from proxy.recording.audit_writer import AuditWriter
from proxy.relaying.ending import finish
from proxy.relaying.lasting import Lasting, Shared, Standing
from proxy.relaying.relay import Relay
from proxy.waiting import Signal, first_of, unless
from shim.client import Client

if TYPE_CHECKING:
    from proxy.handover.legacy import Legacy

__all__ = ["VMProxy"]

_log = logging.getLogger(__name__)


class VMProxy:
    """Serve one VM.

    contexts: for TLS. on_settled: called once it is known whether QEMU is there, so that clients are let in or QEMU is waited
    for. `run` returns when `stop` was called, the only client that can come has left, or QEMU has gone and is not waited for.
    """

    # Without slots, the attributes that `run` sets would give each VM a dictionary of its own, of 900 bytes.
    __slots__ = (
        *("_audit", "_connector", "_gone", "_lasting", "_on_settled", "_shared", "_standing", "_stop", "_upstream"),
        *("certificates", "config", "connection", "front", "has_begun", "legacy", "policy_check", "problem"),
    )

    def __init__(
        self,
        config: VMConfig,
        audit: AuditWriter | None,
        shared: Shared,
        on_settled: Callable[[], object] = lambda: None,
        standing: Standing | None = None,
        contexts: Contexts = Contexts(),  # noqa: B008 - nobody changes this one
    ) -> None:
        self.config = config
        # What another process, which has served the VM until now, hands over. It is set before `run`.
        self.legacy: Legacy | None = None
        self.certificates = Certificates(contexts)
        self._on_settled = on_settled
        self._audit, self._shared, self._standing = audit, shared, standing
        self.connection: Attendance | None = None
        # Whether there is a front, and the rest of what `run` makes.
        self.has_begun = False
        # Why QEMU is not there, if an attempt to connect has failed.
        self.problem: str | None = None
        # The previous connection, which may still have to put on record what its clients had sent.
        self._gone: Attendance | None = None
        self._stop = Signal()
        self.policy_check = PolicyCheck(self)
        config.policy.exclusions.on_lost = self._tell_lost

    @property
    def name(self) -> str:
        """The VM's name in the log."""
        return self.config.shown_name

    @property
    def is_connected(self) -> bool:
        """Whether QEMU is there."""
        return self.connection is not None and not self.connection.lost.is_set()

    def _has_qemu(self) -> bool:
        return self.is_connected

    @property
    def parts(self) -> tuple[Front, Lasting, Relay | None] | None:
        """What another process can go on with; None while that is not settled. Asking keeps the relay from then on."""
        is_settled = self.is_connected or self.problem is not None
        if not is_settled or self._stop.is_set():
            return None
        if self.connection is None or not self.is_connected:
            return self.front, self._lasting, None
        relay = self.connection.keep_awake()
        return (self.front, self._lasting, relay) if self.is_connected else None

    def leave(self) -> None:
        """End at once. The parts must have been let go of: another process goes on with them."""
        self.connection = None
        self._stop.set()

    async def run(self) -> None:
        """Serve. Raises UpstreamError, NotQMPError, ListenError or ConfigError if it cannot begin, AttachError also later, and
        KeptError if another process goes on with the VM.
        """
        if self.config.take_over is not None and self.legacy is None:
            takeover.restore(self.config.take_over)
        await unless(self._stop, self._recall())
        if self._stop.is_set():
            return
        self._upstream = upstream_of(self.config, self._lasting.new_id, self.certificates)
        on_refused = self._lasting.standing.counters.note_refusal
        self.front = Front(self.config, self._upstream, self._admit, self._has_qemu, self.certificates, on_refused)
        self._connector = Connector(self, self._upstream, self.front, self.policy_check, self._begin)
        self.has_begun = True
        try:
            if self.legacy is None:
                self.front.hold()
            else:
                await unless(self._stop, self.legacy.take_up(self, self.front, self._lasting))
            # `stop` ends the waiting at any moment; otherwise it lasts as long as the operator likes.
            if self.connection is None and not self._stop.is_set():
                await unless(self._stop, self._connect_first())
            if not self._stop.is_set():
                await self._let_in()
                await self._tend()
                await self._finish()
        finally:
            for connection in (self.connection, self._gone):
                if connection is not None:
                    connection.close()
            self._lasting.leaving.close()
            self.front.close()
            self._upstream.close()
            await self.policy_check.close()

    async def _recall(self) -> None:
        kept = None if self.legacy is None else self.legacy.kept
        self._lasting = await Lasting.begin(self.config, self._audit, self._shared, self._standing, kept)

    def stop(self) -> None:
        """End, once the commands that were begun are done."""
        self._stop.set()

    def change(self, config: VMConfig, audit: AuditWriter | None, contexts: Contexts) -> None:
        """Use another configuration, and keep the connection to QEMU and the clients.

        The change must not need Need.CONNECTION. A strict policy is used once its patterns have been compared with the disks;
        see `policy_check.outcome`. contexts: for TLS. Raises ListenError, and then changes nothing.
        """
        self.policy_check.cancel()
        change = Change(self.config, config)
        before, needed = self.config, needs(self.config, change.whole)
        if Need.LISTENERS in needed:
            self.front.change(change.whole)
        self.certificates.contexts = contexts
        is_compared = change.is_compared and self.is_connected
        self._use(change.at_once if is_compared else change.whole, audit)
        if told := describe(before, change.whole):
            _log.info("%s", told)
        if is_compared:
            self.policy_check.begin(change)
        if Need.POLICY in needed and not (is_compared and change.whole.is_strict):
            _log.info(POLICY_CHANGED)
        if Need.LISTENERS in needed and self.connection is not None and self.connection.relay is not None:
            self.connection.relay.clients.disconnect_from(unbound(before, change.whole), "its listener is not there any more")

    def own_client(self) -> AbstractAsyncContextManager[QMPConnection]:
        """Connect as a client of our own, to ask QEMU something while others are served."""
        return own_client(self._admit, self._upstream.address, self._lasting.new_id, self.name)

    def use(self, config: VMConfig) -> None:
        """Use another configuration that only changes the policy."""
        self._use(config, self._lasting.audit)

    def _tell_lost(self, text: str) -> None:
        _log.warning("%s", text)

    def _use(self, config: VMConfig, audit: AuditWriter | None) -> None:
        self.config = config
        self._upstream.change(config.name, config.connect_timeout_s)
        self._lasting = replace(self._lasting, audit=audit)
        for connection in (self.connection, self._gone):
            if connection is not None:
                connection.change(config, self._lasting)

    async def _connect_first(self) -> None:
        try:
            if isinstance(self._upstream.address, AcceptAddress):  # it may be started at any time
                self.problem = "QEMU has not connected yet"
                self._on_settled()
            await self._connector.connect(is_first=True)
        except (UpstreamError, NotQMPError) as exc:
            if not self.config.wait and self.legacy is None:
                raise
            _log.warning("%s; waiting for it", exc)
            self.problem = str(exc)
            self._on_settled()
            self.front.tell_who_came_first(exc)
            preload_in_loop((self.config,))
            await self._connector.connect_again(self._note_problem, is_first=True)

    def _note_problem(self, text: str) -> None:
        self.problem = text

    def _begin(self, connection: QMPConnection, is_first: bool) -> None:
        """Serve this QEMU, unless `stop` or `leave` was called.

        The sockets open first, and clients are let in last (`Front.start`), so that one that is let in finds a QEMU. Raises
        ListenError if clients cannot come in, and then closes the connection.
        """
        if self._stop.is_set():
            connection.close()
            return
        try:
            self.front.open()
        except BaseException:
            connection.close()
            raise
        if is_first:
            for address in self.config.listeners:
                _log.info("listening on %s for QEMU at %s", address, self._upstream.address)
        self.problem = None
        self.connection = Attendance.begin(connection.hand_over(), self.config, self._lasting)
        _log.debug("connected to QEMU %s at %s, VM %s", connection.monitor.version, self.config.upstream, connection.monitor.vm)

    async def _let_in(self) -> None:
        has_client = self.front.start()
        self._on_settled()
        if not has_client:
            # A client that waits already gets its greeting before the imports; no client's first byte is read before them.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        preload_in_loop((self.config,))

    async def _finish(self) -> None:
        await unless(self._stop, self._lasting.leaving.emptied())  # unless `stop` was called, nobody is in a hurry
        self._stop.set()
        self.front.suspend()
        relay = None if self.connection is None else self.connection.relay
        await finish(relay, self._lasting.leaving, self.config.stop_timeout_s)

    async def _tend(self) -> None:
        """Until `stop`, connect again whenever QEMU has gone. If no further client can come, end with the last one."""
        is_for_one = self.front.is_for_one
        while not self._stop.is_set():
            connection = self.connection
            assert connection is not None, "_begin comes before each round"
            await first_of(self._stop, connection.deserted if is_for_one else connection.lost)
            if is_for_one or self._stop.is_set():
                return
            self.connection, self._gone = None, connection
            self.front.leave()
            if await unless(self._stop, self._await_return()):
                self.front.start()
                _log.info("QEMU at %s is back", self._upstream.address)
            elif not self._stop.is_set():
                _log.warning("QEMU at %s has gone", self._upstream.address)
                return

    async def _await_return(self) -> bool:
        """Wait until QEMU is there again. Return False if it will not come back, or is not waited for."""
        if not self._upstream.can_return:
            return False
        if not self.config.ends_with_vm:
            self.problem = f"QEMU at {self._upstream.address} has gone"
            _log.warning("%s; waiting for it to come back", self.problem)
            return await self._connector.connect_again(self._note_problem)
        if isinstance(self._upstream.address, AcceptAddress):
            return False
        # Perhaps only the connection was lost. If QEMU has gone, connecting fails at once: a QEMU that ended has removed its
        # path, and one that was killed has left a path that refuses (seen on 5.2 to 11.1).
        return await self._connector.connect_again(self._note_problem, is_patient=False)

    def _admit(self, end: End, client: Client) -> str | None:
        if self.connection is None or self.connection.lost.is_set() or self._stop.is_set():
            end.close()  # as it would be if QEMU had gone
            return None
        return self.connection.add_client(end, client, errors_in_qmp=self.config.terms_at(client.listener).errors_in_qmp)
