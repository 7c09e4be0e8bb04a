"""How far a value has come, in tokens and bytes, and whether it is more than one value may be (qobject/json-streamer.c).

Counting every token costs time that a value of usual size need not pay: one of fewer bytes than the limits have tokens cannot
pass them, so its brackets are enough to know where it ends. Where a value turns out longer, what was passed over uncounted is
counted afterwards.
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
    """Counts the value at hand. `reset` it after each; call `expect` for each piece, and `add` for each token that is seen.

    coming: the limits of the values that are still to begin; set it to change them. Of which a part was read keeps its own.
    is_open: it has more opening brackets of a kind than closing ones, and of the other kind none too few.
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
        # Those of the values that are still to begin, where they are others.
        self.coming: Limits | None = None
        # What is held and the piece at hand together are no more.
        self.is_harmless = True
        self.reset()

    @property
    def most_bytes(self) -> int:
        """How long the value at hand may be."""
        return self._limits.token_bytes

    def take_limits(self, lexer: Lexer) -> None:
        """Hold the value that begins, and those after it, to the limits to come. `expect` is to follow."""
        if self.coming is not None:
            self._use(self.coming)
            lexer.token_bytes, self.coming = self.coming.token_bytes, None

    def may_nest_too_deep(self, text: str, begin: int, end: int) -> bool:
        """Tell whether a whole value has more brackets than it may have open."""
        most = self._limits.nesting
        return end - begin > 2 * most and text.count("{", begin, end) + text.count("[", begin, end) > most

    def _use(self, limits: Limits) -> None:
        self._limits = limits
        # A value of no more bytes cannot exceed the limits, nesting apart.
        self.harmless_bytes = min(limits.token_bytes - 1, limits.tokens)

    def reset(self) -> None:
        self._braces = self._brackets = 0
        self.tokens = self.token_bytes = 0
        self.is_open = False

    def expect(self, held: bytearray, new_bytes: int, lexer: Lexer) -> None:
        """Have every token counted from where a limit could be passed. held: of the value, from earlier pieces."""
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
        """Return QEMU's text if the last token is one too many. extent_bytes: of the value so far, with its blanks."""
        # QEMU has a NUL after each token when it looks.
        if self.token_bytes + 1 > self._limits.token_bytes or self.has_too_many_blanks(extent_bytes):
            return TOO_MANY_BYTES
        if self.tokens > self._limits.tokens:
            return TOO_MANY_TOKENS
        if self._braces + self._brackets > self._limits.nesting:
            return "JSON nesting depth limit exceeded"
        return None

    def has_too_many_blanks(self, extent_bytes: int) -> bool:
        return not self.is_harmless and extent_bytes - self.token_bytes > self._limits.inner_blank_bytes
