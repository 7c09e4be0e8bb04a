"""Connect a VM's proxy to QEMU: at the start, and again whenever QEMU has gone."""

import logging
from collections.abc import Callable
from typing import Protocol, TypeAlias

from host.errors import ConfigError
from host.settings.config import VMConfig
from proxy.change import PolicyCheck
from proxy.entrance.front import Front
from proxy.errors import HungUpError, ListenError, NotQMPError, UpstreamError
from proxy.net.qmp_connection import QMPConnection
from proxy.net.upstream import Upstream
from proxy.pauses import Pauses

__all__ = ["Connector"]

_log = logging.getLogger(__name__)


_Begin: TypeAlias = Callable[[QMPConnection, bool], None]


class _Configured(Protocol):
    """A VM, whose configuration may differ from one attempt to the next."""

    config: VMConfig


class Connector:
    """Call `connect` once, or `connect_again` each time that QEMU has to be waited for.

    begin: serves a QEMU that has been connected to; its second argument says whether that is the first time. It may raise
    ListenError.
    """

    __slots__ = ("_begin", "_check", "_front", "_pauses", "_upstream", "_vm")

    def __init__(
        self,
        vm: _Configured,
        upstream: Upstream,
        front: Front,
        check: PolicyCheck,
        begin: _Begin,
    ) -> None:
        self._vm = vm
        self._upstream = upstream
        self._front = front
        self._check = check
        self._begin = begin
        self._pauses = Pauses()

    async def connect(self, *, is_first: bool) -> None:
        """Connect, compare the policy's patterns with the disks, and serve.

        Raises UpstreamError or NotQMPError if QEMU is not there, ListenError if clients cannot come in, and ConfigError if a
        strict configuration has patterns that match nothing. If it is not the first time, that is only logged.
        """
        connection = await self._upstream.connect()
        try:
            await self._check.look(connection, self._vm.config)
        except ConfigError as exc:
            if is_first:
                connection.close()
                raise
            _log.error("%s", exc)
        except BaseException:
            connection.close()
            raise
        self._begin(connection, is_first)
        self._pauses.note_connected()

    async def connect_again(
        self, on_problem: Callable[[str], object], *, is_first: bool = False, is_patient: bool = True
    ) -> bool:
        """Try until QEMU is there, and return True; without is_patient, return False as soon as nobody answers.

        on_problem: called with the reason each time that it goes on trying. Raises AttachError, and if is_first also
        ListenError and ConfigError.
        """
        self._pauses.begin()
        while True:
            await self._pauses.wait()
            try:
                self._front.follow()
                await self.connect(is_first=is_first)
            except (UpstreamError, NotQMPError, ListenError) as exc:
                if is_first and isinstance(exc, ListenError):
                    raise
                if not is_patient and isinstance(exc, UpstreamError | HungUpError):
                    return False
                on_problem(str(exc))
                (_log.warning if isinstance(exc, ListenError) else _log.debug)("%s", exc)
                self._front.tell_who_came_first(exc)
            else:
                return True
