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

from host.settings.listener import TLSClients
from host.tls import server_context
from proxy.net.tls import Handshake, TLSEnd
from tests.support.proxy.heard_stream import Heard
from tests.support.proxy.running_vm_proxy import until
from tests.support.proxy.tls_connection import TLSConnection
from tests.support.proxy.tls_files import TLSFiles
from tests.support.raw_client import DEADLINE_S

MIB: Final = 1024 * 1024


@pytest.fixture(scope="module")
def files() -> Iterator[TLSFiles]:
    with tempfile.TemporaryDirectory() as name:
        yield TLSFiles(Path(name))


@contextlib.asynccontextmanager
async def connection(files: TLSFiles, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3):  # type: ignore[no-untyped-def]
    """Yield a connection that has shaken hands, and the client's socket."""
    made = TLSConnection()
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
            stream.finish(lambda: None)
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
        made = TLSConnection()
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
        made = TLSConnection()
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
        made = TLSConnection()
        Handshake(made.ours, server_context(files.terms()), made.note)
        with made.theirs:
            made.theirs.sendall(sent)
            await until(lambda: made.outcome)
            assert made.outcome == outcome

    run(scene)


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00"])
def test_handshake_that_is_never_done_is_cut(files: TLSFiles, sent: bytes) -> None:
    async def scene() -> None:
        made = TLSConnection()
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
        made = TLSConnection()
        Handshake(made.ours, server_context(files.terms()), made.note)
        made.theirs.close()
        await until(lambda: made.outcome)
        assert isinstance(made.outcome, str)
        assert made.outcome.startswith("no TLS handshake: ")

    run(scene)


def test_client_that_had_gone_before_is_none(files: TLSFiles) -> None:
    async def scene() -> None:
        made = TLSConnection()
        made.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        made.theirs.close()
        Handshake(made.ours, server_context(files.terms()), made.note)
        assert made.outcome is None
        await until(lambda: made.outcome)
        assert isinstance(made.outcome, str)

    run(scene)


def test_handshake_that_is_cancelled_says_nothing(files: TLSFiles) -> None:
    async def scene() -> None:
        made = TLSConnection()
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
