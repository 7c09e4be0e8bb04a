"""The process that takes over from the one that is asked: values, the JSON that programs read, and lines for people."""

from collections.abc import Iterator
from dataclasses import dataclass

from proxy.control.table import span
from shim.printable import enumerated, printable
from shim.qmp import JSON

__all__ = ["ReplacementStatus", "lines_of", "members_of", "read_replacement"]


@dataclass(frozen=True, slots=True)
class ReplacementStatus:
    """The process that takes over. pid: None if unknown. version: of hmpshim there. for_s: since when. waits_for: the VMs that
    it does not have yet, and why."""

    pid: int | None
    version: str
    for_s: float
    waits_for: tuple[tuple[str, str], ...] = ()

    @property
    def who(self) -> str:
        """The process, as a person would name it."""
        return f"hmpshim {self.version}" + ("" if self.pid is None else f" (pid {self.pid})")


def members_of(replacement: ReplacementStatus | None, *, vm: str | None = None) -> JSON:
    """Return the status as JSON; null if nobody takes over. vm: return only why this VM is waited for; None for all VMs."""
    if replacement is None:
        return None
    waits_for = [{"vm": name, "why": why} for name, why in replacement.waits_for if vm in (None, name)]
    return {"pid": replacement.pid, "version": replacement.version, "for_s": replacement.for_s, "waits_for": waits_for}


def read_replacement(told: JSON) -> ReplacementStatus | None:
    """Parse what a status says of it. Raises ValueError if it is not the status of hmp-proxy."""
    try:
        if (members := told.get("replaced_by")) is None:
            return None
        waits_for = tuple((str(one["vm"]), str(one["why"])) for one in members["waits_for"])
        return ReplacementStatus(members["pid"], str(members["version"]), float(members["for_s"]), waits_for)
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise ValueError("this is not the status of hmp-proxy") from exc


def lines_of(replacement: ReplacementStatus | None) -> list[str]:
    """Return the status in lines, one for each reason for which VMs are still here."""
    return [] if replacement is None else list(map(printable, _lines(replacement)))


def _lines(replacement: ReplacementStatus) -> Iterator[str]:
    yield f"{replacement.who} has been taking over for {span(replacement.for_s)}"
    waiting: dict[str, list[str]] = {}
    for vm, why in replacement.waits_for:
        waiting.setdefault(why, []).append(vm)
    for why, names in waiting.items():
        yield f"not handed over yet: {enumerated(names)}: {why}"
