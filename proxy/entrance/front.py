"""All entrances of one VM: its own listeners and, with `--take-over`, the path of QEMU's socket.

Both open when QEMU is there and close when it has gone. Taking over a path moves QEMU's socket aside, which changes the address
at which QEMU is reached. This is the only place where that happens.
"""

import logging
import socket
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from host.net.addresses import Address
from host.net.connecting import count_waiting
from host.settings.admission import Refusal
from host.settings.config import VMConfig
from proxy.entrance.listeners import Listeners
from proxy.entrance.takeover import CarriedPath, TakeOver, aside_address
from proxy.errors import OccupiedError, ProxyError
from proxy.net.certificates import Certificates
from proxy.net.closing import close_listening
from proxy.net.ends import End
from proxy.net.sockets import CarriedListener, copied_socket
from proxy.net.upstream import Upstream
from shim.client import Client

__all__ = ["CarriedFront", "Front"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CarriedFront:
    """A VM's entrances, as a value from which another process goes on.

    in_place: the sockets at a path that is taken over. upstream: where QEMU is now.

    The sockets stay open meanwhile, so clients that connect wait in the kernel's queue. Their files are identified by inode, so
    the process that goes on removes them in the end, and the one that leaves does not. Whoever takes this up copies the
    descriptors, and does not own the originals.
    """

    listeners: Mapping[Address, tuple[CarriedListener, ...]]
    in_place: tuple[CarriedListener, ...]
    path: CarriedPath | None
    upstream: Address


class Front:
    """Let clients in while QEMU is there.

    Call `hold` before the first connection; `open` and `start` when QEMU is there, `leave` when it has gone, `follow` before
    each attempt to connect again; `change` at any time; `suspend` when no more clients are wanted, and `close` at the end.
    upstream: its address is updated when QEMU's socket moves. on_refused: called for each client that is turned away.
    """

    def __init__(
        self,
        config: VMConfig,
        upstream: Upstream,
        admit: Callable[[End, Client], str | None],
        may_admit: Callable[[], bool],
        certificates: Certificates | None = None,
        on_refused: Callable[[Refusal], object] = lambda _: None,
    ) -> None:
        self._addresses = (*config.listen, *config.hmp_listen)
        self._upstream = upstream
        self._listeners = Listeners(admit, may_admit, config.terms_at, certificates, on_refused)
        is_found = config.origin is not None and config.origin.is_found
        self._path = None if config.take_over is None else TakeOver(config.take_over, drops_dead=is_found)
        self._in_place: list[socket.socket] = []
        # What it is called where the VM is configured.
        self._take_over = config.name_of("take_over")
        self._has_told_who_came = False

    @property
    def is_for_one(self) -> bool:
        """Whether no further client can come once this is started."""
        return self._listeners.has_only_connected

    @property
    def is_in_place(self) -> bool:
        """Whether the socket at the path that is taken over is our own."""
        return self._path is not None and self._path.is_at_path

    def hold(self) -> None:
        """Open the listeners that stay open while QEMU is away. Raises ListenError."""
        self._listeners.open(self._addresses, only_holding=True)

    def open(self) -> None:
        """Open all listeners, and take over QEMU's path. Raises ListenError."""
        self._listeners.open(self._addresses)
        if self._path is not None:
            self._has_told_who_came = False
            self._path.move_aside()
            self._tell_who_waits(self._path)
            self._listen_in_place(self._path)

    def change(self, config: VMConfig) -> None:
        """Use the addresses and terms of another configuration. Raises ListenError, and then changes nothing.

        A path that is taken over must be the same as before.
        """
        addresses = (*config.listen, *config.hmp_listen)
        self._listeners.change(addresses, config.terms_at)
        self._addresses = addresses

    def release(self, addresses: Collection[Address]) -> None:
        """Close these addresses, because another VM is to have them. Call `change` after it."""
        self._listeners.release(addresses)

    def start(self) -> bool:
        """Let clients in. Return whether one was connected already."""
        return self._listeners.start()

    def suspend(self) -> None:
        """Let nobody in; only sockets that hold stay open."""
        self._listeners.suspend()

    def leave(self) -> None:
        """Let nobody in, because QEMU has gone.

        If the path holds (`hold:`), the last of our sockets there stays open, and clients wait at it; `follow` moves a
        restarted QEMU's socket aside and makes ours anew.
        """
        self._listeners.suspend()
        path = self._path
        if path is None:
            return
        path.is_left = True
        # Sockets at which clients waited for a QEMU that has since come and gone have no path any more.
        kept = self._in_place[-1:] if path.address.holds else []
        for listening in self._in_place:
            if listening not in kept:
                self._listeners.remove(listening)
                close_listening(listening, is_shared=False)
        self._in_place = kept
        if not kept:
            path.withdraw()

    def follow(self) -> None:
        """Move aside the socket that a restarted QEMU has made where ours was. If the path holds, listen there meanwhile."""
        path = self._path
        if path is not None and (path.has_moved or path.address.holds):
            path.move_aside()
            if path.address.holds:
                self._listen_in_place(path)

    def tell_who_came_first(self, exc: ProxyError) -> None:
        """Log, once for each QEMU, that another program was at its socket before the path was taken over."""
        if self._path is None or self._has_told_who_came or not isinstance(exc, OccupiedError):
            return
        self._has_told_who_came = True
        path = self._path.address
        wait = "" if path.holds else f"with {self._take_over} hold:{path.path} tools can wait before QEMU is there, and "
        _log.warning(
            "a program connected to QEMU at %s before the proxy did. It has QEMU's own monitor until it disconnects, so its"
            " snapshot commands are not rewritten, and the proxy waits until it leaves. Restart that program; %swith"
            " hmp-proxy wrap none can come first",
            *(path.path, wait),
        )

    def _tell_who_waits(self, path: TakeOver) -> None:
        """Log that programs connected to QEMU's socket after us, just before it was moved aside.

        Call it before our socket is made: the kernel knows that by the same path, and clients could not be told apart then.
        """
        waiting = 0 if self._in_place else count_waiting(path.address.path)
        if waiting:
            _log.warning(
                "programs that connected to QEMU at %s just before it was taken over: %d. They get no greeting while the proxy"
                " runs, and QEMU's own monitor afterwards. Restart them",
                *(path.address.path, waiting),
            )

    def pause(self) -> None:
        """Let nobody in until `start`; clients that connect wait in the kernel's queue."""
        self._listeners.pause()

    @property
    def is_busy(self) -> bool:
        """Whether a client has connected and is not let in yet."""
        return self._listeners.is_busy

    def carried(self) -> CarriedFront:
        """Return what another process needs to go on with these entrances."""
        in_place = tuple(CarriedListener(sock.fileno(), None) for sock in self._in_place)
        path = None if self._path is None else self._path.carried()
        return CarriedFront(self._listeners.carried(), in_place, path, self._upstream.address)

    def take_up(self, carried: CarriedFront) -> None:
        """Go on with what another process has opened, instead of `hold` or `open`."""
        self._listeners.take_up(carried.listeners)
        self._upstream.address = carried.upstream
        if self._path is not None and carried.path is not None:
            self._path.take_up(carried.path)
            for one in carried.in_place:
                self._in_place.append(copied_socket(one.number))
                self._listeners.add(self._in_place[-1], self._path.address)

    def let_go(self) -> None:
        """Forget everything without ending it: another process goes on with it."""
        self._listeners.let_go()
        self._in_place.clear()
        if self._path is not None:
            self._path.let_go()

    def close(self) -> None:
        """Close all entrances, and put QEMU's socket back."""
        self._listeners.close()
        if self._path is not None:
            self._path.give_back()

    def _listen_in_place(self, path: TakeOver) -> None:
        """Listen where QEMU's socket was, and note where that is now."""
        if not path.is_at_path:
            self._in_place.append(path.listen())
            self._listeners.add(self._in_place[-1], path.address)
        self._upstream.address = aside_address(path.address)
