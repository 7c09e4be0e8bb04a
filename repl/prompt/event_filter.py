"""Which events a person wants to see: `events on|off|NAME…`."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

__all__ = ["EventFilter"]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """is_on: whether events are shown at all. names: patterns of the events to show, () for all."""

    is_on: bool = True
    names: tuple[str, ...] = ()

    def changed(self, names: tuple[str, ...] | None, is_on: bool | None) -> "EventFilter":
        """Return the filter after `events NAMES`, `events on` or `events off`; arguments that were not typed are None."""
        if names is not None:
            return EventFilter(names=names)
        return self if is_on is None else EventFilter(is_on=is_on)

    def lets_pass(self, name: str) -> bool:
        return self.is_on and (not self.names or any(fnmatchcase(name, pattern) for pattern in self.names))

    def __str__(self) -> str:
        if not self.is_on:
            return "no events are shown"
        return f"these events are shown: {' '.join(self.names)}" if self.names else "all events are shown"
