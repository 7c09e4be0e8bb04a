"""As much of HTTP as a scraper needs, and nobody can hold it up."""

import asyncio
import http.client
import socket
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from host.net.addresses import TCPAddress
from proxy.control import metrics_server, server
from proxy.control.metrics_server import MetricsServer, asked_for
from proxy.control.server import Place
from tests.support.processes.running_daemon import run, until
from tests.support.proxy.asked_sockets import connected, here, short_folder, started, talk
from tests.support.raw_client import DEADLINE_S


@pytest.fixture
def path() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder / "m"


async def metrics() -> bytes:
    return b"metrics\n"


@pytest.mark.parametrize(
    ("head", "status", "has_body"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x", HTTPStatus.OK, True),
        (b"GET /metrics?a=b HTTP/1.0", HTTPStatus.OK, True),
        (b"GET http://host:9180/metrics HTTP/1.1", HTTPStatus.OK, True),
        (b"HEAD /metrics HTTP/1.1", HTTPStatus.OK, False),
        (b"POST /metrics HTTP/1.1", HTTPStatus.METHOD_NOT_ALLOWED, True),
        (b"GET / HTTP/1.1", HTTPStatus.NOT_FOUND, True),
        (b"HEAD / HTTP/1.1", HTTPStatus.NOT_FOUND, False),
        (b"GET /metrics/../metrics HTTP/1.1", HTTPStatus.NOT_FOUND, True),
        (b"GET /metrics", HTTPStatus.BAD_REQUEST, True),
        (b"GET /metrics HTTP/2.0", HTTPStatus.BAD_REQUEST, True),
        (b"GET http://[/metrics HTTP/1.1", HTTPStatus.BAD_REQUEST, True),
        (b"", HTTPStatus.BAD_REQUEST, True),
        (b"\xff\xff\xff", HTTPStatus.BAD_REQUEST, True),
        (None, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, True),
    ],
)
def test_requests_are_told_apart(head: bytes | None, status: HTTPStatus, has_body: bool) -> None:
    assert asked_for(head) == (status, has_body)


def test_client_of_the_standard_library_is_answered() -> None:
    def fetch(port: int, method: str, target: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        try:
            connection.request(method, target)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    async def main() -> None:
        asked = MetricsServer(Place(TCPAddress("127.0.0.1", 0)), metrics)
        port = int(asked.address[1])
        async with started(asked):
            status, headers, body = await asyncio.to_thread(fetch, port, "GET", "/metrics")
            assert (status, body, headers["Connection"]) == (200, b"metrics\n", "close")
            assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            status, headers, body = await asyncio.to_thread(fetch, port, "HEAD", "/metrics")
            assert (status, headers["Content-Length"], body) == (200, "8", b"")
            status, headers, body = await asyncio.to_thread(fetch, port, "PUT", "/metrics")
            assert (status, headers["Allow"], body) == (405, "GET, HEAD", b"405 Method Not Allowed\n")
            status, _, body = await asyncio.to_thread(fetch, port, "GET", "/")
            assert (status, body) == (404, b"404 Not Found\n")

    run(main)


def test_answer_reaches_who_sends_too_much(path: Path) -> None:
    async def main() -> None:
        async with started(MetricsServer(here(path), metrics)):
            told = await asyncio.to_thread(talk, path, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100_000)
            assert told.startswith(b"HTTP/1.1 431 ")

    run(main)


def test_who_sends_without_end_is_cut_off(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "_MOST_MORE_BYTES", 10)

    def flood() -> None:
        with connected(path) as sock, pytest.raises(OSError, match=r"Broken pipe|reset"):
            sock.sendall(b"x" * 10_000_000)

    async def main() -> None:
        async with started(MetricsServer(here(path), metrics)):
            await asyncio.to_thread(flood)

    run(main)


def test_who_has_gone_is_forgotten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE_S", 1000)

    async def main() -> None:
        asked = MetricsServer(here(path), metrics)
        async with started(asked):
            with connected(path) as sock:
                sock.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
                sock.shutdown(socket.SHUT_WR)
            await until(lambda: not asked._conversations)

    run(main)
