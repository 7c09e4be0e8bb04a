"""How many commands of one client QEMU may have at a time, without I/O.

QEMU reads one command from each monitor in turn, so a client that asks for much delays another one by just one command. Here
all clients share one monitor, and QEMU works through what it has been sent in that order, whoever comes meanwhile. So while
several clients want something, each has one command under way. A client that is alone may have more, or it would wait for a
round trip after each; but no more than QEMU does in about 50 ms, because a client that comes then has to wait that long. What a
command costs cannot be known beforehand (query-status 0.1 ms, query-qmp-schema 16 to 50 ms), so it is measured between one
`fill` of the window and the next `refill`.
"""

__all__ = ["Window"]

_MOST_WORK_NS = 50_000_000
# The size until something has been measured. Four schemas take 0.1 s, or 0.3 s on a busy machine.
_FIRST_SIZE = 4
_GROWTH = 4


class Window:
    """The window of one client. Call `fill` when it is full, and `refill` before more begins.

    size: how many commands may be under way. most: what `size` never exceeds.
    """

    __slots__ = ("_filled", "_filled_ns", "_most", "size")

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = min(_FIRST_SIZE, most)
        self._filled = 0
        self._filled_ns = 0

    def limit(self, most: int) -> None:
        """Let no more than `most` commands begin from now on; those under way are not affected."""
        self._most, self.size = most, min(self.size, most)

    def fill(self, under_way: int, now_ns: int) -> None:
        """Note that no more commands may begin; from now on QEMU's time is measured."""
        self._filled, self._filled_ns = under_way, now_ns

    def refill(self, under_way: int, now_ns: int) -> None:
        """Measure how much was done since `fill`, and resize the window: it grows in steps, but shrinks at once."""
        done = self._filled - under_way
        if done > 0:
            fitting = done * _MOST_WORK_NS // max(now_ns - self._filled_ns, 1)
            self.size = max(1, min(fitting, _GROWTH * self.size, self._most))
        self._filled = 0
