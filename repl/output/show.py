"""Replies, events and ends of commands as text for a person: (style, text) fragments as prompt_toolkit takes them.

This module only formats and prints nothing. What comes from QEMU is made harmless first: a terminal must not obey a tag.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import assert_never

from repl.output.layout import Fragments
from shim.printable import harmless
from shim.qmp import JSON, ErrorReply, Reply, ReturnReply

__all__ = ["duration_text", "end_of_command", "event_line", "hmp_text", "json_text", "qmp_reply", "timing_text"]

_NS_PER_S = 1_000_000_000
_JSON_TOKEN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*"(?=:))|(?P<string>"(?:[^"\\]|\\.)*")|(?P<number>-?\d[\d.eE+-]*)|(?P<constant>true|false|null)'
)
# The longest data of an event that is shown, so that it fits on a line.
_EVENT_DATA_CHARS = 160


def hmp_text(text: str, *, is_failure: bool) -> Fragments:
    """Return what HMP or a shell command printed, with errors in colour; [] for ""."""
    if not text:
        return []
    shown = harmless(text)
    return [("class:error" if is_failure else "", shown if shown.endswith("\n") else shown + "\n")]


def json_text(value: JSON) -> Fragments:
    """Return a JSON value, indented and in colours."""
    text = harmless(json.dumps(value, indent=2, ensure_ascii=False))
    fragments: Fragments = []
    at = 0
    for token in _JSON_TOKEN.finditer(text):
        fragments.append(("", text[at : token.start()]))
        fragments.append((f"class:json.{token.lastgroup}", token[0]))
        at = token.end()
    return [*((style, part) for style, part in fragments if part), ("", text[at:] + "\n")]


def qmp_reply(reply: Reply) -> Fragments:
    match reply:
        case ReturnReply(value):
            return json_text(value)
        case ErrorReply(error_class, desc):
            return [("class:error", f"{error_class}: {harmless(desc)}\n")]
        case _:
            assert_never(reply)


def event_line(
    name: str, data: Mapping[str, JSON], time_s: float | None, *, local_time: Callable[[float], datetime]
) -> Fragments:
    """Return an event on one line: its time, name and data."""
    when = "" if time_s is None else f"{local_time(time_s):%H:%M:%S.%f}"[:-3] + " "
    told = harmless(json.dumps(data, ensure_ascii=False)) if data else ""
    if len(told) > _EVENT_DATA_CHARS:
        told = told[: _EVENT_DATA_CHARS - 1] + "…"
    return [("class:event.time", when), ("class:event", name), ("", f" {told}\n" if told else "\n")]


def duration_text(duration_ns: int) -> str:
    """Return a duration as a person says it: milliseconds, seconds with a tenth, or minutes and seconds."""
    seconds = duration_ns / _NS_PER_S
    if round(seconds, 3) < 1:
        return f"{seconds * 1000:.0f} ms"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def timing_text(duration_ns: int) -> Fragments:
    """Return how long a command took, precise enough to compare."""
    milliseconds = duration_ns / 1_000_000
    exactly = f"{milliseconds:.3f} ms"
    return [("class:notice", f"Time: {exactly if milliseconds < 1000 else f'{exactly} ({duration_text(duration_ns)})'}\n")]


def end_of_command(command_line: str, *, is_failure: bool, duration_ns: int, stopped_ns: int) -> Fragments:
    """Return how a command ended that prints nothing on success, or that nobody waited for."""
    pause = f"; the VM stood still for {duration_text(stopped_ns)}" if stopped_ns else ""
    style, how = ("class:error", "failed") if is_failure else ("class:success", "done")
    return [(style, how), ("", f": {harmless(command_line)} ({duration_text(duration_ns)}{pause})\n")]
