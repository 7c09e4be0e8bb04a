"""Where the commands of a QMP client end, and what QEMU would say to anything else.

The rules are those of qobject/json-streamer.c: one JSON value follows the other, with no need of line ends; a byte that
fits no token is answered at once and makes QEMU forget the value it stands in, so that the rest of that value is often
answered once more. From QEMU 11.1 on any other error leaves the value spoilt instead: it gets one answer, and QEMU says
nothing more about it until its brackets balance or a stray byte ends it.

A read that holds whole commands is given to Python's json. All else goes through the lexer, which never goes back to
an earlier piece; a value it found whole is decoded once.
"""

import re
from dataclasses import dataclass

from proxy.qmp_json.dialect import NOT_SURE, DialectError, measure, plain_text, scan, stray, tokens
from proxy.qmp_json.grammar import Parser, decode, family_of
from proxy.qmp_json.lexer import SKIPPED, STRAY, Lexer
from proxy.qmp_json.limits import MAX_BLANK_BYTES, MAX_INNER_BLANK_BYTES, QEMU_LIMITS, Limits
from proxy.qmp_json.position import Position
from shim.qmp import JSON, QEMUVersion

__all__ = ["Command", "CommandFramer", "Malformed"]


@dataclass(frozen=True, slots=True)
class Command:
    """A JSON object a client sent.

    `raw` is it as it came, with the blanks before it, and with those after it if they end the same read.
    """

    raw: bytes
    message: dict[str, JSON]


@dataclass(frozen=True, slots=True)
class Malformed:
    """What QEMU answers with a GenericError that has no id; `desc` is its text."""

    desc: str


_BLANKS = re.compile(rb"[ \t\r\n]*+")
_TEXT_BLANKS = re.compile(r"[ \t\r\n]*+")
_LINE_ENDS = frozenset(("", "\n", "\r\n"))

_BRACES = {b"{": 1, b"}": -1}
_BRACKETS = {b"[": 1, b"]": -1}

_TOO_MANY_BYTES = "JSON token size limit exceeded"

# Commands without arguments that mean nothing to the proxy, as most programs spell them, one or many. Nothing in them repeats
# a key or needs decoding, and each has one brace. Left out is what the proxy acts upon: HMP, the jobs that it hides from
# query-jobs, the negotiation, a descriptor that must travel with its own command, and the proxy's own two commands.
_PLAIN = re.compile(
    rb'(?:\{"execute": ?"(?!(?:human-monitor-command|query-jobs|qmp_capabilities|getfd|add-fd)"|__hmpshim_)[A-Za-z0-9_-]+"'
    rb'(?:, ?"id": ?(?:"[ !#-\[\]^-z|~]*"|[1-9][0-9]{0,17}))?\}\r?\n?)+'
)
# A repeated group costs memory for each repetition: 15 bytes for each byte of this.
_MAX_PLAIN_BYTES = 64 * 1024


