"""The text of a configuration file: where its keys stand."""

from pathlib import Path

import pytest

from host.configuration.config_text import ConfigText, read_toml
from host.configuration.toml_places import Place
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
    ("place", "inside", "key", "line"),
    [
        (("top",), (), "top", 1),
        (("defaults", "a"), (), "a", 3),
        (("defaults", "b"), (), "b", 2),
        (("vm", 0, "a"), (), "a", 5),
        (("vm", 0, "rules"), (1,), "rules", 8),
        (("vm", 1, "a"), (), "a", 11),
        (("vm", 1, "b"), (), "b", 10),
        (("vm", 1), (), "[vm]", 10),
        (("vm", 1, "rules"), (0,), "rules", 12),
        (("vm", 1, "rules"), (1, "deny"), "rules", 15),
        (("vm", 1, "rules"), (1, "allow"), "rules", 14),
    ],
)
def test_error_says_the_line(place: Place, inside: Place, key: str, line: int) -> None:
    error = ConfigText("F", TEXT).error(place, "why", inside)
    assert str(error) == f"F:{line}: {key}: why"


def test_file_is_read_with_its_text(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("a = 1\nb = [2]\n")
    text, content = read_toml(str(path))
    assert content == {"a": 1, "b": [2]}
    assert str(text.error(("b",), "why")) == f"{path}:2: b: why"


@pytest.mark.parametrize(("data", "line"), [(b"a = 1\nb = 2 3\n", 2), (b"a = 1\n\xff", 2), (b"a = ", 1)])
def test_what_is_no_toml_is_told_with_its_line(tmp_path: Path, data: bytes, line: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=rf":{line}: invalid TOML: "):
        read_toml(str(path))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = 1\na = 2\n", "2: a"),
        ("a = 1\na = 2", "2: a"),
        ("# a = 1\n[b]\n'a' = [\n  1,\n]\nc = 1\na = [ # ]\n  2,\n]\nd = 1\n", "7: a"),
        ('b = """\na = 1\n"""\na.b = 1\nc = 1\na.b = """\nd = 1\n"""\n', "6: a.b"),
        ("a = 1\n\n[a]\nb = 1\n", "3: a"),
    ],
)
def test_key_that_is_given_twice_is_told_with_its_own_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_toml(str(path))
    assert str(caught.value) == f"{path}:{told}: it is given twice; write it once"
