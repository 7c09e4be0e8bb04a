"""Attach to a QEMU whose socket belongs to a tool: borrow the socket for a moment, to add a monitor of our own.

Since 11.1 QEMU can be given a new monitor while it runs: a character device, and a `monitor-qmp` object on it. The device is
one half of a socket pair, which is passed to QEMU with `getfd`. So nothing is created in the file system, nobody else can
connect, and it does not matter as which user QEMU runs or what it may open.

`close-action` makes QEMU remove both when our half is closed, even if the kernel closes it for a proxy that was killed. (To
remove them ourselves would take another monitor: QEMU refuses to delete the one that asks for it.) If QEMU was running one of
our commands just then, it fails to delete the monitor and both stay (8 of 30 times; none of 300 between commands; 11.1.3).
These show as disconnected, and the next proxy removes them.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from host.ids import own_ids
from proxy.errors import AttachError, UpstreamError
from proxy.net.qmp_connection import QMPConnection
from proxy.net.upstream import Upstream
from shim.qmp import JSON, ErrorReply, Execute, ReturnReply

if TYPE_CHECKING:
    from host.settings.config import VMConfig
    from proxy.net.certificates import Certificates

__all__ = ["MONITOR_PREFIX", "AttachedUpstream", "upstream_of"]

_log = logging.getLogger(__name__)

# The prefix of the ids of a proxy's monitors and their character devices. Both have the same id.
MONITOR_PREFIX: Final = "hmpshim-monitor-"
# The same for every proxy: a descriptor that was left under this name is closed when the next is passed.
_FDNAME: Final = "hmpshim-monitor"
_new_label: Final = own_ids(MONITOR_PREFIX)
_SINCE: Final = (11, 1)
# How query-chardev shows a socket whose other end has gone (chardev/char-socket.c).
_DISCONNECTED: Final = "disconnected:"


def upstream_of(config: VMConfig, new_id: Callable[[], str], certificates: Certificates) -> Upstream:
    """Return the upstream of a VM as configured. Raises ListenError if the socket for QEMU to connect to cannot be made."""
    kind = Upstream if config.attach is None else AttachedUpstream
    return kind.of_vm(config, new_id, certificates)


class AttachedUpstream(Upstream):
    """An Upstream with a monitor of its own for each connection. The socket at the address is free again afterwards."""

    async def connect(self) -> QMPConnection:
        """Borrow the socket, add a monitor, and negotiate there. Also raises AttachError, if QEMU cannot or does not add it."""
        borrowed = await super().connect()
        try:
            if borrowed.monitor.version < _SINCE:
                version = borrowed.monitor.version
                reason = f"it is QEMU {version}, and only 11.1 or newer can add a monitor; take over its socket instead"
                raise AttachError(str(self.address), reason)
            await _remove_leftovers(borrowed)
            sock = await self._add_monitor(borrowed)
        finally:
            borrowed.close()
        return await self._negotiated(sock)

    async def _add_monitor(self, borrowed: QMPConnection) -> socket.socket:
        """Have QEMU add a monitor on one half of a socket pair. Return our half."""
        label = _new_label()
        device = {"addr": {"type": "fd", "data": {"str": _FDNAME}}, "server": False}
        commands = (
            Execute("getfd", {"fdname": _FDNAME}),
            Execute("chardev-add", {"id": label, "backend": {"type": "socket", "data": device}}),
            Execute("object-add", {"qom-type": "monitor-qmp", "id": label, "chardev": label, "close-action": "delete"}),
        )
        try:
            ours, theirs = socket.socketpair()
        except OSError as exc:
            raise UpstreamError(str(self.address), exc.strerror or str(exc)) from exc
        try:
            with theirs:
                replies = await borrowed.execute(commands, [theirs.fileno()])
            refused = next((reply.desc for reply in replies if isinstance(reply, ErrorReply)), None)
            if refused is not None:
                await borrowed.execute([Execute("chardev-remove", {"id": label}), Execute("closefd", {"fdname": _FDNAME})])
                raise AttachError(str(self.address), f"a monitor cannot be added: {refused}")
        except BaseException:
            ours.close()
            raise
        return ours


async def _remove_leftovers(borrowed: QMPConnection) -> None:
    """Remove the monitors that killed proxies have left. Those of running proxies are connected, and stay."""
    (reply,) = await borrowed.execute([Execute("query-chardev")])
    for label in _dead(reply.value if isinstance(reply, ReturnReply) else []):
        await borrowed.execute([Execute("object-del", {"id": label}), Execute("chardev-remove", {"id": label})])
        _log.debug("removed the monitor that a proxy had left in QEMU: %s", label)


def _dead(chardevs: JSON) -> list[str]:
    return [
        chardev["label"]
        for chardev in chardevs
        if chardev["label"].startswith(MONITOR_PREFIX) and chardev["filename"].startswith(_DISCONNECTED)
    ]
