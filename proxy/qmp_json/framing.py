"""Where the commands of a QMP client end, and what QEMU would say to anything else.

The rules are those of qobject/json-streamer.c: one JSON value follows the other, and no line ends are needed. A byte that fits
no token is answered at once and makes QEMU forget the value that it is in, so the rest of that value often gets another answer.
Since QEMU 11.1 any other error spoils the value instead: it gets one answer, and QEMU says nothing more about it until its
brackets balance or a stray byte ends it.

A read that holds whole commands is given to Python's json. Everything else goes through the lexer, which never goes back to an
earlier piece; once it has found a value whole, that is decoded.

All of this is done in steps of a few milliseconds at most, because a client may send input that is expensive to read: a
megabyte of brackets, or 100,000 bytes each of which is an error.
"""

import re
from collections.abc import Generator, Iterator

from proxy.qmp_json.dialect import NOT_SURE, DialectError, plain_text, scan, stray
from proxy.qmp_json.early_errors import EarlyErrors
from proxy.qmp_json.extent import TOO_MANY_BYTES, Extent
from proxy.qmp_json.grammar import decode, family_of
from proxy.qmp_json.items import Begun, Command, Malformed
from proxy.qmp_json.lexer import SKIPPED, STRAY, Lexer
from proxy.qmp_json.limits import MAX_BLANK_BYTES, QEMU_LIMITS, Limits
from proxy.qmp_json.plain import MOST_PLAIN_BYTES, PLAIN
from proxy.qmp_json.shorten import LONG_TOKEN_BYTES, LONG_VALUE_BYTES, MOST_SKELETON_BYTES, Skeleton
from shim.qmp import JSON, QEMUVersion

__all__ = ["Command", "CommandFramer", "Malformed"]


_BLANKS = re.compile(rb"[ \t\r\n]*+")
_LINE_END = re.compile(rb"\r?\n")
_TEXT_BLANKS = re.compile(r"[ \t\r\n]*+")
_TEXT_LINE_END = re.compile(r"\r?\n")
_LINE_ENDS = frozenset(("", "\n", "\r\n"))

# A step ends after this many tokens (3 µs each) or items: an error costs 6 µs, and its answer as much again.
_STEP_TOKENS = 1024
_STEP_ITEMS = 64
_ENDED = object()


