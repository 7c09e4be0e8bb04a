"""How much one client may make the proxy hold: limits on one value, and on the blanks between values."""

from dataclasses import dataclass

__all__ = ["MAX_BLANK_BYTES", "QEMU_LIMITS", "RECURSION_LIMIT", "Limits"]

# How many blanks between commands are kept for the next one: no client sends more than a line end or two, and one that sends
# nothing but blanks must cost no memory.
MAX_BLANK_BYTES = 64
# Python's recursion limit in each process that reads QMP: values may be nested as deeply as QEMU accepts (1024), and each level
# takes a few frames.
RECURSION_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How large one value may be (qobject/json-streamer.c). A larger one gets the answer that QEMU has for it.

    The defaults are below QEMU's own: it takes 5 s to read 1 MiB, in which nobody else is served, and a value of two million
    tokens takes 100 MiB here. No command that is known to make sense is that large.

    token_bytes: the bytes of all tokens; blanks do not count. inner_blank_bytes: QEMU does not limit these, but they are
    forwarded with the value (W1), and must be held; more of them get the same answer as too many bytes of tokens.
    """

    token_bytes: int = 16 << 20
    tokens: int = 64 << 10
    nesting: int = 1 << 10
    inner_blank_bytes: int = 1 << 20


# QEMU's own limits.
QEMU_LIMITS = Limits(token_bytes=64 << 20, tokens=2 << 20, nesting=1 << 10, inner_blank_bytes=16 << 20)
