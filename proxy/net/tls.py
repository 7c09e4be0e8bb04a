"""TLS on the event loop: a handshake, which takes as long as the other end likes, and then an end like that of a plain socket.

Nothing that OpenSSL has read may be forgotten by a loop that asks the kernel whether there is something to read. Two facts see
to that, and the first rests on the default that OpenSSL reads no further than a record goes (SSL_CTX_set_read_ahead(3)):

* One SSL_read takes one record, if there is room for the longest (RFC 8446, 5.1: 16 KiB). So when `receive` returns, all that
  is left is in the kernel, and the loop calls again. That goes for the alert, too, by which the other end says that it sends
  no more; reading on until nothing is left would lose it where it follows after data.
* One SSL_write makes one record. `send` goes on until the kernel takes no more; the stream then comes back with the same bytes,
  as OpenSSL demands (SSL_write(3): the same contents, and no fewer).

A half-closed connection stays half-closed: the other end's alert is the end of what is read, and what is due is still written.
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
        # The common name in the other end's certificate; None without one.
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
        """Say that nothing more comes, and close. The other end's answer to that is not waited for."""
        with contextlib.suppress(OSError, ValueError):
            self._sock.unwrap()
        close_read(self._sock)


class Handshake:
    """Shake hands on a connected socket, which is this object's until then.

    on_end: called once, with the end or with why there is none; the socket is closed then. Not called after `cancel`.
    server_name: as whom we expect the other end; None where we are the server.
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
        except OSError as exc:  # it has gone already
            self._timer = self._loop.call_soon(self._fail, f"no TLS handshake: {reason_of(exc)}")
            return
        self._close = self._sock.close
        self._timer = self._loop.call_later(timeout_s, self._fail, f"no TLS handshake within {timeout_s:g} s")
        self._is_watched = True
        self._loop.add_reader(self._fd, self._step)
        # The first word is the client's.
        self._loop.add_writer(self._fd, self._step)

    def cancel(self) -> None:
        """Give it up, and close the socket. Does nothing where it is over."""
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
    """Return the end towards QEMU, or why there is none; the socket is closed then, as it is where this is cancelled."""
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
