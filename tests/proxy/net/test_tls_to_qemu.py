"""TLS towards QEMU: who it is, what does not fit, and what comes while a handshake is cancelled."""

import asyncio
import contextlib
import socket
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from host.settings.config import UpstreamTLS
from host.tls import PeerContext, upstream_client_context, upstream_server_context
from proxy.net import tls as module
from proxy.net.tls import Handshake, TLSEnd, shake_hands
from tests.support.proxy.heard_stream import Heard
from tests.support.proxy.running_vm_proxy import until
from tests.support.proxy.tls_connection import TLSConnection
from tests.support.proxy.tls_files import TLSFiles

MIB: Final = 1024 * 1024


@pytest.fixture(scope="module")
def files() -> Iterator[TLSFiles]:
    with tempfile.TemporaryDirectory() as name:
        yield TLSFiles(Path(name))


def run(scene: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scene()

    asyncio.run(main())


@contextlib.contextmanager
def serving(files: TLSFiles, sock: socket.socket, *, is_server: bool) -> Iterator[Callable[[], ssl.SSLSocket]]:
    """Yield what shakes hands at the other end, in a thread."""
    purpose = ssl.Purpose.CLIENT_AUTH if is_server else ssl.Purpose.SERVER_AUTH
    context = ssl.create_default_context(purpose, cafile=files.authority.ca)
    context.load_cert_chain(files.server.certificate, files.server.key)
    with sock:
        yield lambda: context.wrap_socket(sock, server_side=is_server, server_hostname=None if is_server else "127.0.0.1")


@pytest.mark.parametrize("is_server", [False, True])
def test_qemu_is_known_by_its_certificate(files: TLSFiles, is_server: bool) -> None:
    """Whether we connect to it, or it connects to us."""

    async def scene() -> None:
        made = TLSConnection()
        own = UpstreamTLS(files.authority.ca, files.server.certificate, files.server.key, "server" if is_server else "")
        context = upstream_server_context(own) if is_server else upstream_client_context(own, "127.0.0.1")
        with serving(files, made.theirs, is_server=not is_server) as shake:
            theirs = asyncio.ensure_future(asyncio.to_thread(shake))
            end = await shake_hands(made.ours, context)
            assert isinstance(end, TLSEnd)
            (await theirs).close()
            end.close()

    run(scene)


def test_commands_that_do_not_fit_wait_for_qemu(files: TLSFiles) -> None:
    """Each write ends with a record of one byte, also where the stream joins what waits, and tries the same bytes again."""

    async def scene() -> None:
        made = TLSConnection()
        context = upstream_client_context(UpstreamTLS(files.authority.ca), "127.0.0.1")
        with serving(files, made.theirs, is_server=True) as shake:
            shaking = asyncio.ensure_future(asyncio.to_thread(shake))
            end = await shake_hands(made.ours, context)
            assert isinstance(end, TLSEnd)
            heard = Heard()
            stream = heard.stream(end)
            stream.start()
            parts = [bytes([number]) * (MIB * 2 + number) for number in range(3)]
            parts += [bytes([number % 256]) * (number % 7 + 1) for number in range(5000)]
            got = bytearray()
            with await shaking as theirs:
                for part in parts:
                    stream.write(part)
                    # Now and then a little room, so that what waits is tried again as it grows.
                    got += await asyncio.to_thread(theirs.recv, 16384) if len(part) == 7 else b""
                while len(got) < sum(map(len, parts)):
                    got += await asyncio.to_thread(theirs.recv, 65536)
                assert got == b"".join(parts)
                assert stream.unsent_bytes == 0
                stream.close()

    run(scene)


def wrong(files: TLSFiles) -> list[tuple[PeerContext, str]]:
    authority, server = files.authority.ca, files.server
    return [
        (
            upstream_client_context(UpstreamTLS(files.other.ca), "127.0.0.1"),
            "no TLS handshake: self-signed certificate in certificate chain",
        ),
        (
            upstream_client_context(UpstreamTLS(authority), "host.example"),
            "no TLS handshake: Hostname mismatch, certificate is not valid for 'host.example'.",
        ),
        (
            upstream_server_context(UpstreamTLS(authority, server.certificate, server.key, "another")),
            "the name in its certificate is 'server', and not 'another'",
        ),
    ]


@pytest.mark.parametrize("case", [0, 1, 2])
def test_who_is_not_qemu_is_refused(files: TLSFiles, case: int) -> None:
    async def scene() -> None:
        made = TLSConnection()
        context, outcome = wrong(files)[case]
        with serving(files, made.theirs, is_server=not context.is_server) as shake:
            theirs = asyncio.ensure_future(asyncio.to_thread(shake))
            assert await shake_hands(made.ours, context) == outcome
            with contextlib.suppress(OSError):
                (await theirs).close()

    run(scene)


def test_handshake_with_qemu_is_given_up_where_it_is_cancelled(files: TLSFiles) -> None:
    async def scene() -> None:
        made = TLSConnection()
        context = upstream_client_context(UpstreamTLS(files.authority.ca), "127.0.0.1")
        with made.theirs:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await shake_hands(made.ours, context)
            while await asyncio.to_thread(made.theirs.recv, 4096):
                pass
        assert made.ours.fileno() == -1

    run(scene)


class _Told(TLSEnd):
    """An end without a connection, which tells whether it was closed."""

    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("comes_first", [False, True])
def test_end_that_comes_as_it_is_cancelled_is_closed(
    files: TLSFiles, monkeypatch: pytest.MonkeyPatch, comes_first: bool
) -> None:
    end, ends = _Told(), []

    class Played:
        def __init__(self, _sock: object, _context: object, on_end: Callable[[TLSEnd | str], None], **_: object) -> None:
            ends.append(on_end)

        def cancel(self) -> None:
            pass

    monkeypatch.setattr(module, "Handshake", Played)

    async def scene() -> None:
        context = upstream_client_context(UpstreamTLS(files.authority.ca), "127.0.0.1")
        ours, theirs = socket.socketpair()
        with ours, theirs:
            shaking = asyncio.ensure_future(shake_hands(ours, context))
            await asyncio.sleep(0)
            if comes_first:
                ends[0](end)
            shaking.cancel()
            if not comes_first:
                ends[0](end)
                ends[0]("too late")
            with pytest.raises(asyncio.CancelledError):
                await shaking
        assert end.is_closed

    run(scene)


class _Slow:
    """A connection whose handshake wants to write at first, and then to read."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._steps: list[type[Exception] | None] = [ssl.SSLWantWriteError, ssl.SSLWantReadError, None]
        self.fileno = sock.fileno
        self.close = sock.close

    def do_handshake(self) -> None:
        if (step := self._steps.pop(0)) is not None:
            raise step

    def getpeercert(self) -> None:
        return None


class _SlowContext:
    def wrap_socket(self, sock: socket.socket, **_: object) -> _Slow:
        return _Slow(sock)


def test_handshake_waits_for_what_it_needs() -> None:
    async def scene() -> None:
        made = TLSConnection()
        handshake = Handshake(made.ours, _SlowContext(), made.note)  # type: ignore[arg-type]
        with made.theirs:
            steps = handshake._sock._steps  # type: ignore[attr-defined]
            await until(lambda: len(steps) == 1)
            assert made.outcome is None
            made.theirs.sendall(b"x")
            await until(lambda: made.outcome)
            assert made.end.peer_name is None
            made.ours.close()

    run(scene)
