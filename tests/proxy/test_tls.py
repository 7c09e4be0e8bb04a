"""TLS on the event loop: handshakes that end well, badly or never, and an end that loses nothing."""

import asyncio
import contextlib
import socket
import ssl
import struct
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from host.config import UpstreamTLS
from host.listener import TLSClients
from host.tls import PeerContext, server_context, upstream_client_context, upstream_server_context
from proxy.net import tls as module
from proxy.net.tls import Handshake, TLSEnd, shake_hands
from tests.support.heard_stream import Heard
from tests.support.raw_client import DEADLINE_S
from tests.support.running_vm_proxy import until
from tests.support.tls_files import TLSFiles

MIB: Final = 1024 * 1024


@pytest.fixture(scope="module")
def files() -> Iterator[TLSFiles]:
    with tempfile.TemporaryDirectory() as name:
        yield TLSFiles(Path(name))


class Connection:
    """A TCP connection of which one side shakes hands in the loop and the other in a thread."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.theirs = socket.create_connection(server.getsockname())
            self.ours, _ = server.accept()
        self.theirs.settimeout(DEADLINE_S)
        self.outcome: TLSEnd | str | None = None

    def note(self, outcome: TLSEnd | str) -> None:
        assert self.outcome is None
        self.outcome = outcome

    @property
    def end(self) -> TLSEnd:
        assert isinstance(self.outcome, TLSEnd), self.outcome
        return self.outcome


@contextlib.asynccontextmanager
async def connection(files: TLSFiles, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3):  # type: ignore[no-untyped-def]
    """Yield a connection that has shaken hands, and the client's socket."""
    made = Connection()
    Handshake(made.ours, server_context(files.terms()), made.note)
    wrap = files.context_of(files.client, version).wrap_socket
    theirs = await asyncio.to_thread(wrap, made.theirs, server_hostname="127.0.0.1")
    with theirs:
        await until(lambda: made.outcome)
        yield made, theirs


def run(scene: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scene()

    asyncio.run(main())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_bytes_go_both_ways_and_the_client_is_known(files: TLSFiles, version: ssl.TLSVersion) -> None:
    async def scene() -> None:
        async with connection(files, version) as (made, theirs):
            assert made.end.peer_name == "client"
            heard = Heard()
            stream = heard.stream(made.end)
            stream.start()
            theirs.sendall(b"to us")
            stream.write(b"to you")
            await until(lambda: heard.data == b"to us")
            assert await asyncio.to_thread(theirs.recv, 100) == b"to you"
            stream.close()
            stream.close()
            assert await asyncio.to_thread(theirs.recv, 100) == b""

    run(scene)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_nothing_stays_in_openssl_when_the_kernel_has_no_more(files: TLSFiles, version: ssl.TLSVersion) -> None:
    """Not the rest of what came in one go, and not the end of it."""

    async def scene() -> None:
        async with connection(files, version) as (made, theirs):
            heard = Heard()
            stream = heard.stream(made.end)
            # All of it is there before we read for the first time: many records, long and short ones, and the alert.
            sent = b"".join(bytes([number]) * size for number, size in enumerate((1, 16384, 16385, 5, 100_000)))
            for begin in range(0, len(sent), 33_000):
                theirs.sendall(sent[begin : begin + 33_000])
            theirs.setblocking(False)
            with pytest.raises(ssl.SSLWantReadError):
                theirs.unwrap()
            stream.start()
            await until(lambda: heard.eofs)
            assert heard.data == sent
            assert heard.eofs == 1
            stream.close()

    run(scene)


def test_reply_that_does_not_fit_waits_for_its_client(files: TLSFiles) -> None:
    async def scene() -> None:
        async with connection(files) as (made, theirs):
            heard = Heard()
            stream = heard.stream(made.end)
            stream.start()
            # Long ones, and short ones that the stream joins while they wait.
            parts = [bytes([number]) * (MIB * 2 + number) for number in range(4)]
            parts += [bytes([number % 256]) * (number % 7 + 1) for number in range(5000)]
            for part in parts:
                stream.write(part)
            assert stream.unsent_bytes > 0
            got = bytearray()
            while len(got) < sum(map(len, parts)):
                got += await asyncio.to_thread(theirs.recv, 65536)
            assert got == b"".join(parts)
            await until(lambda: heard.drains)
            assert stream.unsent_bytes == 0
            stream.close()

    run(scene)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("by_tcp", [False, True])
def test_half_closed_client_still_gets_its_reply(files: TLSFiles, version: ssl.TLSVersion, by_tcp: bool) -> None:
    """It may say that it sends no more as TLS does, or as TCP does."""

    async def scene() -> None:
        async with connection(files, version) as (made, theirs):
            heard = Heard()
            stream = heard.stream(made.end)
            stream.start()
            theirs.sendall(b"last")
            if by_tcp:
                socket.socket.shutdown(theirs, socket.SHUT_WR)
            else:
                theirs.setblocking(False)
                with pytest.raises(ssl.SSLWantReadError):
                    theirs.unwrap()
                theirs.settimeout(DEADLINE_S)
            await until(lambda: heard.eofs)
            assert heard.data == b"last"
            assert not made.end.is_peer_gone()
            stream.write(b"reply")
            stream.finish()
            assert await asyncio.to_thread(socket.socket.recv, theirs, 5) != b""

    run(scene)


def test_reset_shows_as_eof(files: TLSFiles) -> None:
    async def scene() -> None:
        async with connection(files) as (made, theirs):
            heard = Heard()
            stream = heard.stream(made.end)
            stream.start()
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            theirs.close()
            await until(lambda: heard.eofs)
            assert made.end.is_peer_gone()
            stream.write(b"to nobody")
            stream.close()

    run(scene)


def test_bytes_that_are_no_tls_end_the_connection(files: TLSFiles) -> None:
    async def scene() -> None:
        async with connection(files) as (made, theirs):
            heard = Heard()
            stream = heard.stream(made.end)
            stream.start()
            socket.socket.sendall(theirs, b'{"execute": "quit"}\r\n')
            await until(lambda: heard.eofs)
            assert heard.data == b""
            stream.close()

    run(scene)


def test_descriptors_are_not_carried(files: TLSFiles) -> None:
    async def scene() -> None:
        async with connection(files) as (made, theirs):
            assert made.end.send_with(b"alone", (0,)) == len(b"alone")
            assert await asyncio.to_thread(theirs.recv, 100) == b"alone"
            made.end.close()

    run(scene)


# --- Handshakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clients", "identity", "outcome"),
    [
        (TLSClients.CERTIFICATE, "client", "client"),
        (TLSClients.ANY, "client", "client"),
        (TLSClients.ANY, "", None),
        (TLSClients.CERTIFICATE, "", "no TLS handshake: peer did not return a certificate"),
        (TLSClients.CERTIFICATE, "stranger", "no TLS handshake: unable to get local issuer certificate"),
        (TLSClients.ANY, "stranger", "no TLS handshake: unable to get local issuer certificate"),
    ],
)
def test_client_comes_in_by_its_certificate(files: TLSFiles, clients: TLSClients, identity: str, outcome: str | None) -> None:
    async def scene() -> None:
        made = Connection()
        Handshake(made.ours, server_context(files.terms(clients)), made.note)
        wrap = files.context_of(getattr(files, identity) if identity else None).wrap_socket
        with await asyncio.to_thread(wrap, made.theirs, server_hostname="127.0.0.1"):
            await until(lambda: made.outcome)
        if isinstance(made.outcome, TLSEnd):
            assert made.outcome.peer_name == outcome
            made.outcome.close()
        else:
            assert made.outcome == outcome

    run(scene)


