"""human-monitor-command, however it is written."""

import pytest

from audit.scanning.rules.callers import TALKS
from audit.scanning.rules.lexing import without_escapes
from audit.scanning.rules.qmp_calls import is_command_line, qmp_calls


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"execute": "human-monitor-command", "arguments": {"command-line": "savevm t"}}', ["savevm"]),
        ('{"arguments":{"command-line":"savevm t"},"execute":"human-monitor-command"}', ["savevm"]),
        ('{"arguments":{},"execute":"human-monitor-command"}', [""]),
        (r'"{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"loadvm t\"}}"', ["loadvm"]),
        ("{'execute': 'human-monitor-command', 'arguments': {'command-line': '%s'}}", [""]),
        ('Execute: "human-monitor-command", Args: X{CommandLine: fmt.Sprintf("delvm %s", t)}', ["delvm"]),
        ('"execute": "human-monitor-command", "command-line": format!("info snapshots")', ["info snapshots"]),
        ("mon_cmd($id, 'human-monitor-command', 'command-line' => $line)", [""]),
        ("mon_cmd($id, 'human-monitor-command')", [""]),
        ('human-monitor-command command-line="savevm t"', ["savevm"]),
        ('execute("human-monitor-command", a); execute("human-monitor-command", {"command-line": "stop"})', ["", "stop"]),
        ('req["execute"] = "human-monitor-command"', [""]),
        ('req["execute"] == "human-monitor-command" and req["command-line"] = 1', []),
        ('log("human-monitor-command", x)', []),
        ('["human-monitor-command", "quit"]', []),
        ('f("human-monitor-command is old")', []),
        ("human-monitor-commands", []),
    ],
)
def test_calls(text: str, found: list[str]) -> None:
    assert [call.hit.command for call in qmp_calls(without_escapes(text), TALKS)] == found


@pytest.mark.parametrize(
    ("text", "told"), [('{"command-line": "', True), ("command_line=f", True), ("commandline: ", True), ("line: ", False)]
)
def test_command_line(text: str, told: bool) -> None:
    assert is_command_line(text.rstrip('"f'), len(text.rstrip('"f'))) is told
