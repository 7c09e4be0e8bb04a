"""How far the command under way is: what is known and what is measured, combined."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from repl.progress.aside import Aside
from repl.progress.estimate import Course, Known
from repl.progress.traffic import Traffic
from repl.progress.work import Kind, Work, state_bytes, work_of
from repl.results import Running
from shim.graph.blockgraph import BlockGraph
from shim.graph.free_space import image_file
from shim.qmp import Execute

__all__ = ["Meter", "image_paths"]

_LOOK_S: Final = 0.5
_FRESH_S: Final = 1.0
_NS_PER_S: Final = 1_000_000_000
_NAMES: Final = {Kind.SAVE: "savevm", Kind.LOAD: "loadvm"}


@dataclass(slots=True)
class _Measured:
    """A measured command. running: None before it is under way. commands: those that showed that it is a save or load."""

    course: Course
    looks: Aside[int | None]
    since_ns: int
    running: Running | None = None
    commands: Sequence[Execute] = ()
    next_look_ns: int = 0


class Meter:
    """Measures the command under way. Call `text` whenever the progress is shown: it also starts the looks, outside the loop.

    graph, ram_bytes: what is known about the VM. earlier: returns how long earlier commands took, by HMP's names; it may block.
    """

    def __init__(
        self,
        graph: Callable[[], BlockGraph | None],
        ram_bytes: Callable[[], int | None],
        earlier: Callable[[], Mapping[str, float]],
    ) -> None:
        self._graph = graph
        self._ram_bytes = ram_bytes
        self._records = Aside(earlier, self._take_earlier)
        self._of_log: Mapping[str, float] = {}
        # Durations of this prompt's own commands, which take precedence over those of the log because they are more recent.
        self._own: dict[str, float] = {}
        self._measured: _Measured | None = None

    def prepare(self, line: str) -> None:
        """Take a first look before a line is carried out, so that everything that it moves is measured."""
        work = work_of((Execute("human-monitor-command", {"command-line": line}),))
        if work is not None:
            self._measured = self._begun(work, time.monotonic_ns())
            self._measured.looks.start()

    def learn(self, name: str, taken_ns: int) -> None:
        """Note how long a successful command of this prompt took. name: HMP's."""
        self._own[name] = taken_ns / _NS_PER_S

    def forget(self) -> None:
        """Start over: what was measured belonged to another client's command."""
        self._measured = None

    def text(self, running: Running | None) -> str:
        """Return how far the command is; "" if it is not a save or load, or if nothing is known."""
        now_ns = time.monotonic_ns()
        measured = None if running is None else self._of(running, now_ns)
        if measured is None:
            return ""
        if now_ns >= measured.next_look_ns:
            measured.next_look_ns = now_ns + round(_LOOK_S * _NS_PER_S)
            measured.looks.start()
        return measured.course.text((now_ns - measured.since_ns) / _NS_PER_S)

    def _of(self, running: Running, now_ns: int) -> _Measured | None:
        """Return the measurement of a command, begun if necessary. If a command is two saves, both count."""
        commands, measured = running.under_way(), self._measured
        if measured is not None and measured.running is running and measured.commands is commands:
            return measured
        work = work_of(commands, [sent.command for sent in running.trace.sent])
        if work is None:
            return measured if measured is not None and measured.running is running else None
        if measured is None or measured.running is not running:
            if measured is None or not _is_prepared(measured, work, now_ns):
                measured = self._measured = self._begun(work, now_ns)
            self._records.start()
        measured.running, measured.commands = running, commands
        measured.course.parts = max(measured.course.parts, work.parts)
        return measured

    def _begun(self, work: Work, now_ns: int) -> _Measured:
        graph = self._graph()
        state = None if graph is None else state_bytes(graph, work)
        course = Course(work.kind, Known(self._ram_bytes(), state, self._usual_s(work.kind)), parts=work.parts)
        traffic = Traffic(work.kind, [] if graph is None else image_paths(graph))

        def take(moved_bytes: int | None) -> None:
            if moved_bytes is not None:
                course.see((time.monotonic_ns() - now_ns) / _NS_PER_S, moved_bytes)

        return _Measured(course, Aside(traffic.look, take), now_ns)

    def _take_earlier(self, found: Mapping[str, float]) -> None:
        self._of_log = found
        if self._measured is not None:
            course = self._measured.course
            course.known = replace(course.known, usual_s=self._usual_s(course.kind))

    def _usual_s(self, kind: Kind) -> float | None:
        name = _NAMES[kind]
        return self._own.get(name, self._of_log.get(name))


def _is_prepared(measured: _Measured, work: Work, now_ns: int) -> bool:
    """Return whether the look before the command began is still of use, as the command may have waited for its turn."""
    is_fresh = now_ns - measured.since_ns < _FRESH_S * _NS_PER_S
    return measured.running is None and is_fresh and measured.course.kind is work.kind


def image_paths(graph: BlockGraph) -> list[str]:
    """Return the files to which a save may write. Nothing else of the VM writes to them, because it is stopped meanwhile."""
    paths = (image_file(graph, node)[0] for node in graph.hmp_set() if graph.can_snapshot(node))
    return list(dict.fromkeys(path for path in paths if path is not None))
