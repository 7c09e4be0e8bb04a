"""What a linter cannot see: which package may import what, and that each source file has its tests."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("shim", "host", "proxy", "repl", "audit", "hmpshim")
SOURCES: Final = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS: Final = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py"))

MAX_FILE_LINES: Final = 400
# A table of cases is longer than code, and no harder to read.
MAX_TEST_LINES: Final = 500
MAX_FUNCTION_LINES: Final = 60
# What fits on a screen beside its subfolders. The two lowest packages are flat: whoever looks for something knows its name.
MAX_FOLDER_FILES: Final = 18
FLAT: Final = frozenset({"shim", "host"})

INPUT_OUTPUT: Final = frozenset({"asyncio", "io", "logging", "os", "pathlib", "select", "selectors", "signal", "socket", "ssl"})
PROCESSES: Final = frozenset({"multiprocessing", "subprocess", "tempfile", "threading"})
CHANCE_AND_TIME: Final = frozenset({"random", "secrets", "time", "uuid"})
# The knowledge does no I/O and reads no clock; time, ids and randomness are arguments.
OTHERS_THAN_SHIM: Final = frozenset({"prompt_toolkit", "qemu", "host", "proxy", "repl", "audit"})
FORBIDDEN_IN_SHIM: Final = INPUT_OUTPUT | PROCESSES | CHANCE_AND_TIME | OTHERS_THAN_SHIM
FORBIDDEN_CALLS_IN_SHIM: Final = frozenset({"now", "today", "utcnow", "open", "print", "input"})
# The transport's part that only decides: bytes and events in, bytes and effects out.
SANS_IO: Final = ("proxy/qmp_json", "proxy/routing")
FORBIDDEN_IN_SANS_IO: Final = INPUT_OUTPUT | PROCESSES | CHANCE_AND_TIME
RUN_TIME_LIBRARIES: Final = frozenset({"qemu", "prompt_toolkit"})
# Beside these: facts without behaviour, and what only the start of a process shows.
WITHOUT_TESTS: Final = frozenset(
    {"__init__", "__main__", "confidential", "lean_asyncio", "limits", "monitor", "outbox", "pending"}
)
# It tries moments at which to interrupt a process; that is not a wait for something.
MAY_SLEEP: Final = frozenset({"tests/integration/test_demo.py"})


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))


def imported(path: Path) -> set[str]:
    """Give the top-level names of the modules that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        match node:
            case ast.Import(names):
                found |= {alias.name.partition(".")[0] for alias in names}
            case ast.ImportFrom(module, level=0) if module:
                found.add(module.partition(".")[0])
            case ast.ImportFrom():
                found.add(".")
    return found


