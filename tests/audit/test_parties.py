"""How a tool is named."""

import pytest

from audit.parties import Tool


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        (Tool("h", "/bin/tool", 1, ""), "/bin/tool"),
        (Tool("h", "", -1, "192.0.2.17"), "192.0.2.17"),
        (Tool("", "", -1, ""), "unknown program"),
    ],
)
def test_name(tool: Tool, name: str) -> None:
    assert tool.name == name
