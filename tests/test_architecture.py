"""What a linter cannot see: which package may import what, and that each source file has its tests."""

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("shim", "host", "proxy", "repl", "audit", "hmpshim")
SOURCES: Final = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS: Final = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py"))

MAX_FILE_LINES: Final = 300
# A table of cases is longer than code, and no harder to read.
MAX_TEST_LINES: Final = 500
MAX_FUNCTION_LINES: Final = 60
# What fits on a screen beside its subfolders; with __init__.py.
MAX_FOLDER_FILES: Final = 16
# The folders of the knowledge, from the ground up: each may import those before it. "" has what all of them use.
FLOORS_OF_SHIM: Final = ("", "hmp", "graph", "plans", "records", "advice", "rules", "decisions")

INPUT_OUTPUT: Final = frozenset({"asyncio", "io", "logging", "os", "pathlib", "select", "selectors", "signal", "socket", "ssl"})
PROCESSES: Final = frozenset({"multiprocessing", "subprocess", "tempfile", "threading"})
CHANCE_AND_TIME: Final = frozenset({"random", "secrets", "time", "uuid"})
# The knowledge does no I/O and reads no clock; time, ids and randomness are arguments.
OTHERS_THAN_SHIM: Final = frozenset({"prompt_toolkit", "qemu", "host", "proxy", "repl", "audit"})
FORBIDDEN_IN_SHIM: Final = INPUT_OUTPUT | PROCESSES | CHANCE_AND_TIME | OTHERS_THAN_SHIM
FORBIDDEN_CALLS_IN_SHIM: Final = frozenset({"now", "today", "utcnow", "open", "print", "input"})
# The transport's part that only decides: bytes and events in, bytes and effects out.
SANS_IO: Final = (
    "proxy/qmp_json",
    "proxy/human_monitor",
    "proxy/sessions",
    "proxy/routing",
    "proxy/routing/queues",
    "proxy/qemu_command_line",
)
FORBIDDEN_IN_SANS_IO: Final = INPUT_OUTPUT | PROCESSES | CHANCE_AND_TIME
RUN_TIME_LIBRARIES: Final = frozenset({"qemu", "prompt_toolkit"})
# Beside these: facts without behaviour, and what only the start of a process shows.
WITHOUT_TESTS: Final = frozenset(
    {
        "__init__",
        "__main__",
        "confidential",
        "invocations",
        "items",
        "lean_start",
        "limits",
        "monitor",
        "system_clock",
        "pending",
        "steps",
    }
)
# A comment that takes code out of the coverage, and what must follow it: who checks that code, or why nobody can.
EXCLUSION: Final = re.compile(r"#\s*pragma\W*no\s*(?:cover|branch)(.*)", re.IGNORECASE)
REASON: Final = re.compile(r" - \S+(?: \S+){2,}")
# It tries moments at which to interrupt a process; that is not a wait for something.
MAY_SLEEP: Final = frozenset({"tests/integration/delivery/test_demo.py"})


@dataclass(slots=True)
class Facts:
    """What one walk through a file finds."""

    line_count: int
    # The full names of the modules that it imports, also inside functions, and of the names that it imports from them.
    modules: set[str] = field(default_factory=set)
    has_relative_import: bool = False
    calls: set[str] = field(default_factory=set)
    # How many lines each function has.
    functions: dict[str, int] = field(default_factory=dict)
    # The lines of the sleeps that are in no `while`. asyncio's sleep(0) waits for no time.
    sleeps: list[int] = field(default_factory=list)

    @property
    def packages(self) -> set[str]:
        """The top-level names of what it imports; "." for a relative import."""
        return {name.partition(".")[0] for name in self.modules} | ({"."} if self.has_relative_import else set())

    def add(self, node: ast.AST, *, is_in_loop: bool) -> None:
        match node:
            case ast.Import(names):
                self.modules |= {alias.name for alias in names}
            case ast.ImportFrom(module, names, level=0) if module:
                self.modules |= {module} | {f"{module}.{alias.name}" for alias in names}
            case ast.ImportFrom():
                self.has_relative_import = True
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                self.functions[name] = (node.end_lineno or 0) - node.lineno + 1
            case ast.Call(ast.Name(name) | ast.Attribute(attr=name), arguments):
                self.calls.add(name)
                if name == "sleep" and not is_in_loop and not _is_zero(arguments):
                    self.sleeps.append(node.lineno)


