"""Which records a report is about: a time, VMs, tools."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

from audit.counting.grouping import names_of
from shim.qmp import JSON
from shim.records.audit_form import spell_time

__all__ = ["Filters", "parse_time"]

_AGO = re.compile(r"(\d{1,5})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class Filters:
    """Which records count. since: from this moment on; until: before this one, spelled as in records; "" for no bound.

    vms, tools: shell patterns, one of which must match; () for all. A tool matches by one of its names or paths.
    """

    since: str = ""
    until: str = ""
    vms: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    _known_vms: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)

    @property
    def take_all(self) -> bool:
        return not (self.since or self.until or self.vms or self.tools)

    def takes_time(self, time: str) -> bool:
        return self.since <= time and (not self.until or time < self.until)

    def takes_vm(self, name: str) -> bool:
        if not self.vms:
            return True
        known = self._known_vms.get(name)
        if known is None:
            known = self._known_vms[name] = any(fnmatchcase(name, pattern) for pattern in self.vms)
        return known

    def takes_client(self, client: dict[str, JSON]) -> bool:
        return not self.tools or any(fnmatchcase(name, pattern) for name in names_of(client) for pattern in self.tools)


def parse_time(text: str, now: datetime, *, is_end: bool = False) -> str:
    """Parse a time as a person writes it: 2026-11-24, 2026-11-24T15:30, perhaps with +01:00 or Z, or 30m, 12h, 7d, 2w ago.

    Without a zone it is UTC, as in the records. is_end: a day means its end. Raises ValueError, which says what to write.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        return spell_time(now - timedelta(**{_UNITS[ago[2]]: int(ago[1])}))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        right = "write 2026-11-24, 2026-11-24T15:30 (UTC), or 7d, 12h, 30m for so long ago"
        raise ValueError(f"invalid time '{text}'; {right}") from exc
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return spell_time(moment + timedelta(days=1) if is_end and len(text) <= len("2026-11-24") else moment)
