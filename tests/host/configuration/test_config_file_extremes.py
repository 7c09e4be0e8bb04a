"""A configuration file with what no program could take: it is told with file, line and key, and never by a traceback."""

import random
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from host.configuration.config_file import load_config_file
from host.errors import ConfigError
from tests.support.proxy.config_files import SETTINGS, VM1, path

__all__ = ["path"]

LONG_PATH: Final = "/" + "a" * 5000
NO_HOST: Final = "the host is neither a name nor an IP address; write tcp:HOST:PORT"
NUL: Final = "it contains a NUL character, which no name or path can have; drop it"
TOO_DEEP: Final = "it is nested more than 100 deep; write a string, or a list of strings"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (f"client_buffer_mib = {'9' * 5000}", "client_buffer_mib: the number is too long; write at most 999999999"),
        (f"client_buffer_mib = {'9_9' * 5000}", "client_buffer_mib: the number is too long; write at most 999999999"),
        (f"client_buffer_mib = 0x{'f' * 5000}", "client_buffer_mib: write a whole number of MiB from 1 to 999999999"),
        (f"exclude = [\n{'9' * 5000}]", "exclude: the number is too long; write at most 999999999"),
        (f"exclude = {'[' * 5000}{']' * 5000}", f"exclude: {TOO_DEEP}"),
        (f"exclude = {'{a=' * 5000}1{'}' * 5000}", f"exclude: {TOO_DEEP}"),
        (f'allow = [\'[[[\', "]\\"", # {{\n{"[" * 5000}{"]" * 5000}]', f"allow: {TOO_DEEP}"),
        ('name = "a\\u0000"', f"name: {NUL}"),
        ('exclude = ["a\\u0000"]', f"exclude: item 1: {NUL}"),
        ('audit = "/a\\u0000"', f"audit: {NUL}"),
        ('audit_key = "/a\\u0000"', f"audit_key: {NUL}"),
        ('take_over = "/a\\u0000"', f"take_over: {NUL}"),
        (f'audit = "{LONG_PATH}"', "a path has at most 4095 bytes, and each name in it 255"),
        (f'audit = "/{"a" * 256}"', "a path has at most 4095 bytes, and each name in it 255"),
        (f'audit = "syslog:{LONG_PATH}"', "a socket's path has at most 107 bytes"),
        (f'take_over = "/{"a" * 100}"', "a socket's path has at most 107 bytes; choose a shorter one"),
    ],
    ids=lambda value: f"{value:.30}",
)
def test_value_that_is_too_much_is_told_with_its_place(path: Path, line: str, error: str) -> None:
    path.write_text(f"{VM1}{line}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config_file(str(path))
    lines = VM1.count("\n") + 1
    assert caught.value.line in (lines, lines + line.count("\n"))
    assert str(caught.value).endswith(error)
    assert len(str(caught.value)) < 600


def test_control_characters_are_not_counted_as_line_ends(path: Path) -> None:
    path.write_text(f"{VM1}name = '\x1e\x85\u2028", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config_file(str(path))
    assert caught.value.line == 4
    path.write_text(f'{VM1}name = """a\x0b\n', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config_file(str(path))
    assert caught.value.line == 4


def test_long_key_is_cut(path: Path) -> None:
    path.write_text(f"{VM1}{'a' * 5000} = 1\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config_file(str(path))
    assert (caught.value.line, caught.value.key) == (4, "a" * 100)


@pytest.mark.parametrize(
    ("upstream", "error"),
    [
        ("unix:/a\\u0000b", NUL),
        ("tcp:a\\u0000b:5", NUL),
        (f"unix:{LONG_PATH}", "a socket's path has at most 107 bytes; choose a shorter one"),
        (f"tcp:{'a' * 5000}:5", NO_HOST),
        (f"tcp:{'a' * 64}.x:5", NO_HOST),
        (f"tcp:{'a.' * 130}:5", NO_HOST),
        ("tcp:a..b:5", NO_HOST),
        (f"tcp:{'ü' * 60}:5", NO_HOST),
        (f"tcp:h:{'9' * 5000}", "write unix:PATH, tcp:HOST:PORT, fd:NUMBER or accept:unix:PATH"),
    ],
    ids=lambda value: f"{value:.30}",
)
def test_address_that_nothing_could_take_is_told_with_its_place(path: Path, upstream: str, error: str) -> None:
    path.write_text(f'[[vm]]\nlisten = "unix:/l"\nupstream = "{upstream}"\n', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config_file(str(path))
    assert (caught.value.line, caught.value.key) == (3, "upstream")
    assert str(caught.value).endswith(error)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("failure", "error"),
    [(ValueError("odd"), "this cannot be read: odd"), (RecursionError(), TOO_DEEP)],
)
def test_what_a_later_python_may_refuse_is_told_without_a_place(
    path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, error: str
) -> None:
    def refuse(text: str) -> None:
        raise failure

    path.write_text(VM1)
    monkeypatch.setattr(tomllib, "loads", refuse)
    with pytest.raises(ConfigError) as caught:
        load_config_file(str(path))
    assert str(caught.value) == f"{path}: {error}"


@pytest.mark.parametrize("seed", range(100))
def test_no_file_makes_a_traceback(path: Path, seed: int) -> None:
    """The example with all its keys, mangled."""
    chance = random.Random(seed)
    pieces = ["[", "]", "{", "}", '"', "'", "=", "\n", "\\u0000", "0", "-1", "inf", "nan", "true", "[[vm]]", "1979-02-30", "."]
    pieces += ["\t", "9" * 5000]
    pieces += ["[" * 2000, "é", "\x1b", "tcp:", "unix:", "fd:", ":", "/", '"""', "#", "[vm]", "[defaults]", "audit"]
    for _ in range(20):
        text = SETTINGS
        for _ in range(chance.randrange(1, 6)):
            begin = chance.randrange(len(text))
            end = begin + chance.choice([0, 0, 1, 3, 20])
            text = text[:begin] + chance.choice(pieces) + text[end:]
        path.write_text(text, encoding="utf-8")
        with suppress(ConfigError):
            assert load_config_file(str(path))