def _is_zero(arguments: list[ast.expr]) -> bool:
    return isinstance(arguments[0], ast.Constant) and arguments[0].value == 0


@cache
def facts(path: Path) -> Facts:
    text = (ROOT / path).read_text(encoding="utf-8")
    found = Facts(len(text.splitlines()))
    waiting: list[tuple[ast.AST, bool]] = [(ast.parse(text, str(path)), False)]
    while waiting:
        node, is_in_loop = waiting.pop()
        found.add(node, is_in_loop=is_in_loop)
        is_in_loop |= isinstance(node, ast.While)
        waiting += [(child, is_in_loop) for child in ast.iter_child_nodes(node)]
    return found


def module_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts)


def in_package(*names: str) -> list[Path]:
    return [path for path in SOURCES if path.parts[0] in names]


def offences(paths: Iterable[Path], found: Callable[[Facts], Sized]) -> dict[str, Sized]:
    """Return what is found in each file that has any of it."""
    return {str(path): offence for path in paths if (offence := found(facts(path)))}


def test_shim_does_no_io() -> None:
    assert offences(in_package("shim"), lambda file: file.packages & FORBIDDEN_IN_SHIM) == {}
    assert offences(in_package("shim"), lambda file: file.calls & FORBIDDEN_CALLS_IN_SHIM) == {}


@pytest.mark.parametrize(
    ("package", "unknown"),
    [
        # qemu.qmp's re-serialising, unbounded client is not for the hot path.
        ("proxy", {"repl", "audit", "qemu"}),
        ("host", {"proxy", "repl", "audit", "qemu", "prompt_toolkit"}),
        ("repl", {"proxy", "audit"}),
        # It knows only what was written.
        ("audit", {"proxy", "repl", "qemu", "asyncio", "socket"}),
    ],
)
def test_package_does_not_know(package: str, unknown: set[str]) -> None:
    assert offences(in_package(package), lambda file: file.packages & unknown) == {}


def test_imports_are_absolute_and_of_known_packages() -> None:
    known = sys.stdlib_module_names | RUN_TIME_LIBRARIES | set(PACKAGES)
    assert offences(SOURCES, lambda file: file.packages - known) == {}


@pytest.mark.parametrize("folder", SANS_IO)
def test_deciding_part_of_the_proxy_does_no_io(folder: str) -> None:
    """Nor does anything of ours that it imports."""
    seen: set[Path] = set()
    waiting = [path for path in SOURCES if path.parent.as_posix() == folder]
    assert waiting
    while waiting:
        path = waiting.pop()
        assert facts(path).packages & FORBIDDEN_IN_SANS_IO == set(), path
        seen.add(path)
        waiting += [source for source in SOURCES if module_of(source) in facts(path).modules and source not in seen]


def test_floors_of_shim_stand_on_those_below() -> None:
    floors = {path: FLOORS_OF_SHIM.index("/".join(path.parent.parts[1:])) for path in in_package("shim")}
    assert set(floors.values()) == set(range(len(FLOORS_OF_SHIM)))
    of_module = {module_of(path): floor for path, floor in floors.items() if path.stem != "__init__"}
    above = {
        (str(path), name) for path, floor in floors.items() for name in facts(path).modules if of_module.get(name, 0) > floor
    }
    assert above == set()


def test_human_monitor_knows_nothing_else_of_the_proxy() -> None:
    """It is what QEMU's monitor does, whoever runs the commands."""
    monitor = [path for path in in_package("proxy") if path.parts[1] == "human_monitor"]
    modules = {name for path in monitor for name in facts(path).modules if name.startswith("proxy.")}
    assert {name for name in modules if not name.startswith("proxy.human_monitor.")} == set()


