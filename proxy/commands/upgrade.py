"""`hmp-proxy upgrade`: have systemd replace a running proxy, which no tool notices, and wait for the new one."""

import logging
import time
from typing import Final

from host.log_lines import about_vm
from proxy.commands.asking import NoProxyError, RefusedByProxyError, request
from proxy.control.protocol import Request
from proxy.errors import UpgradeError
from proxy.handover.format import READ_FORMATS
from shim.printable import natural
from shim.qmp import JSON

__all__ = ["upgrade"]

_log = logging.getLogger(__name__)

# systemd starts the new process at once, but the machine may be busy.
_START_S: Final = 60.0
_PAUSE_S: Final = 0.05
_OPTION: Final = "--admin"


def upgrade(path: str, *, ends_others: bool) -> str:
    """Return the result in words. path: of the proxy's --admin socket.

    Raises UpgradeError if VMs prevent it, RefusedByProxyError if something else does, and NoProxyError, also if no new process
    comes.
    """
    asked = Request("upgrade", {"formats": list(READ_FORMATS), "end_others": ends_others})
    told = request(path, _OPTION, asked, waits=True)
    try:
        pid, why_not = int(told["pid"]), dict(told["why_not"])
    except (KeyError, TypeError, ValueError) as exc:
        raise NoProxyError(path, "what answers there is another version of hmp-proxy") from exc
    for name, why in sorted(why_not.items(), key=lambda one: natural(one[0])):
        with about_vm(name):
            _log.error("it cannot be handed over: %s", why)
    if why_not:
        reason = "all VMs are served as before; --end-others disconnects the clients of those named above, and goes on"
        raise UpgradeError(f"the proxy at {path}", reason)
    successor = _successor(path, pid)
    return f"hmpshim {successor['version']} now serves the VMs (pid {successor['pid']})"


def _successor(path: str, pid: int) -> JSON:
    """Wait until another process answers, and return its status. Raises NoProxyError if none does."""
    end_s = time.monotonic() + _START_S
    while time.monotonic() < end_s:
        try:
            told = request(path, _OPTION, Request("status"))
            if told["pid"] != pid:
                return told
        except (NoProxyError, RefusedByProxyError):  # it is not there yet
            pass
        time.sleep(_PAUSE_S)
    reason = f"the process has left its VMs to systemd, and no new one answers within {_START_S:g} s; see the service's log"
    raise NoProxyError(path, reason)
