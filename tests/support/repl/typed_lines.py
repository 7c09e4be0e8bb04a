"""Lines that a person types, and what they are read with."""

from typing import Final

import pytest

from repl.completion_data import CompletionData, parse_help, read_schema
from repl.lines.lines import read_line
from repl.lines.scanning import LineError
from tests.support.repl.qemu_facts import HELP, HELP_INFO, SCHEMA

__all__ = ["FACTS", "NOTHING_KNOWN", "SNIPPETS", "fault"]

NOTHING_KNOWN: Final = CompletionData()
QMP_COMMANDS, EVENTS = read_schema(SCHEMA)
FACTS: Final = CompletionData(
    commands=parse_help(HELP), topics=parse_help(HELP_INFO, prefix="info"), qmp_commands=QMP_COMMANDS, events=EVENTS
)


def fault(line: str, facts: CompletionData = FACTS) -> tuple[int, str]:
    with pytest.raises(LineError) as raised:
        read_line(line, facts)
    assert str(raised.value) == raised.value.message
    return raised.value.position, raised.value.message


SNIPPETS: Final = (
    *("savevm", "loadvm", "delvm", "info", "snapshots", "plan", "qmp", "events", "help", "exit", "stop", "device_add"),
    *("set-mode", "driver=", "at.x=", "speed", "mode=keep", "on", "off", "STOP", "BLOCK_*", "t1", " ", " ", " ", "\t", "\n"),
    *('"', '"', "\\", "'", "{", "}", "[", "]", ":", ",", "=", "=", ".", "/", "-", "1", "1e999", "NaN", "null", "\\u", "d800"),
    *("\ud800", "\uffff", "é", "\0"),
)
