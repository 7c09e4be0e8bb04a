"""How long a value is so far, in tokens and bytes, and whether it exceeds the limits of one value (qobject/json-streamer.c).

Counting every token costs time, which a value of usual size is spared: if it has fewer bytes than the limit on tokens, it
cannot exceed the limits, so its brackets are enough to know where it ends. If a value turns out longer, the tokens that were
skipped uncounted are counted afterwards.
"""

from proxy.qmp_json.dialect import measure
from proxy.qmp_json.lexer import Lexer
from proxy.qmp_json.limits import Limits

__all__ = ["TOO_MANY_BYTES", "TOO_MANY_TOKENS", "Extent"]

TOO_MANY_BYTES = "JSON token size limit exceeded"
TOO_MANY_TOKENS = "JSON token count limit exceeded"

_BRACES = {b"{": 1, b"}": -1}
_BRACKETS = {b"[": 1, b"]": -1}


class Extent:
    """Measure the current value. Call `expect` for each piece, `add` for each token that is seen, and `reset` after each value.

    coming: the limits of the values that come next; set it to change them. A value that has come in part keeps its own.
    is_open: there are more opening brackets than closing ones of one kind, and at least as many of the other.
    """

    __slots__ = (
        "_braces",
        "_brackets",
        "_limits",
        "coming",
        "harmless_bytes",
        "is_harmless",
        "is_open",
        "token_bytes",
        "tokens",
    )

    def __init__(self, limits: Limits) -> None:
        self._use(limits)
        # The limits of the values that come next; None if they are the same.
        self.coming: Limits | None = None
        # Whether what is held and the current piece together have at most `harmless_bytes`.
        self.is_harmless = True
        self.reset()

    @property
    def most_bytes(self) -> int:
        """How many bytes the current value may have."""
        return self._limits.token_bytes

    def take_limits(self, lexer: Lexer) -> None:
        """Apply the limits in `coming` to the value that begins now, and to later ones. Call `expect` after it."""
        if self.coming is not None:
            self._use(self.coming)
            lexer.token_bytes, self.coming = self.coming.token_bytes, None

    def may_nest_too_deep(self, text: str, begin: int, end: int) -> bool:
        """Return whether a whole value has so many brackets that it might be nested too deeply."""
        most = self._limits.nesting
        return end - begin > 2 * most and text.count("{", begin, end) + text.count("[", begin, end) > most

    def _use(self, limits: Limits) -> None:
        self._limits = limits
        # A value of at most this many bytes can exceed no limit except nesting.
        self.harmless_bytes = min(limits.token_bytes - 1, limits.tokens)

    def reset(self) -> None:
        self._braces = self._brackets = 0
        self.tokens = self.token_bytes = 0
        self.is_open = False

    def expect(self, held: bytearray, new_bytes: int, lexer: Lexer) -> None:
        """Have every token counted once a limit could be exceeded. held: the part of the value from earlier pieces."""
        self.is_harmless = len(held) + new_bytes <= self.harmless_bytes
        if not self.is_harmless and not lexer.sees_all:
            lexer.sees_all = True
            whole = len(held) - lexer.length
            self.tokens, self.token_bytes = measure(bytes(held[:whole]))

    def add(self, kind: bytes, length: int) -> None:
        """Count a token."""
        braces = self._braces = self._braces + _BRACES.get(kind, 0)
        brackets = self._brackets = self._brackets + _BRACKETS.get(kind, 0)
        self.is_open = (braces > 0 or brackets > 0) and braces >= 0 and brackets >= 0
        self.tokens += 1
        self.token_bytes += length

    def excess(self, extent_bytes: int) -> str | None:
        """Return QEMU's text if the last token exceeds a limit. extent_bytes: the value's length so far, with its blanks."""
        # When QEMU checks, it counts a NUL after the token.
        if self.token_bytes + 1 > self._limits.token_bytes or self.has_too_many_blanks(extent_bytes):
            return TOO_MANY_BYTES
        if self.tokens > self._limits.tokens:
            return TOO_MANY_TOKENS
        if self._braces + self._brackets > self._limits.nesting:
            return "JSON nesting depth limit exceeded"
        return None

    def has_too_many_blanks(self, extent_bytes: int) -> bool:
        return not self.is_harmless and extent_bytes - self.token_bytes > self._limits.inner_blank_bytes
