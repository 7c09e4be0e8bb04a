"""HMP's command line, against monitor/hmp.c written down once more, byte by byte.

The bytes are the line in UTF-8, as JSON would have brought it: what cannot be decoded is replaced.
"""

from typing import Final

from shim.hmp.line import DelVM, HMPCommand, HMPLine, InfoSnapshots, LoadVM, SaveVM, first_refused
from tests.support.shim.hmp_lines import ARGUMENTS, MALFORMED_ARGUMENTS, NOT_OURS

__all__ = ["COVERS", "WORDS", "check", "hmp_name"]

COVERS: Final = ("shim/hmp/line.py",)
WORDS: Final = (
    *rb"savevm loadvm delvm info snapshots \n \r \' \\".split(),
    *(b'"', b'\\"', b"/", b" ", b"\v", b"\f", b"\xc2\xa0", b"\x1c", b"\x00", b"\xef\xb7\x90", b"a" * 255, b"a" * 1023),
    *(line.encode() for line in ("é日😀", *ARGUMENTS, *MALFORMED_ARGUMENTS, *NOT_OURS)),
)
_BLANKS: Final = b" \t\n\v\f\r"
_NAME_BYTES: Final = 256
_ARGUMENT_BYTES: Final = 1024
_LONG_NUL: Final = b"\xc0\x80"
_ESCAPES: Final = {ord("n"): b"\n", ord("r"): b"\r", ord("\\"): b"\\", ord("'"): b"'", ord('"'): b'"'}
_TAGGED: Final[dict[bytes, type[SaveVM] | type[LoadVM] | type[DelVM]]] = {
    b"savevm": SaveVM,
    b"loadvm": LoadVM,
    b"delvm": DelVM,
}


class _FailedError(Exception):
    """HMP prints an error instead of running a command."""


def check(data: bytes) -> None:
    """Fail unless the line is taken as HMP takes it."""
    text = data.decode(errors="replace")
    line = HMPLine.read(text)
    assert line == HMPLine.read(text)
    assert line.text == text
    assert (line.command is None) == (line.why_not_parsed != "")
    assert line.not_parsed().command is None
    stored = text.encode().replace(b"\0", _LONG_NUL)
    name, rest = _name(stored)
    topic = _name(rest)[0] if name == b"info" else b""
    assert line.name == _text(name)
    assert line.topic == _text(topic)
    command = None if first_refused(text) is not None else _command(stored)
    assert line.command == command, f"{line.command} instead of {command}"


def hmp_name(text: str) -> bytes:
    """Return the name that HMP looks up for a line, in its own way of storing it."""
    return _name(text.encode(errors="replace").replace(b"\0", _LONG_NUL))[0]


def _text(name: bytes) -> str:
    """Return a name that may be cut in a character."""
    return name.replace(_LONG_NUL, b"\0").removesuffix(_LONG_NUL[:1]).decode(errors="ignore")


def _name(line: bytes) -> tuple[bytes, bytes]:
    """get_command_name, and the blanks after it."""
    at = _pass_blanks(line, 0)
    end = at
    while end < len(line) and line[end] not in _BLANKS + b"/":
        end += 1
    return line[at:end][: _NAME_BYTES - 1], line[_pass_blanks(line, end) :]


def _pass_blanks(line: bytes, at: int) -> int:
    while at < len(line) and line[at] in _BLANKS:
        at += 1
    return at


def _command(line: bytes) -> HMPCommand | None:
    """monitor_parse_command and monitor_parse_arguments, for the four commands."""
    name, rest = _name(line)
    if name == b"info":
        topic, rest = _name(rest)
        return InfoSnapshots() if topic == b"snapshots" and not rest else None
    if name not in _TAGGED:
        return None
    if not rest:
        return SaveVM(None) if name == b"savevm" else None
    try:
        argument, end = _get_str(rest)
        if _pass_blanks(rest, end) < len(rest):
            return None
        return _TAGGED[name](argument.replace(_LONG_NUL, b"\0").decode())
    except (_FailedError, UnicodeDecodeError):
        return None


def _get_str(line: bytes) -> tuple[bytes, int]:
    """get_str: the argument, and where it ends."""
    argument, at = bytearray(), 0
    if line[0] != ord('"'):
        while at < len(line) and line[at] not in _BLANKS:
            argument.append(line[at])
            at += 1
        return bytes(argument[: _ARGUMENT_BYTES - 1]), at
    at = 1
    while at < len(line) and line[at] != ord('"'):
        if line[at] == ord("\\"):
            at += 1
            if at == len(line) or line[at] not in _ESCAPES:
                raise _FailedError
            argument += _ESCAPES[line[at]]
        else:
            argument.append(line[at])
        at += 1
    if at == len(line):
        raise _FailedError
    return bytes(argument[: _ARGUMENT_BYTES - 1]), at + 1
