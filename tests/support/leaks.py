"""What a test took from its process and did not give back: descriptors, threads, child processes and asyncio's tasks."""

import asyncio
import gc
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

__all__ = ["nothing_left"]

# A thread is a moment longer than what it was started for.
_DEADLINE_S: Final = 5.0
_LOOK_S: Final = 0.002
_LIBRARY: Final = re.compile(r"\.so[.0-9]*$")


@dataclass(frozen=True, slots=True)
class _Possessions:
    """What this process holds, each with words by which a person finds where it comes from."""

    descriptors: dict[int, str]
    threads: list[str]
    children: dict[int, str]

    @classmethod
    def now(cls) -> "_Possessions":
        descriptors = {int(name): target for name in os.listdir("/proc/self/fd") if (target := _target(name)) is not None}
        threads = [thread.name for thread in threading.enumerate()]
        return cls(descriptors, threads, {child: _command(child) for child in _children()})

    def beyond(self, before: "_Possessions") -> dict[str, list[str]]:
        """Return what is new of each kind of which there is more than before: what is replaced is no loss."""
        threads = list(self.threads)
        for name in before.threads:
            if name in threads:
                threads.remove(name)
        found = {
            "descriptors": [f"{number}: {target}" for number, target in self.descriptors.items() - before.descriptors.items()],
            "threads": threads,
            "children": [f"{pid}: {command}" for pid, command in self.children.items() if pid not in before.children],
        }
        counts = {
            "descriptors": len(self.descriptors) - len(before.descriptors),
            "threads": len(self.threads) - len(before.threads),
            "children": len(self.children) - len(before.children),
        }
        return {kind: sorted(found[kind]) for kind, count in counts.items() if count > 0}


def _target(name: str) -> str | None:
    try:
        target = os.readlink(f"/proc/self/fd/{name}")
    except FileNotFoundError:
        return None  # that of the listing itself
    # A library that a test was the first to need stays; its file, too, where Python runs by another release's loader.
    return None if _LIBRARY.search(target) else target


def _children() -> list[int]:
    """Return the processes that this one started and has not waited for, ended ones included."""
    lists = []
    for thread in os.listdir("/proc/self/task"):
        try:
            lists.append(Path(f"/proc/self/task/{thread}/children").read_text())
        except FileNotFoundError:
            continue  # the thread ended meanwhile
    return [int(pid) for pids in lists for pid in pids.split()]


def _command(pid: int) -> str:
    """Return a child's words; a program that begins just now has none yet."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    except OSError:
        return "?"


@contextmanager
def nothing_left() -> Iterator[None]:
    """Fail if more is held in the end than at the beginning, or if an event loop had to cancel a task to come to its end."""
    tasks: list[str] = []
    close = asyncio.Runner.close

    def note_tasks_and_close(runner: asyncio.Runner) -> None:
        tasks.extend(repr(task) for task in asyncio.all_tasks(runner.get_loop()))
        close(runner)

    before = _Possessions.now()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.Runner, "close", note_tasks_and_close)
        yield
    deadline = time.monotonic() + _DEADLINE_S
    while left := _Possessions.now().beyond(before):
        if time.monotonic() > deadline:
            break
        gc.collect()
        time.sleep(_LOOK_S)
    if tasks:
        left["tasks"] = tasks
    assert not left, f"left open or running: {left}"
