"""The rules on whole files: a tree with every call marked, and marks that accept one."""

import random
from typing import Final

import pytest

from audit.scanning.file_scan import is_binary, scan_source
from audit.scanning.rules.findings import what_replaces
from audit.scanning.rules.languages import Language, language_of_file
from shim.hmp.replacements import REPLACEMENTS
from tests.support.audit.seeded_sources import SOURCES, Place, expected, without_marks


def places(path: str, text: str) -> list[Place]:
    data = text.encode()
    language = language_of_file(path, data)
    found = None if language is None else scan_source(path, data, language)
    return [] if found is None else [(path, one.line, one.command, one.is_sure) for one in found.findings]


@pytest.mark.parametrize("path", SOURCES)
def test_every_seeded_call_is_found_and_none_invented(path: str) -> None:
    if path.endswith((".md", ".txt")):
        assert places(path, SOURCES[path]) == []
    else:
        assert places(path, without_marks(SOURCES[path])) == expected(path, SOURCES[path])


def test_known_commands_have_a_replacement() -> None:
    commands = {command for path, text in SOURCES.items() for _, _, command, _ in expected(path, text)} - {
        "",
        "HMP prompt",
        "-loadvm",
    }
    assert commands <= set(REPLACEMENTS)
    assert all(what_replaces(command) is not None for command in commands)


# Statements that mean the same wherever they stand, with what is found in them.
CALLS: Final = (
    ('vm.hmp("savevm t{}")', "savevm"),
    ('qmp.execute("human-monitor-command", {{"command-line": "loadvm t{}"}})', "loadvm"),
    ('monitor.send_args_cmd("delvm t{}")', "delvm"),
    ('sock.sendall(b"info snapshots\\n")  # {}', "info snapshots"),
    ('subprocess.run(["virsh", "qemu-monitor-command", "d{}", "--hmp", "savevm t"])', "savevm"),
    ('start("qemu", "-loadvm", "t{}")', "-loadvm"),
    ('os.system("echo loadvm t{} | nc -U mon")', "loadvm"),
    ("qmp.execute('human-monitor-command', {{'command-line': line{}}})", ""),
)
NEAR_MISSES: Final = (
    "# vm.hmp('savevm t{}')",
    '"""vm.hmp("savevm t{}")"""',
    'log.info("savevm t{}")',
    'raise Error("loadvm t{} failed")',
    "savevm_dir = {}",
    'qmp.execute("snapshot-save", {{"tag": "savevm{}"}})',
    'if line == "savevm t{}": pass',
    "vm.savevm({})",
    'names = {{"savevm{}", "loadvm"}}',
    'print("it\'s savevm t{}")',
    'DENIED = ["human-monitor-command", "quit{}"]',
)


@pytest.mark.parametrize("seed", range(40))
def test_mixed_calls_and_near_misses(seed: int) -> None:
    source = random.Random(seed)
    lines: list[str] = []
    marked: list[tuple[int, str]] = []
    for number in range(source.randrange(5, 60)):
        indent = "    " * source.randrange(3)
        if source.random() < 0.5:
            call, command = source.choice(CALLS)
            marked.append((len(lines) + 1, command))
            lines.append(indent + call.format(number))
        else:
            lines.append(indent + source.choice(NEAR_MISSES).format(number))
        lines += [""] * source.randrange(2)
    assert [(line, command) for _, line, command, _ in places("a.py", "\n".join(lines))] == marked


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ('vm.hmp("savevm t")  # hmp-audit: ignore\n', 1),
        ('# hmp-audit: ignore\nvm.hmp("savevm t")\n', 1),
        ('vm.hmp("delvm t")  # hmp-audit: ignore\nvm.hmp("savevm t")', 1),
        ('x = 1  # hmp-audit: ignore\nvm.hmp("savevm t")\n', 0),
    ],
)
def test_marks(text: str, accepted: int) -> None:
    found = scan_source("a.py", text.encode(), Language.PYTHON)
    assert found is not None
    assert found.accepted == accepted
    assert len(found.findings) == text.count("hmp(") - accepted


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(encoding: str) -> None:
    data = 'vm.hmp("savevm t")'.encode(encoding)
    assert not is_binary(data)
    found = scan_source("a.py", data, Language.PYTHON)
    assert found is not None
    assert [(one.line, one.column) for one in found.findings] == [(1, 4)]


def test_other_bytes_harm_nothing() -> None:
    found = scan_source("a.py", b'# \xff\nx = "\xe9"; vm.hmp("savevm t")\n' + b"# \0", Language.PYTHON)
    assert found is not None
    assert [(one.line, one.column, one.source) for one in found.findings] == [(2, 13, 'x = "\ufffd"; vm.hmp("savevm t")')]


def test_columns_count_characters() -> None:
    found = scan_source("a.py", 'ä = "ü"; vm.hmp("savevm t")'.encode(), Language.PYTHON)
    assert found is not None
    assert found.findings[0].column == 13


def test_nothing_found() -> None:
    assert scan_source("a.py", b'"savevm"', Language.PYTHON) is None
    assert scan_source("a.py", b"monitor", Language.PYTHON) is None
    assert scan_source("a.py", b"x", Language.PYTHON) is None


def test_binary() -> None:
    assert is_binary(b"\x7fELF\0")
    assert not is_binary(b"x" * 9000 + b"\0")


@pytest.mark.parametrize("language", Language)
def test_any_text_is_read_to_its_end(language: Language) -> None:
    source = random.Random(7)
    pieces = [
        *"\"'`(){}[]#/\\|&;<>$=:-\n\t ",
        "<<EOF\n",
        "savevm t",
        "hmp(",
        '"""',
        "$(",
        'R"(',
        'r#"',
        "human-monitor-command",
    ]
    pieces += [
        "command-line",
        "-loadvm",
        "qemu-monitor-command --hmp",
        "qmp-shell -H",
        "execute",
        "echo ",
        "done",
        "case x in ",
        "f(",
    ]
    for _ in range(300):
        text = "".join(source.choice(pieces) for _ in range(source.randrange(60)))
        found = scan_source("x", f"savevm {text}".encode(), language)
        for one in () if found is None else found.findings:
            assert one.column >= 1
            assert one.line <= text.count("\n") + 1


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("piece", ["  ", "|", '"\\', "'\\", "`\\", "'$(", "\t- ", "{\t", "qmp-shell echo "])
def test_long_line_that_closes_nothing_is_read_once(language: Language, piece: str) -> None:
    """A line that took its length's square would not be done within the time that any test has."""
    line = piece * (200_000 // len(piece))
    found = scan_source("x", f'human-monitor-command "{line}" savevm'.encode(), language)
    assert found is None or len(found.findings) <= 1
