"""How a tool is named."""

import pytest

from audit.reporting.parties import Tool


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        (Tool("nightly.py", "backup.service", "backup"), "nightly.py (backup.service, user backup)"),
        (Tool("nightly.py", "", "backup"), "nightly.py (user backup)"),
        (Tool("nightly.py", "docker container"), "nightly.py (docker container)"),
        (Tool("192.0.2.17"), "192.0.2.17"),
    ],
)
def test_label(tool: Tool, name: str) -> None:
    assert tool.label == name
