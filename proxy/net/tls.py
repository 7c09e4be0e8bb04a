"""TLS on the event loop: a handshake, which takes as long as the peer likes, and then an end like that of a plain socket.

The event loop asks the kernel whether there is something to read, so no data may stay unnoticed inside OpenSSL, and a write
must be resumed correctly. Two facts ensure that; the first relies on OpenSSL's default of not reading beyond a record
(SSL_CTX_set_read_ahead(3)):

* One SSL_read takes one record, if there is room for the longest (RFC 8446, 5.1: 16 KiB). So when `receive` returns, everything
  else is still in the kernel, and the loop calls again. This includes the alert that says that the peer sends no more; reading
  until nothing is left would lose that alert when it follows data.
* One SSL_write makes one record. `send` goes on until the kernel takes no more; the stream then comes back with the same bytes,
  as OpenSSL demands (SSL_write(3): the same contents, and no fewer).

A half-closed connection stays half-closed: the peer's alert is the end of input, and what is due to the peer is still written.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable, Sequence

from host.tls import PeerContext, common_name, reason_of
from proxy.net.closing import close_read
from proxy.net.ends import PolledEnd, shared_buffer

__all__ = ["HANDSHAKE_S", "Handshake", "TLSEnd", "shake_hands"]

# A handshake is two round trips and some milliseconds of arithmetic.
HANDSHAKE_S = 10.0

_WOULD_WAIT = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class TLSEnd(PolledEnd):
    """A connection whose handshake is done. It carries no file descriptors."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._sock = sock
        self._peer_fd = sock.fileno
        # The common name in the peer's certificate; None if it has none.
        self.peer_name = common_name(sock)

    @property
    def sock(self) -> ssl.SSLSocket:
        return self._sock

    def read_fd(self) -> int:
        return self._sock.fileno()

    write_fd = read_fd

    def receive(self) -> tuple[int, tuple[int, ...]]:
        try:
            return self._sock.recv_into(shared_buffer, self.read_limit_bytes), ()
        except _WOULD_WAIT as exc:
            raise BlockingIOError from exc
        except ssl.SSLError as exc:
            raise OSError(errno.EPROTO, reason_of(exc)) from exc

    def send(self, data: bytes | bytearray | memoryview) -> int:
        view, sent = memoryview(data), 0
        while sent < len(view):
            try:
                sent += self._sock.send(view[sent:])
            except _WOULD_WAIT:
                break
            except ssl.SSLError as exc:
                raise OSError(errno.EPROTO, reason_of(exc)) from exc
        if not sent:
            raise BlockingIOError
        return sent

    def send_with(self, data: bytes | bytearray | memoryview, descriptors: Sequence[int]) -> int:
        return self.send(data)

    def close(self) -> None:
        """Tell the peer that nothing more comes, and close without waiting for its answer."""
        with contextlib.suppress(OSError, ValueError):
            self._sock.unwrap()
        close_read(self._sock)


class Handshake:
    """Shake hands on a connected socket, which belongs to this object until the handshake is over.

    on_end: called once, with the end, or with the reason why there is none, in which case the socket is closed. It is not
    called after `cancel`. server_name: the name that we expect of the peer; None where we are the server.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        on_end: Callable[[TLSEnd | str], None],
        *,
        server_name: str | None = None,
        timeout_s: float = HANDSHAKE_S,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_end = on_end
        self._is_over = False
        self._is_watched = False
        self._timer: asyncio.Handle
        self._close = sock.close
        sock.setblocking(False)
        self._fd = sock.fileno()
        try:
            sock.getpeername()  # wrap_socket() leaves a socket open where this fails (seen in Python 3.11.2)
            self._sock = context.wrap_socket(
                sock, server_side=server_name is None, server_hostname=server_name, do_handshake_on_connect=False
            )
        except OSError as exc:  # the peer has gone already
            self._timer = self._loop.call_soon(self._fail, f"no TLS handshake: {reason_of(exc)}")
            return
        self._close = self._sock.close
        self._timer = self._loop.call_later(timeout_s, self._fail, f"no TLS handshake within {timeout_s:g} s")
        self._is_watched = True
        self._loop.add_reader(self._fd, self._step)
        # Called at once, too, because a client has to send first.
        self._loop.add_writer(self._fd, self._step)

    def cancel(self) -> None:
        """Give up the handshake, and close the socket. It does nothing if the handshake is over."""
        if not self._is_over:
            self._stop()
            self._close()

    def _stop(self) -> None:
        self._is_over = True
        self._timer.cancel()
        if self._is_watched:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)

    def _step(self) -> None:
        try:
            self._sock.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.remove_writer(self._fd)
        except ssl.SSLWantWriteError:
            self._loop.add_writer(self._fd, self._step)
        except OSError as exc:
            self._fail(f"no TLS handshake: {reason_of(exc)}")
        else:
            self._stop()
            self._on_end(TLSEnd(self._sock))

    def _fail(self, reason: str) -> None:
        self.cancel()
        self._on_end(reason)


async def shake_hands(sock: socket.socket, context: PeerContext, timeout_s: float = HANDSHAKE_S) -> TLSEnd | str:
    """Return our end of a connection to QEMU, or why there is none. Then, or if this is cancelled, the socket is closed."""
    done: asyncio.Future[TLSEnd | str] = asyncio.get_running_loop().create_future()

    def end(outcome: TLSEnd | str) -> None:
        if not done.done():
            done.set_result(outcome)
        elif isinstance(outcome, TLSEnd):  # cancelled this moment
            outcome.close()

    server_name = None if context.is_server else context.expected_name
    handshake = Handshake(sock, context, end, server_name=server_name, timeout_s=timeout_s)
    try:
        outcome = await done
    except asyncio.CancelledError:
        if done.done() and not done.cancelled() and isinstance(found := done.result(), TLSEnd):
            found.close()
        raise
    finally:
        handshake.cancel()
    if isinstance(outcome, TLSEnd) and context.is_server and context.expected_name not in (None, outcome.peer_name):
        outcome.close()
        return f"the name in its certificate is {outcome.peer_name!r}, and not {context.expected_name!r}"
    return outcome
