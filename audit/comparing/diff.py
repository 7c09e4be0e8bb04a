"""`hmp-audit diff OLD NEW`: read both, write the difference, and return the exit status."""

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

from audit.comparing.difference import Difference, Kind, Usage, compare, read_usage
from audit.comparing.difference_forms import difference_as_json, difference_as_markdown, difference_as_text
from audit.comparing.saved import as_file, read_saved, read_with
from audit.counting.filters import Filters
from audit.counting.report_builder import make_report
from audit.errors import SourceError
from audit.forms.report_data import to_members
from audit.log.sources import STANDARD_INPUT
from audit.reporting.wording import times

__all__ = ["DIFF_CONDITIONS", "diff"]

_FOUND: Final = 1
# Name -> its meaning, and the kind of change that it is about; None for failures.
DIFF_CONDITIONS: Final = {
    "new": ("a tool uses an HMP command that it did not use before", Kind.NEW),
    "more": ("a tool uses an HMP command more often than before", Kind.MORE),
    "failures": ("something failed that did not fail before", None),
}


class _Wanted(Protocol):
    """What the command line asks for: a DiffInvocation, which this module cannot import."""

    @property
    def old(self) -> str: ...
    @property
    def new(self) -> str: ...
    @property
    def form(self) -> str: ...
    @property
    def filters(self) -> Filters: ...
    @property
    def fail_on(self) -> AbstractSet[str]: ...
    @property
    def allow(self) -> AbstractSet[str]: ...


def diff(wanted: _Wanted, write: Callable[[str], object], complain: Callable[[str], object], *, width: int) -> int:
    """Compare, write the difference, and return the exit status. Raises SourceError for what cannot be read.

    complain: called with a sentence for each reason to fail. width: of the terminal.
    """
    difference = compare(_usage(wanted.old, wanted.filters), _usage(wanted.new, wanted.filters))
    if wanted.form == "json":
        write(difference_as_json(difference) + "\n")
    elif wanted.form == "markdown":
        write(difference_as_markdown(difference))
    else:
        write(difference_as_text(difference, width=width))
    told = list(_told(difference, wanted.fail_on, wanted.allow))
    for text in told:
        complain(text)
    return _FOUND if told else 0


def _usage(path: str, filters: Filters) -> Usage:
    name = "standard input" if path == STANDARD_INPUT else path
    with as_file(path) as file:
        members = read_saved(file, name)
        if members is None:
            report = make_report([file], filters)
            if report.log.unreadable:
                raise SourceError(name, report.log.unreadable[0])
            members = to_members(report)
    if "report" not in members:
        raise SourceError(name, "it is a scan; hmp-audit scan --baseline compares those")
    return read_with(name, members, lambda members: read_usage(name, members))


def _told(difference: Difference, fail_on: AbstractSet[str], allow: AbstractSet[str]) -> Iterator[str]:
    for name, (_, kind) in DIFF_CONDITIONS.items():
        if name not in fail_on:
            continue
        if kind is None:
            yield from (f"a new failure: {text} ({times(count)})" for text, count in difference.failures)
        else:
            for one in difference.of(kind):
                if not {one.command, one.command.partition(" ")[0]} & allow:
                    yield f"{one.tool} uses HMP's {one.command} ({kind.value}: {times(one.new)}, before: {times(one.old)})"
