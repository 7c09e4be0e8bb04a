"""The names of users. A lookup may take long: it goes where nsswitch.conf(5) says, which may be a server."""

import pwd
import time
from collections.abc import Callable
from typing import Final

__all__ = ["Users"]

# A changed name is seen soon enough, and a server is not asked for each record.
_FRESH_S: Final = 300.0
# More users than send commands to one proxy; beyond that, all are looked up again.
_MOST: Final = 1024


class Users:
    """Call `name` on any thread."""

    def __init__(self, look_up: Callable[[int], str | None] | None = None, now_s: Callable[[], float] = time.monotonic) -> None:
        self._look_up = look_up or _name_of
        self._now_s = now_s
        self._known: dict[int, tuple[float, str | None]] = {}

    def name(self, uid: int) -> str | None:
        """Return a user's name; None for a number without one."""
        now_s = self._now_s()
        known = self._known.get(uid)
        if known is not None and now_s - known[0] < _FRESH_S:
            return known[1]
        if len(self._known) >= _MOST:
            self._known.clear()
        name = self._look_up(uid)
        self._known[uid] = (now_s, name)
        return name


def _name_of(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError, OSError):
        return None