def modules(path: Path) -> set[str]:
    """Give the full names of the modules that a file imports, and of the names that it imports from them."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        match node:
            case ast.Import(names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module, names) if module:
                found |= {module} | {f"{module}.{alias.name}" for alias in names}
    return found


def module_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts)


def called(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        match node:
            case ast.Call(ast.Name(name)) | ast.Call(ast.Attribute(attr=name)):
                yield name


def in_package(*names: str) -> list[Path]:
    return [path for path in SOURCES if path.parts[0] in names]


@pytest.mark.parametrize("path", in_package("shim"), ids=str)
def test_shim_does_no_io(path: Path) -> None:
    assert imported(path) & FORBIDDEN_IN_SHIM == set()
    assert set(called(path)) & FORBIDDEN_CALLS_IN_SHIM == set()


@pytest.mark.parametrize("path", in_package("proxy"), ids=str)
def test_proxy_does_not_know_the_repl(path: Path) -> None:
    assert imported(path) & {"repl", "audit"} == set()
    assert "qemu" not in imported(path), "its re-serialising, unbounded client is not for the hot path"


@pytest.mark.parametrize("path", in_package("host"), ids=str)
def test_what_the_programs_share_knows_none_of_them(path: Path) -> None:
    assert imported(path) & {"proxy", "repl", "audit", "qemu", "prompt_toolkit"} == set()


@pytest.mark.parametrize("path", in_package("repl"), ids=str)
def test_repl_does_not_know_the_proxy(path: Path) -> None:
    assert imported(path) & {"proxy", "audit"} == set()


@pytest.mark.parametrize("path", in_package("audit"), ids=str)
def test_audit_knows_only_what_was_written(path: Path) -> None:
    assert imported(path) & {"proxy", "repl", "qemu", "asyncio", "socket"} == set()


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_imports_are_absolute_and_of_known_packages(path: Path) -> None:
    assert imported(path) <= sys.stdlib_module_names | RUN_TIME_LIBRARIES | set(PACKAGES)


@pytest.mark.parametrize("folder", SANS_IO)
def test_deciding_part_of_the_proxy_does_no_io(folder: str) -> None:
    """Nor does anything of ours that it imports."""
    seen: set[Path] = set()
    waiting = [path for path in SOURCES if path.parent.as_posix() == folder]
    assert waiting
    while waiting:
        path = waiting.pop()
        assert imported(path) & FORBIDDEN_IN_SANS_IO == set(), path
        seen.add(path)
        waiting += [source for source in SOURCES if module_of(source) in modules(path) and source not in seen]


def test_prompt_is_known_to_itself_alone() -> None:
    """And to the command, which imports it late: a script starts without it."""
    others = [path for path in in_package("repl") if path.parts[1] not in ("prompt", "__main__.py")]
    assert [str(path) for path in others if any(name.startswith("repl.prompt") for name in modules(path))] == []


def test_folders_are_short() -> None:
    folders = [path.parent.as_posix() for path in SOURCES]
    counts = {folder: folders.count(folder) for folder in folders if folder not in FLAT}
    assert {folder: count for folder, count in counts.items() if count > MAX_FOLDER_FILES} == {}


@pytest.mark.parametrize("path", [path for path in SOURCES if path.stem not in WITHOUT_TESTS], ids=str)
def test_source_file_has_a_test_file_of_its_name(path: Path) -> None:
    """It stands in the tests' folder of the package, or, where only a real QEMU can show it, with the integration tests."""
    candidates = [Path("tests", folder, f"test_{path.stem}.py") for folder in (path.parts[0], "integration")]
    assert any(module_of(path) in modules(test) for test in candidates if test in TESTS)


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=str)
def test_file_is_short(path: Path) -> None:
    most = MAX_TEST_LINES if path in TESTS else MAX_FILE_LINES
    assert len((ROOT / path).read_text(encoding="utf-8").splitlines()) <= most


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=str)
def test_functions_are_short(path: Path) -> None:
    functions = [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}


@pytest.mark.parametrize("path", [path for path in TESTS if path.as_posix() not in MAY_SLEEP], ids=str)
def test_tests_wait_for_conditions_and_not_for_time(path: Path) -> None:
    """A sleep is between two looks of a `while`, at what nothing announces. asyncio's sleep(0) waits for no time."""
    everywhere = list(_sleeps(tree(path)))
    in_loops = [call for loop in ast.walk(tree(path)) if isinstance(loop, ast.While) for call in _sleeps(loop)]
    assert [call.lineno for call in everywhere if call not in in_loops] == []


def _sleeps(below: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(below):
        match node:
            case ast.Call(ast.Attribute(attr="sleep") | ast.Name("sleep"), args=[ast.Constant(0)]):
                pass
            case ast.Call(ast.Attribute(attr="sleep") | ast.Name("sleep")):
                yield node


def test_the_walk_found_the_sources() -> None:
    assert {path.parts[0] for path in SOURCES} == set(PACKAGES)
    assert Path("shim/snapshot_plans.py") in SOURCES
    assert imported(Path("shim/jobs.py")) == {"re", "collections", "dataclasses", "itertools", "typing", "shim"}
    assert "fullmatch" in set(called(Path("shim/jobs.py")))
