"""How much of the product an input reaches."""

import importlib
from collections.abc import Iterable
from typing import IO

import coverage

__all__ = ["Reach"]


class Reach:
    """Plays inputs of a target, and notes the lines and branches that they reach of the code that it names (COVERS)."""

    def __init__(self, target: str) -> None:
        self._measured = coverage.Coverage(data_file=None, branch=True, config_file=False, source=["."])
        with self._measured.collect():
            self._target = importlib.import_module(f"tests.fuzz.targets.{target}")

    def play(self, inputs: Iterable[bytes]) -> None:
        with self._measured.collect():
            for data in inputs:
                self._target.check(data)

    def adding(self, inputs: Iterable[bytes]) -> list[bytes]:
        """Return those of the inputs, the shortest first, that reach what nothing before them did."""
        found: list[bytes] = []
        reached = self._count()
        for data in sorted(inputs, key=len):
            self.play([data])
            if (now := self._count()) > reached:
                found.append(data)
                reached = now
        return found

    def percent(self, table: IO[str]) -> float:
        """Return how much was reached, and write it file by file."""
        return self._measured.report(include=self._covers, file=table, show_missing=True, skip_covered=True)

    @property
    def _covers(self) -> list[str]:
        covers: tuple[str, ...] = self._target.COVERS
        return list(covers)

    def _count(self) -> int:
        data = self._measured.get_data()
        return sum(len(data.arcs(file) or ()) for file in data.measured_files())
