"""How far a save or load has come, from times and numbers of bytes, as text for a person.

Pure computation. The percentage never decreases and never exceeds 99 %: only QEMU knows when the command is done.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from repl.progress.work import Kind
from shim.hmp.render import size_text

__all__ = ["Course", "Known", "span_text"]

_MOST_PERCENT: Final = 99
# QEMU may move this much more than the size of the state: some of the devices' part and reads of tables come on top of it.
_TOLERANCE: Final = 1.05
# The speed is measured over the last seconds, because a disk's cache takes the first part faster than the rest.
_SPEED_OVER_S: Final = 10.0
# A shorter time than the first gives no speed, and neither does a number older than the second.
_LEAST_S: Final = 1.0
_OLD_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beforehand. None: unknown.

    ram_bytes: the VM's RAM, which a state cannot exceed. state_bytes: the size of the state being loaded, or of the last one
    saved. usual_s: how long the last such command took.
    """

    ram_bytes: int | None = None
    state_bytes: int | None = None
    usual_s: float | None = None


class Course:
    """The course of one save or load. Call `see` with each measurement, in order, and `text` whenever it is to be shown."""

    def __init__(self, kind: Kind, known: Known, *, parts: int = 1) -> None:
        self.known = known
        self.parts = parts
        self.kind = kind
        self._percent = 0
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, elapsed_s: float, moved_bytes: int) -> None:
        """Note how much QEMU has written or read since the beginning."""
        self._seen.append((elapsed_s, max(moved_bytes, self._moved_bytes)))
        while len(self._seen) > 2 and self._seen[1][0] <= elapsed_s - _SPEED_OVER_S:
            self._seen.popleft()

    def text(self, elapsed_s: float) -> str:
        """Return how far it is and how much time is left; "" if nothing is known."""
        moved, state, ram = self._moved_bytes, self.known.state_bytes, self.known.ram_bytes
        if moved and state is not None:
            return self._by_state(moved, state * self.parts, elapsed_s)
        if moved and ram and self.kind is Kind.SAVE:
            return self._by_ram(moved, ram * self.parts, elapsed_s)
        return "" if self.known.usual_s is None else self._by_time(elapsed_s, self.known.usual_s)

    @property
    def _moved_bytes(self) -> int:
        return self._seen[-1][1] if self._seen else 0

    def _by_state(self, moved: int, state: int, elapsed_s: float) -> str:
        if moved > state * _TOLERANCE and self.kind is Kind.SAVE:
            return f"{size_text(moved)} written, the last one had {size_text(state)}"
        left_s = self._left_s(state, elapsed_s)
        return f"about {self._reached(moved / state)} %" + ("" if left_s is None else f", about {span_text(left_s)} left")

    def _by_ram(self, moved: int, ram: int, elapsed_s: float) -> str:
        left_s = self._left_s(ram, elapsed_s)
        return f"at least {self._reached(moved / ram)} %" + ("" if left_s is None else f", at most {span_text(left_s)} left")

    def _by_time(self, elapsed_s: float, usual_s: float) -> str:
        if elapsed_s > usual_s:
            return f"longer than the last one ({span_text(usual_s)})"
        return f"about {self._reached(elapsed_s / usual_s)} %, about {span_text(usual_s - elapsed_s)} left"

    def _reached(self, share: float) -> int:
        self._percent = max(self._percent, min(_MOST_PERCENT, int(share * 100)))
        return self._percent

    def _left_s(self, goal: int, elapsed_s: float) -> float | None:
        """Return how long the rest takes at the speed of the last seconds; None if that is unknown."""
        (first_s, first), (last_s, last) = self._seen[0], self._seen[-1]
        if last_s - first_s < _LEAST_S or last == first or elapsed_s - last_s > _OLD_S:
            return None
        return max(0.0, (goal - last) * (last_s - first_s) / (last - first) - (elapsed_s - last_s))


def span_text(seconds: float) -> str:
    """Return an approximate duration: in seconds (from ten on in steps of five), in minutes, or in hours and minutes."""
    whole = max(1, round(seconds))
    if whole >= 10:
        whole = 5 * round(whole / 5)
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
