"""How many commands of one client QEMU may have to do at a time, without I/O.

QEMU reads one command of each monitor and takes turns, so that a client that asks for much delays another one by one command.
Here all share one monitor, and what QEMU has been sent it does in that order, whoever comes meanwhile. So while several
clients want something each has one command under way. One that is alone may have more, or it would wait for a round trip after
each; but no more than QEMU does in about 50 ms, since that is how long somebody who comes now has to wait. What a command costs
nobody can know beforehand (query-status 0.1 ms, query-qmp-schema 16 to 50 ms), so it is measured: from one refill of the window
to the next.
"""

__all__ = ["Window"]

_MOST_WORK_NS = 50_000_000
# Where nothing is measured yet. Four schemas take 0.1 s, or 0.3 s on a busy machine.
_FIRST_SIZE = 4
_GROWTH = 4


class Window:
    """The window of one client. size: how many may be under way. Call `fill` when it is full, `refill` before more is begun.

    most: what `size` never exceeds.
    """

    __slots__ = ("_filled", "_filled_ns", "_most", "size")

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = min(_FIRST_SIZE, most)
        self._filled = 0
        self._filled_ns = 0

    def limit(self, most: int) -> None:
        """Let no more than so many be begun from now on; those that are under way are done."""
        self._most, self.size = most, min(self.size, most)

    def fill(self, under_way: int, now_ns: int) -> None:
        """Note that no more may be begun; from here on QEMU's time is measured."""
        self._filled, self._filled_ns = under_way, now_ns

    def refill(self, under_way: int, now_ns: int) -> None:
        """Measure what was done since `fill`, and size the window after it: it grows in steps, and shrinks at once."""
        done = self._filled - under_way
        if done > 0:
            fitting = done * _MOST_WORK_NS // max(now_ns - self._filled_ns, 1)
            self.size = max(1, min(fitting, _GROWTH * self.size, self._most))
        self._filled = 0
