"""Answer questions and carry out orders at the control sockets, and answer scrapers.

The sockets exist only if they were asked for: each is a way into the process, and two proxies of one user would share its
default path.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Final, Protocol

from host.log_lines import about_vm
from host.net.addresses import TCPAddress, UnixAddress, is_loopback
from proxy.command_line.invocations import ServeInvocation
from proxy.command_line.places import default_path
from proxy.control.control_socket import ControlSocket
from proxy.control.exposition import Watched, exposition
from proxy.control.protocol import RefusedError, Request, spell_pieces, spell_return, spell_text_in_pieces
from proxy.control.replacement import members_of
from proxy.control.server import AskedSocket, Place
from proxy.control.share import Share
from proxy.control.status import PatternStatus, as_members
from proxy.errors import UpgradeError
from proxy.fleet.fleet import Fleet
from proxy.fleet.successor import GivenVM, known_vms, replacement_of
from proxy.fleet.supervision import SupervisedVM
from shim.client import Client
from shim.qmp import JSON
from shim.version import VERSION

__all__ = ["Operation"]

_log = logging.getLogger(__name__)

# A backup may pause all VMs at the same time, and each pause waits for its savevm.
_MOST_OPERATORS: Final = 1000
# How often a pause checks whether the snapshot command that it waits for still runs.
_LOOK_S: Final = 0.02
# How long the process stays to report that it has left its VMs to the service manager.
_LAST_WORD_S: Final = 0.5


class Upgrade(Protocol):
    """See Daemon.upgrade."""

    async def __call__(self, formats: object, *, ends_others: bool) -> Mapping[str, str]: ...


class Operation:
    """Call `start` in the loop, and `close` at the end. The constructor raises ListenError.

    Nobody is answered before the fleet has started all of its VMs, so no answer covers only some of them.

    reload: reads the configuration again, and returns its mistakes. patterns: returns the patterns by which VMs are discovered.
    """

    def __init__(
        self,
        invocation: ServeInvocation,
        fleet: Fleet,
        reload: Callable[[], Awaitable[Sequence[str]]],
        patterns: Callable[[], Sequence[PatternStatus]] = tuple,
        upgrade: Upgrade | None = None,
    ) -> None:
        self._fleet = fleet
        self._reload = reload
        self._upgrade_process = upgrade
        self._has_left = False
        self._patterns = patterns
        self._sockets: list[AskedSocket] = []
        # Those who may only look share one; those who may act never wait for them.
        self._readers, self._operators = Share(), Share()
        try:
            if (place := invocation.control) is not None:
                _make_default_folder(place, default_path("control"))
                self._sockets.append(ControlSocket(place, self._read))
            if (place := invocation.admin) is not None:
                _make_default_folder(place, default_path("admin"))
                self._sockets.append(ControlSocket(place, self._act, most=_MOST_OPERATORS))
            if (place := invocation.metrics) is not None:
                self._sockets.append(self._metrics_server(place))
        except BaseException:
            for opened in self._sockets:
                opened.discard()
            raise

    def start(self) -> None:
        """Accept connections, and answer."""
        for opened in self._sockets:
            opened.start()

    async def close(self) -> None:
        """Remove the sockets."""
        for opened in self._sockets:
            await opened.close(_LAST_WORD_S if self._has_left else 0)

    def _metrics_server(self, place: Place) -> AskedSocket:
        from proxy.control.metrics_server import MetricsServer  # here, because most have no HTTP

        server = MetricsServer(place, self._metrics)
        if isinstance(place.address, TCPAddress) and not is_loopback(str(server.address[0])):
            _log.warning("metrics are open to other machines at %s: names of VMs and of programs are among them", place.address)
        return server

    async def _read(self, request: Request, who: Client) -> bytes:
        """Answer a request at the socket that only answers questions."""
        await self._fleet.begun.wait()
        match request.command:
            case "status" | "metrics":
                return await self._tell(request, self._readers)
            case "disconnect" | "pause" | "resume" | "reload" | "upgrade":
                raise RefusedError("this socket only answers questions; send orders to the --admin socket")
        raise RefusedError(f"'{request.command:.40}' is not known here; status and metrics are")

    async def _act(self, request: Request, who: Client) -> bytes:
        """Answer a request at the socket that takes orders, too."""
        await self._fleet.begun.wait()
        match request.command:
            case "status" | "metrics":
                return await self._tell(request, self._operators)
            case "disconnect":
                return spell_return(self._disconnect(self._vm(request), request.text("client") or "", who))
            case "pause":
                return spell_return(await self._pause(self._vm(request), request, who))
            case "resume":
                return spell_return(self._resume(self._vm(request), who))
            case "reload":
                _log.info("the configuration is read again, as %s has asked", who)
                return spell_return(list(await self._reload()))
            case "upgrade":
                return spell_return(await self._upgrade(request, who))
        known = "status, metrics, disconnect, pause, resume, reload and upgrade"
        raise RefusedError(f"'{request.command:.40}' is not known here; {known} are")

    async def _tell(self, request: Request, share: Share) -> bytes:
        if request.command == "metrics":
            return await share.join(spell_text_in_pieces(self._exposition()))
        name = request.text("vm")
        vms: Iterable[SupervisedVM | GivenVM] = known_vms(self._fleet) if name is None else (self._find(name),)
        replacement = members_of(replacement_of(self._fleet), vm=name)
        about: dict[str, JSON] = {"version": VERSION, "pid": os.getpid(), "replaced_by": replacement}
        if name is None:
            about["discover"] = [asdict(pattern) for pattern in self._patterns()]
        return await share.join(spell_pieces(about, "vms", (as_members(vm.status()) for vm in vms)))

    async def _metrics(self) -> bytes:
        await self._fleet.begun.wait()
        return await self._readers.join(self._exposition())

    def _exposition(self) -> Iterator[bytes]:
        watched = []
        for vm in known_vms(self._fleet):
            watched.append(Watched(vm.status(), vm.standing.history))
            yield b""  # looking at a VM takes time, too
        yield from exposition(watched)

    def _vm(self, request: Request) -> SupervisedVM:
        if (name := request.text("vm")) is None:
            raise RefusedError("say which VM")
        return self._find(name)

    def _find(self, name: str) -> SupervisedVM:
        vms, replacement = known_vms(self._fleet), replacement_of(self._fleet)
        for vm in vms:
            if vm.name == name and isinstance(vm, SupervisedVM):
                return vm
        other = "" if replacement is None else f"{replacement.who} is taking over"
        if any(vm.name == name for vm in vms):
            raise RefusedError(
                f"'{name}' was handed over: {other}, serves it now, and can be asked when this process has ended"
            )
        here = f"no VM '{name}' is served; there are {', '.join(vm.name for vm in vms) or 'none'}"
        raise RefusedError(f"{here}; {other}, and may serve it" if other else here)

    # Orders.

    def _disconnect(self, vm: SupervisedVM, which: str, who: Client) -> JSON:
        """Disconnect the client of this number, or else all clients of the process with this pid. Return who they were."""
        clients = vm.status().clients
        found = [client for client in clients if str(client.number) == which] or [
            client for client in clients if str(client.pid) == which
        ]
        if not found:
            raise RefusedError(f"no client of '{vm.name}' has the number or pid '{which:.40}'; hmp-proxy clients lists them")
        with about_vm(vm.name):
            for client in found:
                _log.info("%s is disconnected, as %s has asked", client.who, who)
                vm.disconnect(client.number)
        return [client.who for client in found]

    async def _pause(self, vm: SupervisedVM, request: Request, who: Client) -> JSON:
        """Pause snapshot commands, and wait until none runs, unless told not to. The pause stays if whoever asked goes."""
        limit_s, waits = request.number("for_s"), not request.flag("no_wait")
        with about_vm(vm.name):
            vm.standing.pausing.begin(limit_s, str(who))
        while waits and vm.is_at_work:
            # Polling is cheaper than an event that everything that can end a command would have to set.
            await asyncio.sleep(_LOOK_S)
            if vm.standing.pausing.status() is None:
                raise RefusedError(f"the pause of '{vm.name}' ended before the running snapshot command did")
        return {"at_work": vm.is_at_work, "connected": vm.is_connected}

    def _resume(self, vm: SupervisedVM, who: Client) -> JSON:
        with about_vm(vm.name):
            return {"was_paused": vm.standing.pausing.end(str(who))}

    async def _upgrade(self, request: Request, who: Client) -> JSON:
        """Leave all VMs to the service manager. Return the VMs that prevent it, and why."""
        assert self._upgrade_process is not None, "the daemon gives it"
        _log.info("leaving all VMs to the service manager for an upgrade, as %s has asked", who)
        try:
            formats, ends_others = request.members.get("formats"), request.flag("end_others")
            why_not = await self._upgrade_process(formats, ends_others=ends_others)
        except UpgradeError as exc:
            _log.error("%s; all VMs are served as before", exc.reason)
            raise RefusedError(exc.reason) from exc
        for name, why in why_not.items():
            with about_vm(name):
                _log.error("it cannot be handed over, and all VMs are served as before: %s", why)
        self._has_left = not why_not
        return {"pid": os.getpid(), "why_not": dict(why_not)}


def _make_default_folder(place: Place, path: str) -> None:
    """Make the folder of a default path, as a service manager does for a service. Root's folder is open to others."""
    if isinstance(place.address, UnixAddress) and place.address.path == path:
        with contextlib.suppress(OSError):  # then the socket cannot be created, and that error says why
            os.mkdir(os.path.dirname(path), 0o755 if os.geteuid() == 0 else 0o700)
