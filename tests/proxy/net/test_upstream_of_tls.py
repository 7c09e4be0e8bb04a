"""QEMU behind TLS: the proxy connects to it, or it to the proxy, as often as it is there."""

import asyncio
import contextlib
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from host.net.addresses import AcceptAddress, TCPAddress
from host.settings.config import VMConfig
from proxy.errors import NotQMPError, UpstreamError
from proxy.net.certificates import Certificates
from proxy.net.upstream import Upstream
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.proxy.running_vm_proxy import RunningServer, connected, free_port, in_thread, talk, until
from tests.support.proxy.tls_files import TLSFiles
from tests.support.raw_client import RawClient


@pytest.fixture(scope="module")
def files() -> Iterator[TLSFiles]:
    with tempfile.TemporaryDirectory() as name:
        yield TLSFiles(Path(name))


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()


async def join(qemu: FakeQEMU, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let the other end of a connection talk to the modelled QEMU."""
    own_reader, own_writer = await asyncio.open_unix_connection(qemu.path)
    await asyncio.gather(pipe(reader, own_writer), pipe(own_reader, writer))


@contextlib.asynccontextmanager
async def behind_tls(files: TLSFiles, qemu: FakeQEMU, port: int) -> AsyncIterator[None]:
    """Have the modelled QEMU speak TLS at a port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.authority.ca)
    context.load_cert_chain(files.server.certificate, files.server.key)
    context.verify_mode = ssl.CERT_REQUIRED
    joined: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        joined.add(asyncio.ensure_future(join(qemu, reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", port, ssl=context)
    try:
        yield
    finally:
        server.close()
        for task in joined:
            task.cancel()
        await asyncio.gather(*joined, return_exceptions=True)


def options(files: TLSFiles) -> list[str]:
    own = ["--upstream-tls-certificate", files.client.certificate, "--upstream-tls-key", files.client.key]
    return ["--upstream-tls-ca", files.authority.ca, *own]


def test_qemu_is_served_by_tls_and_comes_back(files: TLSFiles) -> None:
    port = free_port()

    def use(client: RawClient) -> None:
        assert client.hmp("savevm t") == ""
        assert client.hmp("savevm t") == ""
        assert client.hmp("delvm t") == ""
        # More than a record has, both ways.
        assert client.execute("query-version", id="x" * 100_000)["id"] == "x" * 100_000

    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            async with behind_tls(files, qemu, port):
                server = RunningServer(f"tcp:127.0.0.1:{port}", *options(files))
                await server.__aenter__()
                await talk(server.path, use)
                client = await connected(server.path)
            with client:
                await in_thread(client.expect_eof)
            async with behind_tls(files, qemu, port):
                await talk(server.path, use)
                await server.stop()
                await server.__aexit__(None, None, None)

    asyncio.run(run())


def upstream(address: Any, files: TLSFiles, **members: Any) -> Upstream:
    own = {"upstream_tls_certificate": files.server.certificate, "upstream_tls_key": files.server.key}
    config = VMConfig(address, upstream_tls_ca=files.authority.ca, **{**own, **members})
    numbers = iter(range(1, 1000))
    return Upstream.of_vm(config, lambda: f"hmpshim-{next(numbers)}", Certificates.of_upstream(config))


def test_who_has_no_tls_is_not_qemu(files: TLSFiles) -> None:
    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            plain = await asyncio.start_server(lambda *ends: join(qemu, *ends), "127.0.0.1", 0)
            async with plain:
                port = plain.sockets[0].getsockname()[1]
                with pytest.raises(UpstreamError, match=f"cannot connect to QEMU at tcp:127.0.0.1:{port}: no TLS handshake: "):
                    await upstream(TCPAddress("127.0.0.1", port), files).connect()

    asyncio.run(run())


def test_handshake_that_nobody_answers_has_a_limit(files: TLSFiles) -> None:
    """As where QEMU serves another client: the kernel connects, and QEMU does not look."""

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            found = upstream(TCPAddress("127.0.0.1", port), files, connect_timeout_s=0.05)
            with pytest.raises(NotQMPError, match=r"no greeting within 0\.05 s"):
                await found.connect()

    asyncio.run(run())


def test_who_comes_as_qemu_is_known_by_its_certificate(files: TLSFiles, caplog: pytest.LogCaptureFixture) -> None:
    """Strangers are told of, and QEMU is waited for."""
    port = free_port()

    async def run() -> None:
        address = AcceptAddress(TCPAddress("127.0.0.1", port))
        waiting = upstream(address, files, upstream_tls_name="client")
        connecting = asyncio.ensure_future(waiting.connect())
        _, stranger = await asyncio.open_connection("127.0.0.1", port)
        stranger.write(b'{"QMP": {}}\r\n')
        await until(lambda: caplog.messages)
        stranger.close()
        context = files.context_of(files.client)
        async with FakeQEMU(two_disks()) as qemu:
            joined = asyncio.ensure_future(join(qemu, *await asyncio.open_connection("127.0.0.1", port, ssl=context)))
            connection = await connecting
            assert connection.monitor.vm
            connection.close()
            waiting.close()
            await joined

    asyncio.run(run())
    told = f"a program that connected to accept:tcp:127.0.0.1:{port} is not QEMU: no TLS handshake: wrong version number"
    assert caplog.messages == [told]
