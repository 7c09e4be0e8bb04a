"""The text of a configuration file: where its keys stand."""

from pathlib import Path

import pytest

from host.configuration.config_text import ConfigText, read_toml
from host.errors import ConfigError

TEXT = """\
top.key = 1
[defaults]
a = 1
[[vm]]
a = 2
rules = [
    { allow = "x" },
    { deny = ["]", "y"] },
]
[[vm]]
"a" = 3
[[vm.rules]]
allow = "z"
[[vm.rules]]
deny = "q"
"""


@pytest.mark.parametrize(
    ("table", "number", "key", "item", "line"),
    [
        ("", 0, "top", None, 1),
        ("defaults", 0, "a", None, 3),
        ("defaults", 0, "b", None, 2),
        ("vm", 0, "a", None, 5),
        ("vm", 0, "rules", 1, 8),
        ("vm", 1, "a", None, 11),
        ("vm", 1, "b", None, 10),
        ("vm", 1, None, None, 10),
        ("vm", 1, "rules", 0, 12),
        ("vm", 1, "rules", 1, 14),
    ],
)
def test_error_says_the_line(table: str, number: int, key: str | None, item: int | None, line: int) -> None:
    error = ConfigText("F", TEXT).error(table, number, key, "why", item)
    assert str(error) == f"F:{line}: {key or f'[{table}]'}: why"


def test_file_is_read_with_its_text(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("a = 1\nb = [2]\n")
    text, content = read_toml(str(path))
    assert content == {"a": 1, "b": [2]}
    assert str(text.error("", 0, "b", "why")) == f"{path}:2: b: why"


@pytest.mark.parametrize(("data", "line"), [(b"a = 1\na = 2\n", 2), (b"a = 1\n\xff", 2), (b"a = ", 1)])
def test_what_is_no_toml_is_told_with_its_line(tmp_path: Path, data: bytes, line: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=rf":{line}: invalid TOML: "):
        read_toml(str(path))
