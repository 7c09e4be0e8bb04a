"""Which known name somebody may have meant by one that is not known."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean", "nearest"]


def nearest(name: str, known: Iterable[str], *, most: int, likeness: float = 0.6) -> list[str]:
    """Return the known names that look like this one, the nearest first. Small and capital letters are alike.

    likeness: of names that count, from 0 to 1 for the same (difflib, SequenceMatcher.ratio).
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    return [by_lower[lower] for lower in get_close_matches(name.lower(), by_lower, n=most, cutoff=likeness)]


def did_you_mean(names: Iterable[str]) -> str:
    """Return the question whether one of these was meant; "" for none."""
    listed = " or ".join(f"'{name}'" for name in names)
    return f"did you mean {listed}?" if listed else ""
