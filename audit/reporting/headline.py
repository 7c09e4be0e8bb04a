"""The answer to "who still depends on HMP, and are we done yet?" in a sentence or two."""

from dataclasses import dataclass

from audit.reporting.report import Report, State, ToolUse
from audit.reporting.wording import counted, listed, minute, number

__all__ = ["Headline", "headline"]

_NAMED_BLOCKERS = 4
_NAMED_QUIET = 7
# A tool may send anything for a command; the table of tools has its full name.
_NAME_CHARS = 40


@dataclass(frozen=True, slots=True)
class Headline:
    """state: the worst of all tools; None if there is nothing to judge. details: what else to know about the answer."""

    state: State | None
    text: str
    details: tuple[str, ...]


def headline(report: Report) -> Headline:
    """Judge all tools together."""
    doubts = _doubts(report)
    if not report.log.records:
        left_out = report.log.left_out
        why = f"all {counted(left_out, 'record')} were left out by the filters" if left_out else "there are no records"
        return Headline(None, f"Nothing to judge: {why}.", doubts)
    if not report.tools:
        return Headline(None, "Nothing to judge: no tool used HMP, or QMP's snapshot commands.", doubts)
    hmp_tools = [use for use in report.tools if use.state not in (State.MODERN, State.QUIET)]
    quiet = _quiet([use for use in report.tools if use.state is State.QUIET])
    if not hmp_tools and report.quiet is not None and quiet:
        return Headline(State.QUIET, f"Done: no HMP was used for {counted(report.quiet.days, 'day')}.", (*quiet, *doubts))
    if not hmp_tools:
        return Headline(State.MODERN, "Done: no HMP was used.", (_modern(report), *doubts))
    blocked = [use for use in hmp_tools if use.state is State.BLOCKED]
    still = f"{number(len(hmp_tools))} of {counted(len(report.tools), 'tool')} still {_use(len(hmp_tools))} HMP"
    last = f"The last HMP command came on {minute(max(use.last_hmp for use in hmp_tools))} UTC."
    if blocked:
        covered = _covered(len(hmp_tools) - len(blocked))
        return Headline(State.BLOCKED, f"{still}; {_blocked(blocked)}.", (*covered, last, *quiet, *doubts))
    return Headline(State.COVERED, f"{still}, and the shim does all of it.", (*_covered(len(hmp_tools)), last, *quiet, *doubts))


def _use(count: int) -> str:
    return "uses" if count == 1 else "use"


def _blocked(blocked: list[ToolUse]) -> str:
    commands = list(dict.fromkeys(_short(blocker.command) for use in blocked for blocker in use.blockers))
    return f"{number(len(blocked))} {'is' if len(blocked) == 1 else 'are'} blocked by {listed(commands, most=_NAMED_BLOCKERS)}"


def _short(name: str) -> str:
    return name if len(name) <= _NAME_CHARS else f"{name[:_NAME_CHARS]}…"


def _covered(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    them = "One is covered by the shim: it works" if count == 1 else f"{number(count)} are covered by the shim: they work"
    return (f"{them} on behind the proxy, and would still need HMP without it.",)


def _quiet(tools: list[ToolUse]) -> tuple[str, ...]:
    if not tools:
        return ()
    named = [f"{_short(use.tool.name)} (last on {use.last_hmp[:10]})" for use in tools]
    return (f"{number(len(tools))} {'is' if len(tools) == 1 else 'are'} quiet: {listed(named, most=_NAMED_QUIET)}.",)


def _modern(report: Report) -> str:
    return f"{counted(len(report.tools), 'tool')} sent {counted(report.modern_count, 'snapshot command')} of QMP's own."


def _doubts(report: Report) -> tuple[str, ...]:
    """Return what the log may have missed, so that the headline does not call a tool done that is not."""
    log = report.log
    missing = log.lost + log.damaged
    texts = []
    if report.quiet is not None and log.records and log.last < report.quiet.since:
        texts.append(f"No record is of the last {counted(report.quiet.days, 'day')}: is the log still written?")
    if log.records and log.left_out:
        texts.append(f"{counted(log.left_out, 'record')} left out by the filters: this is not all that is in the log.")
    if missing or log.unreadable:
        parts = [f"{counted(missing, 'record')} lost or damaged"] if missing else []
        parts += [f"{counted(len(log.unreadable), 'log')} not read to the end"] if log.unreadable else []
        texts.append(f"{listed(parts)}: what they held is not in these numbers.")
    return tuple(texts)
