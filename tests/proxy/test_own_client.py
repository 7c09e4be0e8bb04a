"""The proxy's own questions to QEMU."""

import asyncio
import socket

import pytest

from host.addresses import UnixAddress
from proxy.errors import HungUpError, UpstreamError
from proxy.net.stream import End
from proxy.own_client import own_client
from shim.client import Client

QEMU = UnixAddress("/q")


def test_it_comes_as_itself_and_is_told_that_qemu_goes() -> None:
    admitted: list[Client] = []

    def admit(end: End, client: Client) -> None:
        admitted.append(client)
        end.close()

    async def run() -> None:
        with pytest.raises(HungUpError):
            async with own_client(admit, QEMU, str, "vm"):
                pytest.fail("nobody has greeted")

    asyncio.run(run())
    assert [client.is_proxy for client in admitted] == [True]


def test_no_descriptor_is_left_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(24, "Too many open files")

    async def run() -> None:
        monkeypatch.setattr(socket, "socketpair", refuse)
        with pytest.raises(UpstreamError, match="cannot connect to QEMU at unix:/q: Too many open files"):
            async with own_client(print, QEMU, str, "vm"):
                pytest.fail("nobody has come")

    asyncio.run(run())
