"""What breaks on another QEMU: `--target`. It is worked out from the finished counts of each tool, not from records."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from audit.counting.readiness import COVERED_COMMANDS
from audit.reporting.report import CommandUse, Fate, Outlook, Prospect, ToolUse
from audit.reporting.wording import listed, number, times
from shim.hmp.deprecations import CHANGES, NEWEST, NEWEST_AS_OF, OLDEST, WITHOUT_HMP, Change, Release

__all__ = ["WITHOUT", "Target", "foresee", "parse_target"]

# How --target spells a QEMU that was built without HMP.
WITHOUT: Final = "no-hmp"
_RELEASE: Final = re.compile(r"(\d{1,3})\.(\d{1,3})(?:\.\d{1,3})?")
_ORDER: Final = tuple(Fate)
_VERBS: Final = {
    Fate.GONE: ("is gone", "are gone"),
    Fate.DEPRECATED: ("is deprecated", "are deprecated"),
    Fate.UNKNOWN: ("is not known", "are not known"),
    Fate.WORKS: ("goes on working", "go on working"),
}


@dataclass(frozen=True, slots=True)
class Target:
    """The QEMU of --target. release: None for one that was built without HMP."""

    release: Release | None

    def __str__(self) -> str:
        return "a QEMU without HMP" if self.release is None else f"QEMU {_spell(self.release)}"


def parse_target(text: str) -> Target:
    """Parse `11.2`, `11.2.1` or `no-hmp`. Raises ValueError, which says what to write."""
    if text == WITHOUT:
        return Target(None)
    found = _RELEASE.fullmatch(text)
    if found is None:
        raise ValueError(f"invalid target '{text}'; write a release of QEMU, as {_spell(NEWEST)}, or {WITHOUT}")
    release = int(found[1]), int(found[2])
    if release < OLDEST:
        raise ValueError(f"QEMU {_spell(release)} is older than what is known here: {_spell(OLDEST)} to {_spell(NEWEST)}")
    return Target(release)


def foresee(tools: Sequence[ToolUse], target: Target) -> Outlook:
    """Return what happens to each HMP command of each tool."""
    prospects = [one for use in tools for command in use.commands if command.is_hmp for one in _prospects(use, command, target)]
    prospects.sort(key=lambda one: (_ORDER.index(one.fate), -one.count, one.command, one.tool))
    notes = _notes(target, has_hmp=bool(prospects))
    return Outlook(str(target), _verdict(prospects, target), tuple(notes), tuple(prospects))


def _prospects(use: ToolUse, command: CommandUse, target: Target) -> Iterator[Prospect]:
    if target.release is None:
        # The shim did these by QMP's jobs; if it left a savevm to QEMU's own command, the jobs can do that too.
        kept = command.rewritten if command.name in COVERED_COMMANDS else 0
        if command.count > kept:
            yield Prospect(use.tool, command.name, Fate.GONE, command.count - kept, _spell(WITHOUT_HMP), _replaced_by(command))
        if kept:
            yield Prospect(use.tool, command.name, Fate.WORKS, kept, "", "by snapshot jobs, with the proxy in front of QEMU")
        return
    fate, since, instead = _fate(command, target.release)
    yield Prospect(use.tool, command.name, fate, command.count, since, instead)


def _fate(command: CommandUse, release: Release) -> tuple[Fate, str, str]:
    """Return a command's fate, since when, and what to use instead."""
    changes = _BY_COMMAND.get(command.name, ())
    for change in (change for change in changes if not change.option):
        instead = change.instead or _replaced_by(command)
        if change.gone and release >= change.gone:
            return Fate.GONE, _spell(change.gone), instead
        if change.deprecated and release >= change.deprecated:
            return Fate.DEPRECATED, _spell(change.deprecated), instead
    if not changes and command.replacement is None:
        return Fate.UNKNOWN, "", ""
    return (
        Fate.WORKS,
        "",
        "; ".join(_without(change, release) for change in changes if change.option and _has_come(change, release)),
    )


def _has_come(change: Change, release: Release) -> bool:
    return any(since is not None and release >= since for since in (change.deprecated, change.gone))


def _without(change: Change, release: Release) -> str:
    is_gone = change.gone is not None and release >= change.gone
    since = change.gone if is_gone else change.deprecated
    return f"not with {change.option} ({Fate.GONE if is_gone else Fate.DEPRECATED} since {_spell(since)}: use {change.instead})"


def _replaced_by(command: CommandUse) -> str:
    found = command.replacement
    if found is None:
        return "not known"
    return f"QMP's {found}" if found.commands else str(found)


def _verdict(prospects: Sequence[Prospect], target: Target) -> str:
    if not prospects:
        return f"Nothing breaks on {target}: no HMP was used."
    parts = []
    for fate in Fate:
        found = [one for one in prospects if one.fate is fate]
        names = len({one.command for one in found})
        if names:
            parts.append(f"{number(names)} {_VERBS[fate][names > 1]} ({times(sum(one.count for one in found))})")
    are_fine = all(one.fate is Fate.WORKS for one in prospects)
    begin = f"Nothing breaks on {target}: of" if are_fine else f"On {target}, of"
    return f"{begin} the HMP commands that were used, {listed(parts)}."


def _notes(target: Target, *, has_hmp: bool) -> Iterator[str]:
    newest = _spell(NEWEST)
    if target.release is None:
        first = _spell(WITHOUT_HMP)
        yield f"From {first} on QEMU can be built without HMP (--disable-hmp), and so without human-monitor-command."
        return
    if target.release > NEWEST:
        yield f"{target} is newer than what is known here, which ends with {newest}: more may be gone or deprecated."
    if target.release >= NEWEST and NEWEST_AS_OF:
        yield f"What is known here of QEMU {newest} dates from {NEWEST_AS_OF}, before its release."
    if has_hmp and target.release >= WITHOUT_HMP:
        yield f"It can be built without HMP: --target {WITHOUT} says what breaks there."


def _spell(release: Release | None) -> str:
    return "" if release is None else f"{release[0]}.{release[1]}"


def _by_command() -> dict[str, list[Change]]:
    found: dict[str, list[Change]] = defaultdict(list)
    for change in CHANGES:
        found[change.command].append(change)
    return dict(found)


_BY_COMMAND: Final = _by_command()
