"""`hmp-audit check`: report which lines of a log are not records, or break the schema."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from audit.errors import DamagedLine, SourceError
from audit.log.reading import decode
from audit.log.schema import problems
from audit.log.sources import Source
from audit.reporting.wording import counted
from shim.printable import printable
from shim.qmp import JSON

__all__ = ["check"]

OK: Final = 0
BROKEN: Final = 1
# Limits, because what is wrong with one line is often wrong with all.
_SHOWN_LINES: Final = 20
_SHOWN_PROBLEMS: Final = 5


@dataclass(slots=True)
class _Found:
    """What was found in one log.

    versions: the number of good records of each schema version. first, last: the range of their times. told: how many broken
    lines were reported.
    """

    versions: Counter[int] = field(default_factory=Counter)
    first: str = ""
    last: str = ""
    lost: int = 0
    broken: int = 0
    told: int = 0
    # The error that ended the reading.
    unread: SourceError | None = None

    @property
    def records(self) -> int:
        return self.versions.total()

    @property
    def exit_status(self) -> int:
        if self.unread is not None:
            return self.unread.exit_status
        return BROKEN if self.broken else OK

    def add(self, record: dict[str, JSON]) -> None:
        """Count a valid record."""
        self.versions[record["schema"]] += 1
        self.lost += record.get("lost_before", 0)
        # Times are spelled so that they sort as text.
        self.first = min(self.first or record["time"], record["time"])
        self.last = max(self.last, record["time"])


def check(paths: Sequence[str], write: Callable[[str], object]) -> int:
    """Check each log against the schema, write what is broken and a summary, and return the exit status.

    0: all is well. 1: something is broken. SourceError.exit_status: a log could not be read, but the others were checked.
    write: called with each line, including its line end, as soon as it is found.
    """
    return max((_check_log(path, write) for path in paths), default=OK)


def _check_log(path: str, write: Callable[[str], object]) -> int:
    found = _Found()
    name = path
    try:
        with Source(path) as source:
            name = source.name
            _check_lines(source, found, lambda text: write(f"{printable(name)}{text}\n"))
    except SourceError as exc:
        found.unread = exc
        write(f"{printable(str(exc))}\n")
    if found.broken > found.told:
        write(f"{printable(name)}: {counted(found.broken - found.told, 'more broken line')} not shown\n")
    if found.unread is None or found.records or found.broken:
        write(f"{printable(name)}: {_summary(found)}\n")
    return found.exit_status


def _check_lines(source: Source, found: _Found, tell: Callable[[str], object]) -> None:
    torn = False
    for number, line in enumerate(source, 1):
        if not line.strip():
            continue
        try:
            record = decode(line)
            wrong = problems(record)
        except DamagedLine as exc:
            torn = not line.endswith(b"\n")
            wrong = [str(exc)]
        if not wrong:
            found.add(record)
            continue
        found.broken += 1
        if found.told < _SHOWN_LINES and not torn:
            found.told += 1
            tell(f":{number}: {_joined(wrong)}")
    if torn:
        found.told += 1
        usable = "no record can be used" if not found.records else f"the other {counted(found.records, 'record')} can be used"
        tell(f":{number}: the last line is not whole, as after a crash or on a full disk; {usable}")


def _joined(wrong: Sequence[str]) -> str:
    more = len(wrong) - _SHOWN_PROBLEMS
    return "; ".join([*wrong[:_SHOWN_PROBLEMS], *([f"and {more} more"] if more > 0 else [])])


def _summary(found: _Found) -> str:
    versions = ", ".join(f"{count} of schema {version}" for version, count in sorted(found.versions.items()))
    if not found.records:
        what = "no records"
    else:
        what = f"{counted(found.records, 'record')} ({versions}) from {found.first} to {found.last}"
    lost = f"; {counted(found.lost, 'record')} could not be written" if found.lost else ""
    broken = counted(found.broken, "broken line") if found.broken else "nothing is broken"
    return f"{what}{lost}; {broken}{' up to there' if found.unread is not None else ''}"
