"""The proxy of one VM: where clients come in, the connection to QEMU and its return, and an orderly end."""

import asyncio
import logging
import time
from datetime import UTC, datetime

from host.addresses import DescriptorAddress
from host.audit_log import AuditLog
from host.backoff import backoff_s
from host.config import VMConfig
from host.ids import own_ids
from host.intents import IntentStore, state_folder
from proxy import takeover
from proxy.conversation import Conversation
from proxy.entrances import Entrances
from proxy.errors import ListenError, NotQMPError, UpstreamError
from proxy.link import Link
from proxy.monitor import Clock
from proxy.stream import End
from proxy.takeover import TakenOver
from proxy.upstream import Upstream
from shim.client import Client
from shim.jobs import JOB_PREFIX
from shim.policy import Policy

__all__ = ["Server"]

_log = logging.getLogger(__name__)

_CLOCK = Clock(
    monotonic_ns=time.monotonic_ns,
    utc=lambda: datetime.now(UTC),
    local=datetime.now,
    local_time=datetime.fromtimestamp,
)


class Server:
    """Serve one VM. `run` goes on until `stop` is called, or the only client that can come has left."""

    def __init__(self, config: VMConfig, audit_log: AuditLog | None) -> None:
        self.config = config
        self._policy = config.policy
        self._audit_log = audit_log
        self._intents = _intents(config)
        self._own_prefix = f"{JOB_PREFIX}{self._intents.token}-"
        self._new_id = own_ids(self._own_prefix)
        self._link: Link | None = None
        self._taken_over: TakenOver | None = None
        self._entrances = Entrances(self._admit)
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serve. Raises UpstreamError, NotQMPError, ListenError or ConfigError if it cannot begin."""
        if self.config.take_over is not None:
            takeover.restore(self.config.take_over)
        self._upstream = Upstream(self.config.upstream, name=self.config.name, new_id=self._new_id)
        try:
            await self._connect_or_stop()
            if not self._stop.is_set():
                await self._serve()
        finally:
            self._close()

    def stop(self) -> None:
        """End, when the rewritten command that runs is done."""
        self._stop.set()

    def set_policy(self, policy: Policy) -> None:
        """Use another policy for the commands that come from now on."""
        self._policy = policy
        if self._link is not None:
            self._link.set_policy(policy)

    async def _connect_or_stop(self) -> None:
        """Connect for the first time, which may take as long as the operator likes."""
        connecting = asyncio.ensure_future(self._connect_first())
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait((connecting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if connecting.done():
                await connecting
        finally:
            for task in (connecting, stopping):
                task.cancel()
            await asyncio.wait((connecting, stopping))

    async def _connect_first(self) -> None:
        try:
            conversation = await self._upstream.connect()
        except (UpstreamError, NotQMPError) as exc:
            if not self.config.wait:
                raise
            _log.warning("%s; waiting for it", exc)
            await self._reconnect()
            return
        try:
            await self._check_patterns(conversation)
        except BaseException:
            conversation.close()
            raise
        self._begin(conversation)

    async def _check_patterns(self, conversation: Conversation) -> None:
        if self.config.policy.patterns:
            from proxy.pattern_check import check_patterns  # here, because it brings TOML with it

            await check_patterns(conversation, self.config)

    def _begin(self, conversation: Conversation) -> None:
        link = Link(
            conversation.hand_over(),
            self._policy,
            new_id=self._new_id,
            own_prefix=self._own_prefix,
            intents=self._intents,
            clock=_CLOCK,
            audit_log=self._audit_log,
            client_buffer_bytes=self.config.client_buffer_bytes,
        )
        link.start()
        self._link = link
        monitor = conversation.monitor
        _log.info("connected to QEMU %s at %s, VM %s", monitor.version, self.config.upstream, monitor.vm)

    async def _serve(self) -> None:
        self._entrances.open(self.config.listen)
        self._take_over()
        self._entrances.start()
        for address in self.config.entrances:
            _log.warning("listening on %s for QEMU at %s", address, self._upstream.address)
        async with asyncio.TaskGroup() as group:
            tending = group.create_task(self._tend())
            await self._stop.wait()
            tending.cancel()
        await self._finish_work()

    async def _tend(self) -> None:
        """Connect again whenever QEMU went; where no client can come any more, stop with the last one."""
        while self._link is not None:
            if self._entrances.has_only_connected:
                await self._link.deserted.wait()
                self._stop.set()
                return
            await self._link.lost.wait()
            self._link = None
            if not self._upstream.can_return:
                _log.warning("QEMU at %s has gone", self._upstream.address)
                self._stop.set()
                return
            _log.warning("QEMU at %s has gone; waiting for it to come back", self._upstream.address)
            await self._reconnect()
            _log.warning("QEMU at %s is back", self._upstream.address)

    async def _reconnect(self) -> None:
        for delay in backoff_s():
            await asyncio.sleep(delay)
            try:
                self._take_over_anew()
                self._begin(await self._upstream.connect())
            except (UpstreamError, NotQMPError, ListenError) as exc:
                _log.info("%s", exc)
            else:
                return

    def _take_over(self) -> None:
        if self.config.take_over is not None:
            self._taken_over = takeover.take_over(self.config.take_over)
            self._upstream.address = takeover.aside_address(self.config.take_over)
            self._entrances.add(self._taken_over.listening)

    def _take_over_anew(self) -> None:
        """Move aside the socket that a QEMU that was started anew has made in place of ours."""
        if self._taken_over is not None and takeover.has_returned(self._taken_over):
            self._entrances.remove(self._taken_over.listening)
            self._taken_over.listening.close()
            self._take_over()
            self._entrances.start()

    async def _finish_work(self) -> None:
        """Let all that was begun come to its answer; what takes longer than the operator wants to wait is put on record."""
        link = self._link
        if link is None:
            return
        link.stop()
        if link.finished.is_set():
            return
        _log.warning("stopping when what was begun is answered; a second signal stops at once")
        try:
            async with asyncio.timeout(self.config.stop_timeout_s):
                await link.finished.wait()
        except TimeoutError:
            _log.error("stop_timeout is over: what runs in QEMU goes on there without the proxy")

    def _admit(self, end: End, client: Client) -> None:
        if self._link is None or self._link.lost.is_set() or self._stop.is_set():
            end.close()  # as QEMU's own socket would be: there is nobody
        else:
            self._link.add_client(end, client)

    def _close(self) -> None:
        if self._link is not None:
            self._link.close()
        if self._taken_over is not None:
            self._entrances.remove(self._taken_over.listening)
            self._taken_over.give_back()
        self._entrances.close()
        self._upstream.close()


def _intents(config: VMConfig) -> IntentStore:
    """Keep them in a file, except where the address does not tell one VM from another: an inherited connection's number."""
    has_lasting_address = not isinstance(config.upstream, DescriptorAddress)
    return IntentStore(str(config.upstream), state_folder() if has_lasting_address else None)
