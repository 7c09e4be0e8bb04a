"""A conversation with a monitor in which it is asked for the machine's state, and told to end it."""

import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from proxy.qemu_command_line.monitors import Kind
from tests.integration.wrapping.wrapped_qemu import EndedError, bytes_of

__all__ = ["Talk"]

_PROMPT: Final = b"\r\n(qemu) "
_QUIT: Final[Mapping[Kind, bytes]] = {
    Kind.HMP: b"quit\n",
    Kind.QMP: b'{"execute": "quit"}\n',
    Kind.QMP_PRETTY: b'{"execute": "quit"}\n',
}
# What comes before QMP: telnet's negotiation, or what QEMU says of another device on standard output.
_IN_FRONT: Final = re.compile(rb"\xff[\xfb-\xfe].|char device redirected to [^\n]*\n", re.DOTALL)
# It is another each time.
_TERMINAL: Final = re.compile(rb"/dev/pts/\d+")
# QEMU is sometimes gone before it has answered `quit`.
_LAST_ANSWER: Final = re.compile(rb'("SHUTDOWN".*?\}\s*\}\r\n)\{\s*"return": \{\s*\}\s*\}\r\n\Z', re.DOTALL)
_TIME: Final = re.compile(rb'("(?:micro)?seconds":) \d+')


class Talk:
    """A conversation with a monitor."""

    def __init__(self, kind: Kind, reading: int, writing: int) -> None:
        self._kind = kind
        self._read = bytes_of(reading)
        self._writing = writing
        self._data = b""

    def ask(self) -> None:
        """Read how the monitor begins, and ask for the machine's state. Raises EndedError."""
        if self._kind is Kind.HMP:
            self._until(lambda data: data.endswith(_PROMPT))
            self._say(b"info status\n")
            self._until(lambda data: data.count(_PROMPT) > 1 and data.endswith(_PROMPT))
            return
        self._until(lambda data: len(_values(data)) > 0)
        for name in ("qmp_capabilities", "query-status"):
            self._say(json.dumps({"execute": name}).encode())
            self._until_answered()

    def quit(self) -> None:
        self._say(_QUIT[self._kind])

    def said(self) -> bytes:
        """Return what has come so far, and forget it."""
        data, self._data = self._data, b""
        return _TERMINAL.sub(b"", data)

    def last(self) -> bytes:
        """Return the rest, up to the end of the connection, but for what is another each time."""
        with suppress(EndedError):
            while True:
                self._data += self._read()
        return _TIME.sub(rb"\1 0", _LAST_ANSWER.sub(rb"\1", self.said()))

    def _until_answered(self) -> None:
        before = _answers(self._data)
        self._until(lambda data: _answers(data) > before)

    def _until(self, is_whole: Callable[[bytes], bool]) -> None:
        while not is_whole(self._data):
            self._data += self._read()

    def _say(self, data: bytes) -> None:
        try:
            os.write(self._writing, data)
        except BrokenPipeError as exc:
            raise EndedError from exc


def _answers(data: bytes) -> int:
    return sum("return" in value for value in _values(data))


def _values(data: bytes) -> list[dict[str, object]]:
    """Return the whole messages so far."""
    text, at = _IN_FRONT.sub(b"", data).decode(), 0
    values: list[dict[str, object]] = []
    while True:
        try:
            value, at = json.JSONDecoder().raw_decode(text, len(text) - len(text[at:].lstrip()))
        except json.JSONDecodeError:
            return values
        # Its end of line may not be there yet.
        if not text[at:].startswith("\r\n"):
            return values
        values.append(value)
