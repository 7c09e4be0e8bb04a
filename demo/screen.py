"""How the demo looks: headings, sentences, and what goes over the wire. It uses colours only on a terminal."""

import json
import textwrap
from collections.abc import Mapping
from typing import TextIO

from audit.lines import is_colourful

__all__ = ["Screen"]

_BOLD, _DIM, _GREEN, _CYAN = "1", "2", "32", "36"
_WIDTH = 100
_INDENT = "   "


class Screen:
    """Prints line by line, so that even the reader of a pipe sees each step when it happens."""

    def __init__(self, stream: TextIO, environment: Mapping[str, str]) -> None:
        self._stream = stream
        self._is_coloured = is_colourful(stream, environment)
        self._steps = 0

    def step(self, title: str) -> None:
        self._steps += 1
        self._put(f"\n{self._steps}. {title}", _BOLD)

    def say(self, text: str) -> None:
        """Print a sentence or two."""
        for line in textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False):
            self._put(_INDENT + line)

    def show(self, text: str) -> None:
        """Print lines unchanged."""
        for line in text.splitlines():
            self._put(f"{_INDENT}  {line}".rstrip())

    def shell(self, command: str) -> None:
        """Print a shell command; if it is long, on several lines, of which each but the first begins with an option."""
        lines = ["$"]
        for part in command.replace(" -", "\n-").split("\n"):
            if len(lines[-1]) + len(part) > _WIDTH:
                lines.append("   ")
            lines[-1] += f" {part}"
        for line in lines[:-1]:
            self._put(f"{_INDENT}{line} \\", _CYAN)
        self._put(f"{_INDENT}{lines[-1]}", _CYAN)

    def sent(self, line: bytes) -> None:
        """Print what the legacy tool sends."""
        self._put(f"{_INDENT}--> {line.decode().rstrip()}", _CYAN)

    def received(self, line: bytes) -> None:
        """Print what the legacy tool gets: replies unchanged, events without their time."""
        message = json.loads(line)
        if "event" in message:
            self._put(f"{_INDENT}<-- event {message['event']}", _DIM)
        else:
            self._put(f"{_INDENT}<-- {line.decode().rstrip()}", _GREEN)

    def _put(self, text: str, style: str = "") -> None:
        if style and self._is_coloured:
            text = f"\x1b[{style}m{text}\x1b[0m"
        print(text, file=self._stream, flush=True)