class CommandFramer:
    """Cuts what a client sends into commands, and words the errors for the rest as a QEMU of this version does.

    At the end of the stream drop the framer: QEMU does not answer half a value.

    Three paths, from the quickest: `count_plain` for commands without arguments that nobody looks into; `_receive_whole` for
    reads that hold whole commands; `_receive_piece` for what is cut, malformed, or too long or deep to be sure about. Each
    gives up its input to the next one unread, so the slow path alone decides what is right, and the others only agree with it.
    """

    def __init__(self, version: QEMUVersion, limits: Limits = QEMU_LIMITS) -> None:
        self._family = family_of(version)
        self._limits = limits
        # A value of no more bytes cannot exceed the limits, nesting apart.
        self._harmless_bytes = min(limits.token_bytes - 1, limits.tokens)
        self._shallow_chars = 2 * limits.nesting
        self._lexer = Lexer(limits.token_bytes)
        self._place = Position() if self._family.is_eager else None
        self._blanks = b""  # since the last command
        self._held = bytearray()  # of the value at hand, from earlier pieces
        self._is_harmless = True  # what is held and the piece at hand together
        self._parser = Parser(self._family)
        self._judged = 0  # bytes of the value at hand that the parser has seen
        self._forget_value()

    def receive_data(self, data: bytes) -> list[Command | Malformed]:
        """Take what the client sent next; return what it completes, in order, each as early as QEMU answers it."""
        found: list[Command | Malformed] = []
        at = 0
        if data and not self._tokens and self._lexer.state == "start" and len(data) <= self._harmless_bytes:
            at = self._receive_whole(data, found)
        if at < len(data):
            self._receive_piece(data, at, found)
        if self._place is not None:
            self._place.pass_piece(data, self._lexer)
        return found

    def count_plain(self, data: bytes) -> int:
        """Count the commands of `data` if it is nothing but whole plain ones, which need no decoding; else return 0."""
        is_between = not (self._tokens or self._held or self._blanks) and self._lexer.state == "start"
        if not is_between or len(data) > _MAX_PLAIN_BYTES or not _PLAIN.fullmatch(data):
            return 0
        if self._place is not None:
            self._place.pass_piece(data, self._lexer)
        return data.count(b"{")

    def _receive_whole(self, data: bytes, found: list[Command | Malformed]) -> int:
        """Take the whole commands that `data` begins with; return where the first one begins that is not surely one."""
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
            if end - begin > self._shallow_chars and self._may_nest_too_deep(text, begin, end):
                break
            # Nearly always only a line's end is left: that spares the regular expression.
            begin = size if size - end <= 2 and text[end:] in _LINE_ENDS else _blanks_end(text, end)
            if begin == size:
                found.append(self._command(data[at:], message) if self._blanks else Command(data[at:], message))
                return len(data)
            raw = data[at : at + (end - chars if size == len(data) else len(text[chars:end].encode()))]
            found.append(self._command(raw, message))
            at, chars = at + len(raw), end
        return at

    def _may_nest_too_deep(self, text: str, begin: int, end: int) -> bool:
        return text.count("{", begin, end) + text.count("[", begin, end) > self._limits.nesting

    def _receive_piece(self, data: bytes, at: int, found: list[Command | Malformed]) -> None:
        """Read on token by token, and hold what is not complete."""
        self._watch_limits(len(data) - at)
        mark = at  # after what is done with
        for kind, end, length in self._lexer.tokens(data, at):
            if kind is SKIPPED:
                mark = end
                if self._place is not None:
                    self._place.note_recovery(end)
                continue
            begin = end - length
            if not self._tokens:
                mark = self._pass_blanks(data, mark, begin)
            if kind is STRAY:
                self._conclude_stray(data, mark, end, length, found)
                mark = end
                continue
            desc = self._count(kind, length, len(self._held) + end - mark)
            if desc is not None:
                self._spoil(self._early_error(data, mark, begin) or desc, found)
                mark = end
            elif not self._is_open():
                mark = self._conclude(data, mark, end, found)
            elif self._is_spoilt:
                mark = end
            if not self._is_open():
                self._forget_value()
        if self._place is not None and not self._is_spoilt and self._tokens:
            early = self._early_error(data, mark, len(data) - self._lexer.length)
            if early is not None:
                self._spoil(early, found)
        self._hold(data, mark, found)

    def _conclude_stray(self, data: bytes, mark: int, end: int, length: int, found: list[Command | Malformed]) -> None:
        if not self._is_spoilt:
            early = self._early_error(data, mark, end - length)
            token = b"".join((self._held, data[mark:end]))[-length:]
            found.append(Malformed(early or self._placed(stray(token), data, end - length)))
        self._forget_value()

    def _conclude(self, data: bytes, mark: int, end: int, found: list[Command | Malformed]) -> int:
        """Answer a value that ends at `end`, or make it a command. Return where that ends, blanks at a read's end included."""
        if self._is_spoilt:
            return end
        after = self._end_of_read(data, end)
        source = b"".join((self._held, data[mark:after]))
        try:
            message = decode(source, self._family)
        except DialectError as exc:
            found.append(Malformed(self._early_error(data, mark, end) or str(exc)))
            return end
        if isinstance(message, dict):
            found.append(self._command(source, message))
            return after
        found.append(Malformed("QMP input must be a JSON object"))
        return end

    def _end_of_read(self, data: bytes, end: int) -> int:
        blanks = _BLANKS.match(data, end)
        return len(data) if blanks and blanks.end() == len(data) else end

    def _command(self, raw: bytes, message: dict[str, JSON]) -> Command:
        if self._blanks:
            raw, self._blanks = self._blanks + raw, b""
        return Command(raw, message)

    def _pass_blanks(self, data: bytes, mark: int, begin: int) -> int:
        if self._tokens or self._held:
            return mark
        if begin > mark and len(self._blanks) < MAX_BLANK_BYTES:
            self._blanks += data[mark : min(begin, mark + MAX_BLANK_BYTES - len(self._blanks))]
        return begin

    def _hold(self, data: bytes, mark: int, found: list[Command | Malformed]) -> None:
        if self._lexer.state == "recovery" or self._is_spoilt:
            return
        mark = self._pass_blanks(data, mark, len(data) - self._lexer.length)
        if mark < len(data):
            self._held += data[mark:]
            if not self._lexer.length and self._has_too_many_blanks(len(self._held)):
                self._spoil(_TOO_MANY_BYTES, found)

    # -- Errors before the end of a value (QEMU 11.1)

    def _early_error(self, data: bytes, mark: int, upto: int) -> str | None:
        """Look at the tokens of the value at hand that were not looked at, as far as byte `upto`, if QEMU does so now."""
        if not self._family.is_eager:
            return None
        offset = mark - (len(self._held) - self._judged)
        if upto <= offset:
            return None
        source = b"".join((self._held[self._judged :], data[mark : max(mark, upto)]))[: upto - offset]
        for begin, token in tokens(source):
            try:
                self._parser.feed(token)
            except DialectError as exc:
                return self._placed(str(exc), data, offset + begin)
        self._judged = len(self._held) + upto - mark
        return None

    def _placed(self, desc: str, data: bytes, begin: int) -> str:
        return desc if self._place is None else self._place.of(data, begin) + desc

    def _spoil(self, desc: str, found: list[Command | Malformed]) -> None:
        # Up to 11.0 what is left of the value is read as a new one, and answered again: 7.2 has an error for every bracket that
        # is nested too deep, where 11.1 has one.
        found.append(Malformed(desc))
        if self._family.is_eager:
            self._held.clear()
            self._is_spoilt = True
        else:
            self._forget_value()

    # -- Counting

    def _forget_value(self) -> None:
        self._held.clear()
        self._braces = self._brackets = 0
        self._tokens = self._token_bytes = 0
        self._lexer.sees_all = True
        self._is_spoilt = False
        if self._family.is_eager:
            self._parser = Parser(self._family)
            self._judged = 0

    def _watch_limits(self, new_bytes: int) -> None:
        """Have every token counted from where a limit could be passed; up to there brackets are enough, which is quicker."""
        self._is_harmless = len(self._held) + new_bytes <= self._harmless_bytes
        if not self._is_harmless and not self._lexer.sees_all:
            self._lexer.sees_all = True
            whole = len(self._held) - self._lexer.length
            self._tokens, self._token_bytes = measure(bytes(self._held[:whole]))

    def _count(self, kind: bytes, length: int, extent: int) -> str | None:
        """Count a token of the value at hand, which has `extent` bytes with it. Return QEMU's text if it is one too many."""
        self._braces += _BRACES.get(kind, 0)
        self._brackets += _BRACKETS.get(kind, 0)
        self._tokens += 1
        self._token_bytes += length
        if self._is_spoilt:
            return None
        # QEMU has a NUL after each token when it looks.
        if self._token_bytes + 1 > self._limits.token_bytes or self._has_too_many_blanks(extent):
            return _TOO_MANY_BYTES
        if self._tokens > self._limits.tokens:
            return "JSON token count limit exceeded"
        if self._braces + self._brackets > self._limits.nesting:
            return "JSON nesting depth limit exceeded"
        self._lexer.sees_all = not self._is_harmless
        return None

    def _has_too_many_blanks(self, extent: int) -> bool:
        return not self._is_harmless and extent - self._token_bytes > MAX_INNER_BLANK_BYTES

    def _is_open(self) -> bool:
        return (self._braces > 0 or self._brackets > 0) and self._braces >= 0 and self._brackets >= 0


def _blanks_end(text: str, at: int) -> int:
    blanks = _TEXT_BLANKS.match(text, at)
    return blanks.end() if blanks else at
