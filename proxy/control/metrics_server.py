"""Serve metrics by as much of HTTP/1.1 (RFC 9112) as a scraper needs: GET and HEAD of /metrics, one request per connection."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from proxy.control.exposition import CONTENT_TYPE
from proxy.control.server import PATIENCE_S, AskedSocket, Place, receive_until

__all__ = ["MetricsServer", "asked_for"]

_PATH: Final = "/metrics"
# As much as other servers accept.
_MOST_HEAD_BYTES: Final = 8192
_PLAIN: Final = "text/plain; charset=utf-8"
_READ_BYTES: Final = 4096
# How much is read of what a refused client still sends: otherwise a reset could destroy the answer (RFC 9112, 9.6).
_MOST_MORE_BYTES: Final = 1 << 20


class MetricsServer(AskedSocket):
    """Answer scrapers. metrics: makes the answer."""

    def __init__(self, place: Place, metrics: Callable[[], Awaitable[bytes]]) -> None:
        super().__init__(place, self._answer_one)
        self._metrics = metrics

    async def _answer_one(self, sock: socket.socket) -> None:
        status, has_body = asked_for(await receive_until(sock, b"\r\n\r\n", _MOST_HEAD_BYTES))
        body, kind = f"{status.value} {status.phrase}\n".encode(), _PLAIN
        if status is HTTPStatus.OK:
            body, kind = await self._metrics(), CONTENT_TYPE
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.get_running_loop().sock_sendall(sock, _head(status, kind, len(body)) + body * has_body)
            await _await_end(sock)


def asked_for(head: bytes | None) -> tuple[HTTPStatus, bool]:
    """Return the status of the answer, and whether it has a body. head: without the empty line; None if it is too long."""
    if head is None:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, True
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return HTTPStatus.BAD_REQUEST, True
    method, target, _ = words
    try:
        path = urlsplit(target).path
    except ValueError:
        return HTTPStatus.BAD_REQUEST, True
    if path != _PATH:
        return HTTPStatus.NOT_FOUND, method != "HEAD"
    if method not in ("GET", "HEAD"):
        return HTTPStatus.METHOD_NOT_ALLOWED, True
    return HTTPStatus.OK, method == "GET"


def _head(status: HTTPStatus, kind: str, size_bytes: int) -> bytes:
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", f"Content-Type: {kind}", f"Content-Length: {size_bytes}"]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET, HEAD")
    return "\r\n".join((*lines, "Connection: close", "", "")).encode()


async def _await_end(sock: socket.socket) -> None:
    """Read what still comes, up to the client's end or _MOST_MORE_BYTES."""
    count = 0
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        while count < _MOST_MORE_BYTES and (more := await asyncio.get_running_loop().sock_recv(sock, _READ_BYTES)):
            count += len(more)
