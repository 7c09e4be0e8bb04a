"""Where clients come in: listening sockets, an inherited connection, or standard input and output.

While QEMU is away, clients cannot be served. Sockets that were made here are closed then, and a unix socket's path is gone, as
QEMU's own would be: a tool that tries to connect until it works keeps trying. Where the operator says so (`hold:`), and at
sockets that were passed to us, which only their maker can remove, clients wait in the kernel's queue instead. In neither case
is a connection accepted that cannot be served.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from host.net.addresses import Address, TCPAddress, UnixAddress, plain
from host.settings.admission import Refusal
from host.settings.listener import Terms, listener_name
from proxy.entrance.doorkeeper import Doorkeeper
from proxy.entrance.open_listener import OpenListener
from proxy.entrance.opening import is_held, is_made_here, open_address
from proxy.errors import ListenError
from proxy.net.certificates import Certificates
from proxy.net.closing import close_descriptors
from proxy.net.descriptors import shortage
from proxy.net.ends import End
from proxy.net.sockets import CarriedListener, SocketFile, copied_socket
from shim.client import Client

__all__ = ["Listeners"]

_log = logging.getLogger(__name__)

# Out of descriptors: how long to leave new connections in the kernel's queue.
_ACCEPT_PAUSE_S = 1.0


class Listeners:
    """Open the addresses that the operator named, and pass each client to `admit`.

    An address is opened completely or not at all, and so are all addresses of a VM together: a proxy that serves half of what
    its operator named only looks as if it worked.

    Call `open` (or `add` for a socket that is listening already), then `start` when QEMU is there, `suspend` when it has gone,
    and so on; `change` at any time, and `close` at the end. may_admit: tells whether a client can be accepted right now.
    terms_at: returns a listener's terms by its name. on_refused: called for each client that is turned away.
    """

    def __init__(
        self,
        admit: Callable[[End, Client], str | None],
        may_admit: Callable[[], bool] = lambda: True,
        terms_at: Callable[[str], Terms] = lambda _: Terms(),
        certificates: Certificates | None = None,
        on_refused: Callable[[Refusal], object] = lambda _: None,
    ) -> None:
        self._terms_at = terms_at
        self._doorkeeper = Doorkeeper(admit, certificates, on_refused)
        self._may_admit = may_admit
        self._opened: dict[Address, list[OpenListener]] = {}
        self._added: list[OpenListener] = []
        self._connected: list[tuple[End, Client]] = []
        # Whether all addresses are open, not only those that hold.
        self._is_open = False
        self._is_started = False
        self._is_short = False

    @property
    def has_only_connected(self) -> bool:
        """Whether no further client can come once these are started."""
        return not any(self._listeners())

    def open(self, addresses: Sequence[Address], *, only_holding: bool = False) -> None:
        """Open all addresses that are not open yet, or none. Raises ListenError.

        only_holding: open only those at which clients wait while QEMU is away (`hold:`).
        """
        with contextlib.ExitStack() as stack:
            for address in addresses:
                if address in self._opened or (only_holding and not is_held(address)):
                    continue
                stack.callback(self._close_one, address)
                stack.callback(self._close_connected)
                self._open(address)
            stack.pop_all()
        self._is_open = not only_holding

    def change(self, addresses: Sequence[Address], terms_at: Callable[[str], Terms]) -> None:
        """Use these addresses and terms from now on. Raises ListenError, and then changes nothing.

        Connected clients stay, whichever address they used. Inherited sockets must be the same as before.
        """
        wanted = {plain(address): address for address in addresses}
        kept = [listener for listener in self._listeners() if listener in self._added or plain(listener.address) in wanted]
        with contextlib.ExitStack() as undone:
            undone.callback(setattr, self, "_terms_at", self._terms_at)
            self._terms_at = terms_at
            for listener in kept:
                undone.callback(_put_back, listener, listener.terms)
                listener.change_terms(terms_at(listener_name(listener.address)))
            opened = {plain(address) for address in self._opened}
            self.open([address for address in addresses if plain(address) not in opened], only_holding=not self._is_open)
            undone.pop_all()
        self._keep(wanted)
        if self._is_started:
            for listener in self._listeners():
                if listener not in kept:
                    self._listen_to(listener)

    def release(self, addresses: Collection[Address]) -> None:
        """Close these addresses, because somebody else is to listen there."""
        for address in [address for address in self._opened if plain(address) in addresses]:
            self._close_one(address)

    def _keep(self, wanted: Mapping[Address, Address]) -> None:
        """Close the addresses that are not wanted. Those that are may hold clients now (`hold:`), or not any more."""
        before, self._opened = self._opened, {}
        for address, listeners in before.items():
            now = wanted.get(plain(address))
            if now is None or (isinstance(now, UnixAddress | TCPAddress) and not (self._is_open or now.holds)):
                for listener in listeners:
                    self._ignore(listener)
                    listener.close()
                continue
            self._opened[now] = listeners
            if now != address:
                for listener in listeners:
                    listener.address, listener.holds = now, is_held(now)

    def add(self, listening: socket.socket, address: Address, file: SocketFile | None = None) -> None:
        """Let clients in at a socket that somebody else has made, and will close after `remove`.

        file: the file to remove when `close` closes the socket.
        """
        listening.setblocking(False)
        terms = self._terms_at(listener_name(address))
        self._added.append(OpenListener(listening, address, terms, holds=True, file=file))
        if self._is_started:
            self._listen_to(self._added[-1])

    def receive(self, sock: socket.socket, address: Address) -> None:
        """Let in a client that has connected already, on the terms of an address."""
        self._doorkeeper.receive(sock, address, self._terms_at(listener_name(address)))

    def admit(self, end: End, client: Client) -> None:
        """Let in a client to which no terms apply."""
        self._doorkeeper.admit(end, client)

    def start(self) -> bool:
        """Let clients in. Return whether one was connected already, which may have sent something."""
        self._is_started = True
        for listener in self._listeners():
            self._listen_to(listener)
        connected, self._connected = self._connected, []
        for end, client in connected:
            self._doorkeeper.admit(end, client)
        return bool(connected)

    def pause(self) -> None:
        """Let nobody in until `start`. All sockets stay open, and clients that connect wait there."""
        self._is_started = False
        for listener in self._listeners():
            self._ignore(listener)

    @property
    def is_busy(self) -> bool:
        """Whether a client has connected and is not let in yet."""
        return bool(self._connected) or self._doorkeeper.is_busy

    def carried(self) -> dict[Address, tuple[CarriedListener, ...]]:
        """Return what is open, except what was added."""
        return {
            address: tuple(CarriedListener(one.sock.fileno(), one.file) for one in opened)
            for address, opened in self._opened.items()
        }

    def take_up(self, carried: Mapping[Address, Sequence[CarriedListener]]) -> None:
        """Go on with what another process has opened."""
        for address, sockets in carried.items():
            terms, holds = self._terms_at(listener_name(address)), is_held(address) or not is_made_here(address)
            self._is_open |= not is_held(address)
            self._opened[address] = [
                OpenListener(copied_socket(one.number), address, terms, holds, one.file) for one in sockets
            ]

    def let_go(self) -> None:
        """Close our copies of the sockets only: another process goes on with them."""
        self.pause()
        for listener in self._listeners():
            close_descriptors((listener.sock.detach(),))
        self._opened.clear()
        self._added.clear()

    def suspend(self) -> None:
        """Let nobody in until `open` and `start` are called again. Calling it again does nothing.

        A socket that holds stays open: up to BACKLOG clients can connect to it and wait for a QEMU that may never come. All
        others are closed, so that a tool sees what it would see if QEMU itself had gone: no such file, or a refused connection.
        """
        self._is_started = self._is_open = False
        for listener in self._listeners():
            self._ignore(listener)
        for address, listeners in list(self._opened.items()):
            if listeners and not any(listener.holds for listener in listeners):
                self._close_one(address)

    def remove(self, listening: socket.socket) -> None:
        """Let nobody in at an added socket any more; it stays open. Calling it again does nothing."""
        for listener in [listener for listener in self._added if listener.sock is listening]:
            self._added.remove(listener)
            self._ignore(listener)

    def close(self) -> None:
        """Close all sockets, and remove the files of those that were made here."""
        self._is_started = False
        for address in list(self._opened):
            self._close_one(address)
        for listener in self._added:
            self._ignore(listener)
            listener.close()
        self._added.clear()
        self._close_connected()
        self._doorkeeper.close()

    def _listeners(self) -> Iterable[OpenListener]:
        return [*(listener for listeners in self._opened.values() for listener in listeners), *self._added]

    def _close_connected(self) -> None:
        for end, _ in self._connected:
            end.close()
        self._connected.clear()

    def _close_one(self, address: Address) -> None:
        for listener in self._opened.pop(address, ()):
            self._ignore(listener)
            listener.close()

    def _open(self, address: Address) -> None:
        opened, connected = open_address(address, self._terms_at(listener_name(address)))
        self._opened[address] = opened
        self._connected += connected

    def _listen_to(self, listener: OpenListener) -> None:
        asyncio.get_running_loop().add_reader(listener.sock, self._accept, listener)

    def _ignore(self, listener: OpenListener) -> None:
        with contextlib.suppress(RuntimeError):  # there is no loop, so it was not started
            asyncio.get_running_loop().remove_reader(listener.sock)

    def _accept(self, listener: OpenListener) -> None:
        """Accept one client. If many come, the loop calls this for each, and serves the connected clients in between."""
        if not self._may_admit():
            return  # QEMU has just gone, and `suspend` is about to be called
        if (reason := shortage(listener.sock)) is not None:
            self._rest(listener, reason)
            return
        try:
            sock, _ = listener.sock.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as exc:
            self._rest(listener, exc.strerror or str(exc))
            return
        self._is_short = False
        self._doorkeeper.receive(sock, listener.address, listener.terms)

    def _rest(self, listener: OpenListener, reason: str) -> None:
        """Leave clients in the kernel's queue for a while, because some tools try to connect only once. Log that once.

        The socket stays readable as long as somebody waits there, so watching it would only spin.
        """
        if not self._is_short:
            _log.error("cannot accept a client, which has to wait: %s", reason)
        self._is_short = True
        self._ignore(listener)
        asyncio.get_running_loop().call_later(_ACCEPT_PAUSE_S, self._accept_again, listener)

    def _accept_again(self, listener: OpenListener) -> None:
        if self._is_started and any(listener is known for known in self._listeners()):
            self._listen_to(listener)


def _put_back(listener: OpenListener, terms: Terms) -> None:
    """Restore the terms that a listener had, which were possible there a moment ago."""
    with contextlib.suppress(ListenError):
        listener.change_terms(terms)
