"""Count repeated refusals instead of recording each: a tool that keeps asking must not push the history out of the log. The
same goes for one that ignores each refusal and goes on.

The first refusals in a minute are recorded one by one. Of the rest, the last one is held back and says, once the minute is
over, how many it stands for. So each command of each tool is on record with the right count; only the time of each within that
minute is missing. No I/O: the time is an argument.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from shim.qmp import JSON
from shim.records.audit import Action, AuditRecord

__all__ = ["COUNTED", "Due", "Refusals"]

# So many refusals of one tool's one command are recorded one by one in a minute.
_ALONE = 10
_SERIES_S = 60.0
# So many pairs of tool and command are told apart at a time; names are easily made up. The others are counted together.
_MAX_SERIES = 100

COUNTED = (Action.REFUSED, Action.WENT_ON)
# Which VM, which tool (as reports tell them apart), which command.
_Key: TypeAlias = tuple[object, ...]
_OTHERS: _Key = ()
# A record's members, and for how many others it stands.
Due: TypeAlias = tuple[dict[str, JSON], int]
# A client can name a QMP command as it likes.
_NAME_CHARS = 255


@dataclass(slots=True)
class _Series:
    """Refusals of one kind since begun_s. kept: the last one that is not recorded by itself. kept_count: how many are not.

    Only the shortened members are kept: a record itself may have a command line of any length.
    """

    begun_s: float
    alone: int = 0
    kept: dict[str, JSON] | None = None
    kept_count: int = 0

    def due(self) -> Iterator[Due]:
        if self.kept is not None:
            yield self.kept, self.kept_count - 1


class Refusals:
    """Sort records into those to write and those to count. Call `take` for each, and `take_all` at the end."""

    def __init__(self) -> None:
        # While this is empty, only records with an action in COUNTED matter here.
        self.series: dict[_Key, _Series] = {}

    def take(self, record: AuditRecord, members: dict[str, JSON], now_s: float) -> tuple[list[Due], bool]:
        """Take a record with its members. Return which earlier ones must be written now, and whether this one must be."""
        due = list(self._over(now_s)) if self.series else []
        # What was sent to QEMU before it was refused was also announced, and its outcome must not be missing.
        if record.action not in COUNTED or record.sent:
            return due, True
        key = _key(record)
        if key not in self.series and len(self.series) >= _MAX_SERIES:
            key = _OTHERS
        series = self.series.setdefault(key, _Series(now_s))
        if series.alone < _ALONE:
            series.alone += 1
            return due, True
        series.kept = members
        series.kept_count += 1
        return due, False

    def take_all(self) -> list[Due]:
        """Return everything that is held back, and forget it."""
        series, self.series = self.series, {}
        return [due for one in series.values() for due in one.due()]

    def _over(self, now_s: float) -> Iterator[Due]:
        for key, series in list(self.series.items()):
            if now_s - series.begun_s >= _SERIES_S:
                del self.series[key]
                yield from series.due()


def _key(record: AuditRecord) -> _Key:
    client = record.client
    address = None if client.address is None else client.address.rpartition(":")[0]
    execute = (record.execute or "")[:_NAME_CHARS]
    who = record.identify()
    tool = client.uid, client.exe, address, who.tool, who.unit, who.container
    return record.vm, *tool, record.action, execute, record.hmp_command
