"""How much one client may make the proxy hold: limits of one value, and of blanks between values."""

from dataclasses import dataclass

__all__ = ["MAX_BLANK_BYTES", "QEMU_LIMITS", "RECURSION_LIMIT", "Limits"]

# Of blanks between commands so many are kept for the next one: no client sends more than a line end or two, and one that
# sends nothing else costs no memory.
MAX_BLANK_BYTES = 64
# Of Python's, in each process that reads QMP: values may be nested as deep as QEMU takes them (1024), and each level costs a
# few frames.
RECURSION_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What one value may be made of (qobject/json-streamer.c). What is more gets the answer that QEMU has for that.

    The defaults are below QEMU's own: it reads 1 MiB in 5 s, in which nobody else is served, and a value of two million tokens
    takes 100 MiB here. No command that is known to make sense has so many of either.

    token_bytes: of all tokens; blanks do not count. inner_blank_bytes: QEMU does not limit them, but they are forwarded with
    the value (W1), and must be held; more is answered as too many bytes of tokens are.
    """

    token_bytes: int = 16 << 20
    tokens: int = 64 << 10
    nesting: int = 1 << 10
    inner_blank_bytes: int = 1 << 20


# The limits of QEMU itself.
QEMU_LIMITS = Limits(token_bytes=64 << 20, tokens=2 << 20, nesting=1 << 10, inner_blank_bytes=16 << 20)
