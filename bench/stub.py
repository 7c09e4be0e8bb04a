"""An instant QMP server: stub.c in Python, for machines without a C compiler. `stub.py PATH` listens there until killed."""

import contextlib
import json
import re
import selectors
import socket
import sys

__all__ = ["fnv1a"]

_GREETING = (
    b'{"QMP": {"version": {"qemu": {"micro": 2, "minor": 2, "major": 7}, "package": "stub"}, "capabilities": ["oob"]}}\r\n'
)
_STATUS = b'{"return": {"status": "running", "singlestep": false, "running": true}'
_EVENT = (
    b'{"timestamp": {"seconds": 1700000000, "microseconds": 123456}, "event": "BALLOON_CHANGE", '
    b'"data": {"actual": 33554432}}\r\n'
)
_TYPE = b'{"name": "%d", "members": [{"name": "node", "default": null, "type": "str"}], "meta-type": "object"}'
_SCHEMA = b'{"return": [' + b", ".join(_TYPE % number for number in range(2100)) + b"]"
_COMMANDS = b'{"return": [' + b", ".join(b'{"name": "x-command-%d"}' % number for number in range(260)) + b"]"
_HEAD_BYTES, _TAIL_BYTES = 256, 96
_READ_BYTES = 64 * 1024

# The load clients' ids are strings without escapes.
_ID = re.compile(rb'"id": *("[^"]*")')
_COUNT = re.compile(rb'"count": *([0-9]+)')
_ANSWERS = {
    b"query-qmp-schema": _SCHEMA,
    b"query-commands": _COMMANDS,
    b"query-jobs": b'{"return": []',
    b"query-name": b'{"return": {}',
    b"qmp_capabilities": b'{"return": {}',
}
_DECODER = json.JSONDecoder()
_BLANKS = re.compile(r"[ \t\r\n]*")
_EXECUTE = re.compile(rb'"execute": *"([^"]*)"')


def fnv1a(data: bytes) -> str:
    """Return the 64-bit FNV-1a hash that `x-received` returns."""
    value = 14695981039346656037
    for byte in data:
        value = (value ^ byte) * 1099511628211 % 2**64
    return f"{value:016x}"


def _commands(held: bytearray) -> list[bytes]:
    """Take the complete objects, each with the blanks after it. Like QEMU, this does not need line ends."""
    text = held.decode("latin-1")  # one character per byte
    found = []
    at = 0
    while at < len(text):
        blanks = _BLANKS.match(text, at)
        try:
            _, end = _DECODER.raw_decode(text, blanks.end() if blanks else at)
        except ValueError:
            break
        blanks = _BLANKS.match(text, end)
        end = blanks.end() if blanks else end
        found.append(bytes(held[at:end]))
        at = end
    del held[:at]
    return found


class _Stub:
    def __init__(self, path: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(path)
        self._listening.listen(2048)
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._held: dict[socket.socket, bytearray] = {}
        self._negotiated: list[socket.socket] = []

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listening:
                    self._welcome()
                elif isinstance(key.fileobj, socket.socket):
                    self._receive(key.fileobj)

    def _welcome(self) -> None:
        sock, _ = self._listening.accept()
        self._held[sock] = bytearray()
        self._selector.register(sock, selectors.EVENT_READ)
        with contextlib.suppress(OSError):  # a client may only check whether somebody listens
            sock.sendall(_GREETING)

    def _receive(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(_READ_BYTES)
            self._held[sock] += data
            if data.rstrip().endswith(b"}"):
                for command in _commands(self._held[sock]):
                    self._answer(sock, command)
        except OSError:
            data = b""
        if not data:
            self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        del self._held[sock]
        self._negotiated = [other for other in self._negotiated if other is not sock]
        sock.close()

    def _answer(self, sock: socket.socket, command: bytes) -> None:
        found = _EXECUTE.search(command, 0, _HEAD_BYTES)
        name = found[1] if found else b""
        body = _ANSWERS.get(name, _STATUS)
        if name == b"x-received":
            body = b'{"return": {"bytes": %d, "hash": "%s"}' % (len(command), fnv1a(command).encode())
        own_id = _ID.search(command, max(0, len(command) - _TAIL_BYTES))
        sock.sendall(body + (b', "id": %s}\r\n' % own_id[1] if own_id else b"}\r\n"))
        if name == b"qmp_capabilities":
            self._negotiated.append(sock)
        elif name == b"x-flood" and (count := _COUNT.search(command)):
            self._flood(int(count[1]))

    def _flood(self, count: int) -> None:
        for _ in range(count):
            for sock in self._negotiated:
                sock.sendall(_EVENT)


if __name__ == "__main__":
    _Stub(sys.argv[1]).run()