class CommandFramer:
    """Cut what a client sends into commands, and word the errors for the rest as a QEMU of this version does.

    Call `feed` with what the client sent, then `read` while `has_input`. At the end of the stream, drop the framer: QEMU does
    not answer half a value.

    value: how long the current value is so far, and its limits.

    There are three paths: `count_plain` for commands that nobody looks into, `_read_whole` for reads that hold whole commands,
    and `_read_tokens` for input that is cut, malformed, too long or nested too deeply. Each leaves to the next what it does not
    take.
    """

    def __init__(self, version: QEMUVersion, limits: Limits = QEMU_LIMITS) -> None:
        self._family = family_of(version)
        self._lexer = Lexer(limits.token_bytes)
        self.value = Extent(limits)
        self._skeleton = Skeleton()
        self._early = EarlyErrors(self._family) if self._family.is_eager else None
        self._blanks = b""  # since the last command
        self._held = bytearray()  # the part of the current value from earlier pieces
        self._forget_value()
        self._steps: Iterator[None] = iter(())
        # What the current step has found.
        self._found: list[Command | Malformed] = []
        # Whether what was fed has not been read to its end.
        self.has_input = False

    @property
    def held_bytes(self) -> int:
        """How many bytes are kept of a value that has come in part, and of blanks before it."""
        return len(self._held) + len(self._blanks)

    @property
    def begun(self) -> Begun | None:
        """What another framer needs to go on from here (`begin_at`); None if it could not, because a value is spoilt."""
        if self._is_spoilt:
            return None
        place = None if self._early is None else self._early.place.before(self._held)
        return Begun(bytes(self._held), self._blanks, place, recovers=self._lexer.state == "recovery")

    def feed(self, data: bytes) -> list[Command | Malformed]:
        """Take what the client sent next, and read its first step. Everything fed before must have been read."""
        assert not self.has_input, "one piece after the other"
        self._steps = self._read_piece(data)
        return self.read()

    def read(self) -> list[Command | Malformed]:
        """Read one more step. Return what is complete by then, in order, each item as early as QEMU answers it."""
        self.has_input = next(self._steps, _ENDED) is not _ENDED
        found, self._found = self._found, []
        return found

    def begin_at(self, begun: Begun) -> None:
        """Go on with a stream that another framer has begun to read. `begun.data` still has to be fed."""
        self._blanks = begun.blanks
        if begun.recovers:
            self._lexer.state = "recovery"
        if self._early is not None and begun.place is not None:
            self._early.begin_at(begun.place)

    def count_plain(self, data: bytes, room: int) -> int:
        """Count the commands of `data` if it holds nothing but whole plain commands, `room` at most; else return 0.

        If they are counted, they count as read: do not feed them.
        """
        is_between = not (self.value.tokens or self._held or self._blanks) and self._lexer.state == "start"
        if not is_between or len(data) > MOST_PLAIN_BYTES or not PLAIN.fullmatch(data):
            return 0
        count = data.count(b"{")
        if count > room:
            return 0
        if self._early is not None:
            self._early.place.pass_piece(data, self._lexer)
        return count

    def _read_piece(self, data: bytes) -> Iterator[None]:
        """Read a piece, yielding after each step except the last."""
        at = 0
        if data and not self.value.tokens and self._lexer.state == "start":
            self.value.take_limits(self._lexer)
            if len(data) <= self.value.harmless_bytes:
                at = yield from self._read_whole(data)
        if at < len(data):
            yield from self._read_tokens(data, at)
        if self._early is not None:
            self._early.place.pass_piece(data, self._lexer)

    def _read_whole(self, data: bytes) -> Generator[None, None, int]:
        """Take the whole commands at the beginning of `data`. Return the index after the last one that is certain."""
        text = plain_text(data)
        if text is None:
            return 0
        size = len(text)
        at = chars = 0
        begin = 0 if text[0] == "{" else _blanks_end(text, 0)
        while begin < size and text[begin] == "{":
            try:
                message, end = scan(text, begin)
            except NOT_SURE:
                break
            if self.value.may_nest_too_deep(text, begin, end):
                break
            # Nearly always only a line end is left; then the regular expression is not needed.
            begin = size if size - end <= 2 and text[end:] in _LINE_ENDS else _blanks_end(text, end)
            if begin == size:
                self._found.append(self._command(data[at:], message) if self._blanks else Command(data[at:], message))
                return len(data)
            line_end = _TEXT_LINE_END.match(text, end)
            end = line_end.end() if line_end else end
            raw = data[at : at + (end - chars if size == len(data) else len(text[chars:end].encode()))]
            self._found.append(self._command(raw, message))
            at, chars = at + len(raw), end
            if len(self._found) == _STEP_ITEMS:
                yield
                if self.value.coming is not None:
                    break  # the limits have changed, so the rest is read token by token
        return at

    def _read_tokens(self, data: bytes, at: int) -> Iterator[None]:
        """Read the rest of a piece token by token, and hold what is not complete."""
        value = self.value
        value.expect(self._held, len(data) - at, self._lexer)
        mark = at  # the end of what is done with
        for number, (kind, end, length) in enumerate(self._lexer.tokens(data, at), 1):
            if number % _STEP_TOKENS == 0 or len(self._found) >= _STEP_ITEMS:
                yield
            if kind is SKIPPED:
                mark = end
                if self._early is not None:
                    self._early.place.note_recovery(end)
                continue
            begin = end - length
            if not value.tokens:
                mark = self._pass_blanks(data, mark, begin)
                if value.coming is not None:
                    value.take_limits(self._lexer)
                    value.expect(self._held, len(data) - mark, self._lexer)
            if kind is STRAY:
                self._conclude_stray(data, mark, end, length)
                mark = end
                continue
            value.add(kind, length)
            desc = None if self._is_spoilt else value.excess(len(self._held) + end - mark)
            if desc is not None:
                self._spoil(self._early_error(data, mark, begin) or desc)
                mark = end
            elif not value.is_open:
                mark = self._conclude(data, mark, end)
            elif self._is_spoilt:
                mark = end
            else:
                self._lexer.sees_all = not value.is_harmless
                if length > LONG_TOKEN_BYTES and len(self._held) + end - mark > LONG_VALUE_BYTES:
                    mark = self._shorten(data, mark, end, length)
                elif value.token_bytes - self._skeleton.saved_bytes > MOST_SKELETON_BYTES:
                    self._spoil(TOO_MANY_BYTES)
                    mark = end
            if not value.is_open:
                self._forget_value()
        if value.tokens and not self._is_spoilt:
            early = self._early_error(data, mark, len(data) - self._lexer.length)
            if early is not None:
                self._spoil(early)
        self._hold(data, mark)

    def _conclude_stray(self, data: bytes, mark: int, end: int, length: int) -> None:
        if not self._is_spoilt:
            early = self._early_error(data, mark, end - length)
            desc = stray(b"".join((self._held, data[mark:end]))[-length:])
            if self._early is not None:
                desc = early or self._early.placed(desc, data, end - length)
            self._found.append(Malformed(desc))
        self._forget_value()

    def _conclude(self, data: bytes, mark: int, end: int) -> int:
        """Make a value that ends at `end` a command, or an error. Return where that ends, with blanks that end the read."""
        if self._is_spoilt:
            return end
        blanks, line_end = _BLANKS.match(data, end), _LINE_END.match(data, end)
        after = len(data) if blanks and blanks.end() == len(data) else line_end.end() if line_end else end
        is_cut = self._skeleton.is_cut
        source = self._skeleton.of(self._held, data[mark:after])
        try:
            message = decode(source, self._family)
        except DialectError as exc:
            self._found.append(Malformed(self._early_error(data, mark, end) or str(exc)))
            return end
        if is_cut:
            source = b"".join((self._held, data[mark:after]))
        self._held.clear()  # before it is copied with the blanks before it
        if isinstance(message, dict):
            self._found.append(self._command(source, message, is_cut=is_cut))
            return after
        self._found.append(Malformed("QMP input must be a JSON object"))
        return end

    def _command(self, raw: bytes, message: dict[str, JSON], *, is_cut: bool = False) -> Command:
        if self._blanks:
            raw, self._blanks = self._blanks + raw, b""
        return Command(raw, message, is_cut)

    def _shorten(self, data: bytes, mark: int, end: int, length: int) -> int:
        """In a long value, have a short token judged in place of a long one that ends at `end`. Return the new mark."""
        early = self._early_error(data, mark, end - length)
        self._held += data[mark:end]
        short = self._skeleton.shorten(self._held, length)
        if self._early is not None:
            early = early or self._early.look_at(short, self._held, data, end - length)
        if early is not None:
            self._spoil(early)
        return end

    def _pass_blanks(self, data: bytes, mark: int, begin: int) -> int:
        if self.value.tokens or self._held:
            return mark
        if begin > mark and len(self._blanks) < MAX_BLANK_BYTES:
            self._blanks += data[mark : min(begin, mark + MAX_BLANK_BYTES - len(self._blanks))]
        return begin

    def _hold(self, data: bytes, mark: int) -> None:
        if self._lexer.state == "recovery" or self._is_spoilt:
            return
        mark = self._pass_blanks(data, mark, len(data) - self._lexer.length)
        if mark < len(data):
            self._held += data[mark:]
            if not self._lexer.length and self.value.has_too_many_blanks(len(self._held)):
                self._spoil(TOO_MANY_BYTES)

    def _early_error(self, data: bytes, mark: int, upto: int) -> str | None:
        """Return what QEMU has found wrong with the current value by byte `upto`; None if nothing, or if it looks later."""
        return None if self._early is None else self._early.look(self._held, data, mark, upto)

    def _spoil(self, desc: str) -> None:
        # QEMU up to 11.0 reads the rest of the value as a new one and answers that, too: 7.2 sends an error for every bracket
        # that is nested too deeply, where 11.1 sends one.
        self._found.append(Malformed(desc))
        if self._early is not None:
            self._held.clear()
            self._is_spoilt = True
        else:
            self._forget_value()

    def _forget_value(self) -> None:
        self._held.clear()
        self.value.reset()
        self._skeleton.clear()
        self._lexer.sees_all = True
        self._is_spoilt = False
        if self._early is not None:
            self._early.reset()


def _blanks_end(text: str, at: int) -> int:
    blanks = _TEXT_BLANKS.match(text, at)
    return blanks.end() if blanks else at
