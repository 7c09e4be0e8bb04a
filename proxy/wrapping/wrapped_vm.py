"""The proxy of a wrapped QEMU: one connection, which lasts as long as QEMU does, and the clients from the reception."""

import contextlib
import logging
from dataclasses import replace

from host.audit_log.log import AuditLog
from host.errors import ConfigError
from proxy.change import own_client
from proxy.errors import NotQMPError
from proxy.fairness.ledger import Ledger
from proxy.net.ends import End
from proxy.net.qmp_connection import QMPConnection
from proxy.pattern_check import check_patterns
from proxy.preload import preload_in_loop
from proxy.recording.audit_writer import LAST_WRITE_S, AuditWriter
from proxy.recording.disk_thread import DiskThread
from proxy.relaying.lasting import Lasting, Shared
from proxy.relaying.relay import Relay
from proxy.wrapping.loading import Load, StartFailedError, load_at_start
from proxy.wrapping.reception import Reception
from shim.client import AT_START, Client
from shim.qmp import Execute

__all__ = ["WrappedVM"]

_log = logging.getLogger(__name__)


class WrappedVM:
    """Serve one QEMU until it ends. Call `begin` when the reception is open, then `serve`, then `close`."""

    def __init__(self, reception: Reception, audit_log: AuditLog | None) -> None:
        self._reception = reception
        self._config = config = reception.config
        self._audit: AuditWriter | None = None
        if audit_log is not None:
            assert config.audit is not None, "it was opened for that"
            self._audit = AuditWriter(audit_log, config.audit)
        self._shared = Shared(Ledger(config.total_buffer_bytes), DiskThread("state"))
        self._relay: Relay | None = None

    async def begin(self, load: Load | None) -> None:
        """Wait until QEMU answers, and do what must be done before anybody is served.

        Raises NotQMPError if QEMU ends before, StartFailedError if the work fails.
        """
        config, connection = self._config, self._reception.connection
        self._lasting = await Lasting.begin(config, self._audit, self._shared)
        await connection.negotiate(config.name, self._reception.name)
        try:
            for complaint in await check_patterns(connection, config):
                _log.warning("%s", complaint)
        except ConfigError as exc:
            raise StartFailedError(str(exc)) from exc
        self._relay = Relay(connection.hand_over(), config, self._lasting)
        self._relay.start()
        if load is not None:
            await self._load(load)

    async def _load(self, load: Load) -> None:
        async with self._own_client() as connection:
            failure = await load_at_start(load, connection)
        if failure is not None:
            raise StartFailedError(failure)

    async def quit(self) -> None:
        """Have QEMU quit, and wait until it has ended."""
        assert self._relay is not None, "begin comes first"
        with contextlib.suppress(NotQMPError):  # QEMU may be gone before its answer is read
            async with self._own_client() as connection:
                await connection.execute([Execute("quit")])
        await self._relay.lost.wait()

    def _own_client(self) -> contextlib.AbstractAsyncContextManager[QMPConnection]:
        client = replace(self._reception.starter, listener=AT_START)
        return own_client(self._add, self._config.upstream, self._lasting.new_id, self._reception.name, client)

    async def serve(self) -> None:
        """Serve clients until QEMU has gone. They may still have to read what it said: see `emptied`."""
        assert self._relay is not None, "begin comes first"
        preload_in_loop((self._config,))
        self._reception.hand_over(self._add_greeted, self._add)
        await self._relay.lost.wait()

    async def close(self) -> None:
        """Stop serving, and write all records. Clients may read what QEMU has left for them until `emptied`.

        The reception is closed separately.
        """
        if self._relay is not None:
            self._relay.close()
        if self._audit is not None:
            await self._audit.close()
            self._audit.losses.tell_end()
        await self._shared.state.finish(LAST_WRITE_S)

    async def emptied(self) -> None:
        """Wait until the clients have all that QEMU has said, or do not read."""
        if self._relay is not None:
            await self._lasting.leaving.emptied()

    def _add_greeted(self, end: End, client: Client) -> str | None:
        return self._add(end, client, is_greeted=True)

    def _add(self, end: End, client: Client, *, is_greeted: bool = False) -> str | None:
        if self._relay is None or self._relay.lost.is_set():
            end.close()
            return None
        errors_in_qmp = self._config.terms_at(client.listener).errors_in_qmp
        return self._relay.add_client(end, client, errors_in_qmp=errors_in_qmp, is_greeted=is_greeted)