def test_old_tls_is_refused(files: TLSFiles) -> None:
    async def scene() -> None:
        made = Connection()
        Handshake(made.ours, server_context(files.terms()), made.note)
        context = files.context_of(files.client)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            await asyncio.to_thread(context.wrap_socket, made.theirs, server_hostname="127.0.0.1")
        await until(lambda: made.outcome)
        assert made.outcome == "no TLS handshake: unsupported protocol"

    run(scene)


@pytest.mark.parametrize(
    ("sent", "outcome"),
    [
        (b'{"execute": "qmp_capabilities"}\r\n', "no TLS handshake: wrong version number"),
        (b"GET / HTTP/1.0\r\n\r\n", "no TLS handshake: http request"),
    ],
)
def test_client_without_tls_is_told_apart(files: TLSFiles, sent: bytes, outcome: str) -> None:
    async def scene() -> None:
        made = Connection()
        Handshake(made.ours, server_context(files.terms()), made.note)
        with made.theirs:
            made.theirs.sendall(sent)
            await until(lambda: made.outcome)
            assert made.outcome == outcome

    run(scene)


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00"])
def test_handshake_that_is_never_done_is_cut(files: TLSFiles, sent: bytes) -> None:
    async def scene() -> None:
        made = Connection()
        with made.theirs:
            made.theirs.sendall(sent)
            Handshake(made.ours, server_context(files.terms()), made.note, timeout_s=0.05)
            await until(lambda: made.outcome)
            assert made.outcome == "no TLS handshake within 0.05 s"
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.to_thread(made.theirs.recv, 1) == b""

    run(scene)


def test_client_that_goes_in_the_middle_is_none(files: TLSFiles) -> None:
    async def scene() -> None:
        made = Connection()
        Handshake(made.ours, server_context(files.terms()), made.note)
        made.theirs.close()
        await until(lambda: made.outcome)
        assert isinstance(made.outcome, str)
        assert made.outcome.startswith("no TLS handshake: ")

    run(scene)


def test_client_that_had_gone_before_is_none(files: TLSFiles) -> None:
    async def scene() -> None:
        made = Connection()
        made.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        made.theirs.close()
        Handshake(made.ours, server_context(files.terms()), made.note)
        assert made.outcome is None
        await until(lambda: made.outcome)
        assert isinstance(made.outcome, str)

    run(scene)


def test_handshake_that_is_cancelled_says_nothing(files: TLSFiles) -> None:
    async def scene() -> None:
        made = Connection()
        handshake = Handshake(made.ours, server_context(files.terms()), made.note, timeout_s=0.01)
        handshake.cancel()
        handshake.cancel()
        with made.theirs:
            assert await asyncio.to_thread(made.theirs.recv, 1) == b""
        over = asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, over.set)
        await over.wait()
        assert made.outcome is None

    run(scene)


# --- Towards QEMU -------------------------------------------------------------------------------------------------------


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
        made = Connection()
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
        made = Connection()
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
        made = Connection()
        context, outcome = wrong(files)[case]
        with serving(files, made.theirs, is_server=not context.is_server) as shake:
            theirs = asyncio.ensure_future(asyncio.to_thread(shake))
            assert await shake_hands(made.ours, context) == outcome
            with contextlib.suppress(OSError):
                (await theirs).close()

    run(scene)


def test_handshake_with_qemu_is_given_up_where_it_is_cancelled(files: TLSFiles) -> None:
    async def scene() -> None:
        made = Connection()
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
        made = Connection()
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
