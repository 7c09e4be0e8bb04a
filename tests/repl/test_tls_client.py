"""The prompt's connection on TLS: to a server that speaks it, and what is told where it cannot be."""

import asyncio
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.errors import TLSError
from host.net.addresses import TCPAddress, UnixAddress
from host.settings.config import UpstreamTLS
from repl.errors import LinkError
from repl.link import Link
from repl.tls_client import TLSClient
from shim.qmp import Execute, ReturnReply
from tests.support.proxy.certificates import Authority, Identity

GREETING = b'{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}\r\n'


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with tempfile.TemporaryDirectory() as name:
        yield Authority(Path(name))


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as QEMU does, each command by nothing."""
    writer.write(GREETING)
    try:
        while command := await reader.readuntil(b"}"):
            identity = command.partition(b'"id":')[2].strip(b' "}').decode()
            writer.write(b'{"return": {}, "id": "%s"}\r\n' % identity.encode())
    except asyncio.IncompleteReadError:
        writer.close()


async def talk(own: Identity, tls: UpstreamTLS) -> object:
    """Return what a client gets of a command, and end its connection."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.certificate, own.key)
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        address = TCPAddress(*server.sockets[0].getsockname())
        link = Link(address, tls=tls, on_event=lambda _: None, on_lost=lambda _: None)
        assert link._client_type is TLSClient
        try:
            await link.connect()
            (reply,) = await link.execute([Execute("query-name")])
            return reply.reply
        finally:
            await link.close()


def test_commands_go_by_tls_and_the_connection_ends(authority: Authority) -> None:
    assert asyncio.run(talk(authority.issue("qemu"), UpstreamTLS(authority.ca))) == ReturnReply({})


def test_who_is_not_qemu_is_told(authority: Authority) -> None:
    with pytest.raises(LinkError, match=r"no TLS connection: Hostname mismatch, certificate is not valid for 'another'\."):
        asyncio.run(talk(authority.issue("qemu"), UpstreamTLS(authority.ca, name="another")))


def test_file_that_is_wrong_is_told_before_anything_is_connected() -> None:
    with pytest.raises(TLSError, match=r"cannot use TLS with /nowhere/ca\.pem: No such file or directory"):
        Link(TCPAddress("h", 1), tls=UpstreamTLS("/nowhere/ca.pem"), on_event=lambda _: None, on_lost=lambda _: None)


def test_unix_socket_has_no_tls() -> None:
    link = Link(UnixAddress("/q"), tls=UpstreamTLS("/nowhere"), on_event=lambda _: None, on_lost=lambda _: None)
    assert link._tls is None