def test_prompt_is_known_to_itself_alone() -> None:
    """And to the command, which imports it late: a script starts without it."""
    others = [path for path in in_package("repl") if path.parts[1] not in ("prompt", "__main__.py")]
    assert [str(path) for path in others if any(name.startswith("repl.prompt") for name in facts(path).modules)] == []


def test_folders_are_short() -> None:
    folders = [path.parent.as_posix() for path in (*SOURCES, *TESTS)]
    counts = {folder: folders.count(folder) for folder in folders}
    assert {folder: count for folder, count in counts.items() if count > MAX_FOLDER_FILES} == {}


@pytest.mark.parametrize("path", [path for path in SOURCES if path.stem not in WITHOUT_TESTS], ids=str)
def test_source_file_has_a_test_file_of_its_name(path: Path) -> None:
    """It stands in the tests' folder of the package, or, where only a real QEMU can show it, with the integration tests."""
    name, folder = f"test_{path.stem}.py", Path("tests", path.parent)
    candidates = [test for test in TESTS if test.name == name and (test.parent == folder or test.parts[1] == "integration")]
    assert any(module_of(path) in facts(test).modules for test in candidates)


def test_files_are_short() -> None:
    lengths = {path: facts(path).line_count for path in SOURCES + TESTS}
    most = {path: MAX_TEST_LINES if path in TESTS else MAX_FILE_LINES for path in lengths}
    assert {str(path): length for path, length in lengths.items() if length > most[path]} == {}


def test_functions_are_short() -> None:
    def too_long(file: Facts) -> dict[str, int]:
        return {name: length for name, length in file.functions.items() if length > MAX_FUNCTION_LINES}

    assert offences(SOURCES + TESTS, too_long) == {}


def unexplained(text: str) -> list[int]:
    """Return the lines with code that coverage is to leave out for no reason."""
    lines = [(number, EXCLUSION.search(line)) for number, line in enumerate(text.splitlines(), 1)]
    return [number for number, found in lines if found is not None and REASON.fullmatch(found[1]) is None]


def test_what_coverage_leaves_out_has_a_reason() -> None:
    found = {str(path): unexplained((ROOT / path).read_text(encoding="utf-8")) for path in SOURCES}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("comment", "is_explained"),
    [
        ("no cover - nobody reads it here", True),
        ("no branch - nobody reads it here", True),
        ("no cover", False),
        ("no cover - ", False),
        ("no cover - two words", False),
        ("no cover: nobody reads it here", False),
        ("NO COVER", False),
        ("no branch", False),
    ],
)
def test_reason_has_at_least_three_words(comment: str, is_explained: bool) -> None:
    """And what coverage takes for a comment of its own is known."""
    assert unexplained(f"a = 1\nb = 2  # pragma: {comment}") == ([] if is_explained else [2])


def test_tests_wait_for_conditions_and_not_for_time() -> None:
    """A sleep is between two looks of a `while`, at what nothing announces."""
    waiting = [path for path in TESTS if path.as_posix() not in MAY_SLEEP]
    assert offences(waiting, lambda file: file.sleeps) == {}


def test_nothing_is_imported_from_a_test_file() -> None:
    """What several tests share stands in tests/support, or beside the integration tests, under a name of its own."""
    test_files = {module_of(path) for path in TESTS if path.name.startswith("test_")}
    assert offences(TESTS, lambda file: file.modules & test_files) == {}


def test_the_walk_found_the_sources() -> None:
    assert {path.parts[0] for path in SOURCES} == set(PACKAGES)
    assert Path("shim/plans/snapshot_plans.py") in SOURCES
    assert facts(Path("shim/plans/jobs.py")).packages == {"re", "collections", "dataclasses", "itertools", "typing", "shim"}
    assert "fullmatch" in facts(Path("shim/plans/jobs.py")).calls


def test_every_folder_is_packed() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    packed = {name.removeprefix("hmpshim.programs.").replace(".", "/") for name in told if name.startswith("hmpshim.programs.")}
    assert packed == {path.parent.as_posix() for path in SOURCES if path.parts[0] in ("shim", "host", "proxy", "repl", "audit")}
