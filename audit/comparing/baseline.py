"""What a CI job has accepted: `--baseline FILE`, a report or a scan from an earlier day.

As with linters, what was there already is no reason to fail, and what is new is.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from audit.comparing.saved import name_of, read_saved, read_with
from audit.errors import SourceError
from audit.reporting.keys import Key, failure_key, overwriting_key, place_key, silent_key, switch_key, use_key
from shim.qmp import JSON

__all__ = ["Baseline", "read_baseline"]


class Baseline:
    """The accepted findings, and how often each: two places with the same text are two findings."""

    def __init__(self, keys: Counter[Key] | None = None) -> None:
        self._left = keys or Counter[Key]()

    def __contains__(self, key: object) -> bool:
        return key in self._left

    def take(self, key: Key) -> bool:
        """Use up one accepted finding with this key; return whether there was one left."""
        is_accepted = self._left[key] > 0
        self._left[key] -= is_accepted
        return is_accepted


def read_baseline(path: str, kind: str) -> Baseline:
    """Read a file that `report --json` or `scan --json` has written. kind: "report" or "scan".

    Raises SourceError if it is something else.
    """
    members = read_saved(path)
    if members is None or kind not in members:
        raise SourceError(path, f"it is not what hmp-audit {kind} --json writes")
    return Baseline(read_with(path, members, lambda members: Counter(_keys(members))))


def _keys(members: Mapping[str, JSON]) -> Iterator[Key]:
    for finding in members.get("findings", ()):
        yield place_key(str(finding["file"]), finding["command"] or "", str(finding["source"]))
    for use in members.get("tools", ()):
        yield from (use_key(name_of(use["tool"]), one["name"]) for one in use["commands"] if one["is_hmp"])
    yield from (failure_key(name_of(one["tool"]), one["text"]) for one in members.get("failures", ()))
    for one in members.get("silent_failures", ()):
        yield silent_key(name_of(one["tool"]), one["command"])
    for one in members.get("overwritings", ()):
        yield overwriting_key(name_of(one["tool"]), one["vm"]["name"])
    for one in (members.get("switch") or {}).get("contrasts", ()):
        yield switch_key(one["why"])
