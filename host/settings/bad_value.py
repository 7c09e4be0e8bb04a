"""What is wrong with a value of a TOML file: all of it at once, each mistake with its place in the value.

A value can have parts: the elements of a list, the keys of a table. Whoever reads one goes on after a wrong part, so that a
person who made three mistakes in a list hears of three.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from host.errors import AddressError
from shim.errors import PatternError

__all__ = ["BadValue", "Wrong", "meant_by", "read_list", "read_one", "unknown_key", "within"]

_T = TypeVar("_T")
_MOST_MEANT = 2
# Less, and `permit` looks like `certificate`.
_LIKENESS = 0.7


@dataclass(frozen=True, slots=True)
class Wrong:
    """One mistake: why, and what would be right. at: the keys, and the indices from 0, that lead to it in the value."""

    reason: str
    at: tuple[str | int, ...] = ()


class BadValue(Exception):
    """A value in a file is wrong. wrong: all mistakes in it, in the order of its parts."""

    def __init__(self, *wrong: Wrong | str) -> None:
        super().__init__(*wrong)
        self.wrong = tuple(Wrong(one) if isinstance(one, str) else one for one in wrong)

    def __str__(self) -> str:
        return "; ".join(one.reason for one in self.wrong)


def read_one(value: Any, read: Callable[[Any], _T]) -> _T:
    """Return what a value is read as. Raises BadValue. read: may raise AddressError, PatternError and ValueError, too."""
    try:
        return read(value)
    except (AddressError, PatternError, ValueError) as exc:
        raise BadValue(str(exc)) from exc


def within(part: str | int, name: str, read: Callable[[Any], _T], value: Any, wrong: list[Wrong]) -> _T | None:
    """Read a part of a value, as read_one does. If it is wrong, return None, and note why in `wrong`.

    part: its key or its index. name: of the part, to stand in front of the reasons.
    """
    try:
        return read_one(value, read)
    except BadValue as exc:
        wrong += (Wrong(f"{name}: {one.reason}", (part, *one.at)) for one in exc.wrong)
        return None


def read_list(values: Sequence[Any], read: Callable[[Any], _T], noun: str = "item") -> list[_T]:
    """Return what each element of a list is read as. Raises BadValue with what is wrong in each; noun: what one is called."""
    wrong: list[Wrong] = []
    found = [within(index, f"{noun} {index + 1}", read, value, wrong) for index, value in enumerate(values)]
    if wrong:
        raise BadValue(*wrong)
    return [value for value in found if value is not None]


def meant_by(key: str, known: Iterable[str]) -> list[str]:
    """Return the known keys that look like an unknown one, the nearest first."""
    from shim.nearest import nearest  # here, because it is needed only where there is a mistake

    return nearest(key, known, most=_MOST_MEANT, likeness=_LIKENESS)


def unknown_key(key: str, known: Iterable[str], otherwise: str) -> str:
    """Return why a key is wrong that is none of the known; otherwise: what is said if it looks like none of them either."""
    from shim.nearest import did_you_mean  # as above

    return f"unknown key; {did_you_mean(meant_by(key, known)) or otherwise}"
