"""The benchmark's client: load.c in Python, for machines without a C compiler. It prints nanoseconds, one line per sample.

load.py requests PATH SAMPLES BATCH COMMAND    BATCH commands in one write, until all are answered
load.py clients  PATH SAMPLES CLIENTS COMMAND  one command from each client at once, until the last answer
load.py flood    PATH SAMPLES CLIENTS EVENTS   until each client has had all events
load.py pieces   PATH SAMPLES BYTES PIECE      a command of BYTES in writes of PIECE bytes, until it is answered
"""

import select
import socket
import sys
import time
from collections.abc import Iterator

__all__ = ["await_lines", "negotiated"]

_READ_BYTES = 256 * 1024
_buffer = bytearray(_READ_BYTES)


def negotiated(path: str) -> socket.socket:
    """Return a connection in command mode. Raises OSError if nobody listens at `path`."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(path)
    await_lines(sock, 1)
    sock.sendall(b'{"execute": "qmp_capabilities"}\n')
    await_lines(sock, 1)
    return sock


def await_lines(sock: socket.socket, lines: int) -> None:
    """Read until this many lines have ended. Raises EOFError if the peer closes the connection before."""
    while lines > 0:
        lines -= _read_lines(sock)


def _read_lines(sock: socket.socket) -> int:
    got = sock.recv_into(_buffer)
    if not got:
        raise EOFError("the connection was closed")
    # The usual case first, a single message, because counting is slow.
    end = _buffer.find(b"\n", 0, got)
    return 0 if end < 0 else 1 if end == got - 1 else _buffer.count(b"\n", 0, got)


def _await_all(socks: list[socket.socket], lines: int, *, more: int = 0) -> None:
    """Wait until each socket has received its lines, and the first one `more` in addition."""
    by_number = {sock.fileno(): sock for sock in socks}
    left = dict.fromkeys(by_number, lines)
    left[socks[0].fileno()] += more
    poller = select.poll()
    for number in left:
        poller.register(number, select.POLLIN)
    while left:
        for number, _ in poller.poll():
            left[number] -= _read_lines(by_number[number])
            if left[number] <= 0:
                poller.unregister(number)
                del left[number]


def _requests(path: str, samples: int, batch: int, command: str) -> Iterator[int]:
    sock = negotiated(path)
    data = f"{command}\n".encode() * batch
    for number in range(-samples // 10 - 1, samples):
        begun = time.perf_counter_ns()
        sock.sendall(data)
        await_lines(sock, batch)
        if number >= 0:
            yield time.perf_counter_ns() - begun


def _clients(path: str, samples: int, count: int, command: str) -> Iterator[int]:
    socks = [negotiated(path) for _ in range(count)]
    data = f"{command}\n".encode()
    for number in range(-samples // 10 - 1, samples):
        begun = time.perf_counter_ns()
        for sock in socks:
            sock.sendall(data)
        _await_all(socks, 1)
        if number >= 0:
            yield time.perf_counter_ns() - begun


def _flood(path: str, samples: int, count: int, events: int) -> Iterator[int]:
    socks = [negotiated(path) for _ in range(count)]
    data = b'{"execute": "x-flood", "arguments": {"count": %d}}\n' % events
    for _ in range(samples):
        begun = time.perf_counter_ns()
        socks[0].sendall(data)
        _await_all(socks, events, more=1)  # the first gets the reply too
        yield time.perf_counter_ns() - begun


def _pieces(path: str, samples: int, size: int, piece: int) -> Iterator[int]:
    head, tail = b'{"execute": "x-command", "arguments": {"text": "', b'"}}\n'
    data = head + b"a" * (size - len(head) - len(tail)) + tail
    sock = negotiated(path)
    for _ in range(samples):
        begun = time.perf_counter_ns()
        for at in range(0, size, piece):
            sock.sendall(data[at : at + piece])
        await_lines(sock, 1)
        yield time.perf_counter_ns() - begun


def _main(mode: str, path: str, samples: str, number: str, last: str) -> None:
    match mode:
        case "requests":
            measured = _requests(path, int(samples), int(number), last)
        case "clients":
            measured = _clients(path, int(samples), int(number), last)
        case "flood":
            measured = _flood(path, int(samples), int(number), int(last))
        case "pieces":
            measured = _pieces(path, int(samples), int(number), int(last))
        case _:
            sys.exit(2)
    sys.stdout.write("".join(f"{sample}\n" for sample in list(measured)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
