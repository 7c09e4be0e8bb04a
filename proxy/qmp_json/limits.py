"""How much one client may make the proxy hold: QEMU's own limits of a value, and ours of what QEMU does not limit."""

from dataclasses import dataclass

__all__ = ["MAX_BLANK_BYTES", "MAX_INNER_BLANK_BYTES", "QEMU_LIMITS", "Limits"]

# Of blanks between commands so many are kept for the next one: no client sends more than a line end or two, and one that
# sends nothing else costs no memory.
MAX_BLANK_BYTES = 64
# The blanks in a value are forwarded with it (W1), so they must be held, and QEMU does not limit them. An indented command of
# the longest that QEMU reads in a minute has less; more is answered as too many bytes of tokens are.
MAX_INNER_BLANK_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What one value may be made of (qobject/json-streamer.c)."""

    token_bytes: int  # of all tokens; blanks do not count
    tokens: int
    nesting: int


QEMU_LIMITS = Limits(token_bytes=64 << 20, tokens=2 << 20, nesting=1 << 10)
