"""What users install: the wheel, an editable checkout and hmpshim.pyz, each at work, and beside PyPI's proxy.py.

No index is asked: what is installed is built here, and the libraries are those of the environment that runs the tests.
"""

import os
import shlex
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from release.build import PACKAGES, ROOT, copy_checkout, make_wheel
from release.share import FOLDERS
from shim.version import VERSION
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM, make_qcow2

PROGRAMS: Final = ("proxy", "repl", "audit")
LIBRARIES: Final = ("prompt_toolkit", "qemu", "wcwidth")
LIMIT_S: Final = 60.0

# As PyPI's: a package `proxy` at the top, with files of the same names as ours.
OTHER_DISTRIBUTION: Final = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "proxy.py"
version = "2.4"
[project.scripts]
proxy = "proxy.__main__:main"
[tool.setuptools]
packages = ["proxy"]
"""
OTHER_PROGRAM: Final = 'def main():\n    print("proxy.py")\n'


@dataclass(frozen=True, slots=True)
class Installation:
    """Three programs: how to start each, and with which environment."""

    commands: dict[str, list[str]]
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, program: str, *arguments: str) -> str:
        return run(*self.commands[program], *arguments, **self.environment)


class Environment:
    """A virtual environment, empty at first."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self._folder = folder

    def program(self, name: str) -> str:
        return str(self._folder / "bin" / name)

    def pip(self, *arguments: str) -> None:
        quiet = ("--quiet", "--no-input", "--disable-pip-version-check")
        run(sys.executable, "-m", "pip", "--python", self.program("python"), *arguments, *quiet)

    def install(self, wheel: Path) -> None:
        self.pip("install", "--no-index", "--no-deps", str(wheel))


def run(*command: str, **environment: str) -> str:
    """Run it away from the checkout, and return its output; CalledProcessError, shown with its output, if it fails."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd="/", env=clean | environment, capture_output=True, text=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packaging")


@pytest.fixture(scope="module")
def pyz(folder: Path) -> Path:
    """hmpshim.pyz, with the wheel beside it, as ./run package makes them."""
    done = subprocess.run([sys.executable, "-m", "release", str(folder / "dist")], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "dist" / "hmpshim.pyz"


@pytest.fixture(scope="module")
def wheel(pyz: Path) -> Path:
    (found,) = pyz.parent.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def libraries(folder: Path, pyz: Path) -> Path:
    """A folder with the libraries alone."""
    with zipfile.ZipFile(pyz) as archive:
        names = [name for name in archive.namelist() if name.startswith(LIBRARIES)]
        archive.extractall(folder / "libraries", names)
    return folder / "libraries"


@pytest.fixture(scope="module")
def other_wheel(folder: Path) -> Path:
    """A distribution like PyPI's proxy.py."""
    source = folder / "other"
    (source / "proxy").mkdir(parents=True)
    (source / "pyproject.toml").write_text(OTHER_DISTRIBUTION)
    (source / "proxy" / "__init__.py").write_text("")
    (source / "proxy" / "__main__.py").write_text(OTHER_PROGRAM)
    return make_wheel(source, folder)


def in_environment(folder: Path, wheel: Path, libraries: Path) -> Installation:
    environment = Environment(folder)
    environment.install(wheel)
    return Installation({name: [environment.program(f"hmp-{name}")] for name in PROGRAMS}, {"PYTHONPATH": str(libraries)})


def editable_wheel(checkout: Path, into: Path) -> Path:
    """Make what `pip install -e` makes first, and installs then."""
    copy_checkout(checkout)
    code = "import sys; from setuptools.build_meta import build_editable; build_editable(sys.argv[1])"
    into.mkdir()
    subprocess.run([sys.executable, "-c", code, str(into)], cwd=checkout, check=True, capture_output=True)
    (found,) = into.iterdir()
    return found


@pytest.fixture(scope="module", params=["wheel", "editable", "pyz"])
def installation(request: pytest.FixtureRequest, folder: Path, pyz: Path, wheel: Path, libraries: Path) -> Installation:
    match request.param:
        case "wheel":
            return in_environment(folder / "plain", wheel, libraries)
        case "editable":
            return in_environment(folder / "edit", editable_wheel(folder / "checkout", folder / "editable"), libraries)
        case _:
            # Neither the current folder nor site-packages: a machine that has only Python.
            return Installation({name: [sys.executable, "-I", "-S", str(pyz), name] for name in PROGRAMS})


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_tells_its_version(installation: Installation, program: str) -> None:
    assert installation.run(program, "--version") == f"hmp-{program} {VERSION}\n"


@pytest.mark.parametrize("words", [["proxy"], ["proxy", "plan"], ["repl"], ["audit"], ["audit", "report"]], ids=" ".join)
def test_program_helps(installation: Installation, words: list[str]) -> None:
    program, *command = words
    assert installation.run(program, *command, "--help").startswith(f"usage: {' '.join([f'hmp-{program}', *command])} ")


def test_programs_work_together(installation: Installation, tmp_path: Path) -> None:
    """All that they need is there: libraries, what is imported late, and the files of the report."""
    with QEMUVM() as vm:
        disk = make_qcow2(vm.path("d.qcow2"))
        vm.quit()
        vm.args = ("-drive", f"if=none,id=d,file={disk}")
        vm.start()
        with ProxyProcess(vm.folder, vm.qmp_path, program=installation.commands["proxy"]) as proxy:
            assert "savevm" in installation.run("proxy", "plan", "--upstream", f"unix:{proxy.path}", "savevm", "t")
            shown = installation.run("repl", proxy.path, "-c", "savevm t", "-c", "info snapshots")
        page = tmp_path / "report.html"
        installation.run("audit", "report", "--html", str(page), str(proxy.audit_path))
    assert " t " in shown
    # What a person's savevm is, once the prompt has one: no HMP.
    assert "snapshot-save" in page.read_text()


def started_by(unit: str) -> list[str]:
    """Return the command that a unit starts, without its arguments."""
    return shlex.split(unit.partition("\nExecStart=")[2].partition(" --config ")[0])


def test_installed_units_start_this_installation(installation: Installation, tmp_path: Path) -> None:
    """The systemd of a user starts them without the environment in which they were installed."""
    environment = installation.environment | {"XDG_CONFIG_HOME": str(tmp_path)}
    for outcome in ("written", "unchanged"):
        told = run(*installation.commands["proxy"], "install-units", "--user", **environment)
        assert told.count(f": {outcome}\n") == 3
    for name in ("hmp-proxy.service", "hmp-proxy@.service"):
        command = started_by((tmp_path / "systemd" / "user" / name).read_text())
        assert run(*command, "--version") == f"hmp-proxy {VERSION}\n"


def test_units_of_a_checkout_start_it() -> None:
    program = [sys.executable, "-m", "proxy", "install-units", "--print"]
    unit = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert run(*started_by(unit), "--version") == f"hmp-proxy {VERSION}\n"


def test_pyz_names_its_programs(pyz: Path) -> None:
    assert all(f"hmpshim.pyz {program} " in run(str(pyz), "--help") for program in PROGRAMS)
    done = subprocess.run([str(pyz), "nosuch"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")


def test_wheel_holds_each_source_file_below_one_folder(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name and ".data/" not in name}
    sources = [path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.*")]
    kept = [path for path in sources if "__pycache__" not in path.parts]
    assert packed == {str(path) if path.parts[0] == "hmpshim" else f"hmpshim/programs/{path}" for path in kept}


def test_manual_pages_and_completion_are_where_a_prefix_has_them(
    pyz: Path, wheel: Path, libraries: Path, tmp_path: Path
) -> None:
    """Those of the wheel are those beside it, and hmpshim.pyz has none."""
    in_environment(tmp_path, wheel, libraries)
    beside = pyz.parent / "share"
    made = sorted(path.relative_to(beside) for path in beside.rglob("*") if path.is_file())
    assert len(made) == len(FOLDERS) * len(PROGRAMS)
    assert {f"share/{path.parent}" for path in made} == set(FOLDERS)
    assert [(tmp_path / "share" / path).read_bytes() for path in made] == [(beside / path).read_bytes() for path in made]
    with zipfile.ZipFile(pyz) as archive:
        assert [name for name in archive.namelist() if ".data/" in name] == []


def test_earlier_build_is_not_packed(tmp_path: Path) -> None:
    """Earlier versions built a package `proxy` at the top, and left it in the checkout."""
    checkout = tmp_path / "checkout"
    copy_checkout(checkout)
    shutil.copytree(checkout / "proxy", checkout / "build" / "lib" / "proxy")
    with zipfile.ZipFile(make_wheel(checkout, tmp_path)) as archive:
        assert {name.partition("/")[0] for name in archive.namelist()} == {"hmpshim", f"hmpshim-{VERSION}.dist-info"}


@pytest.mark.parametrize("is_first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("removed", ["hmpshim", "proxy.py"])
def test_proxy_py_in_the_same_environment(tmp_path: Path, wheel: Path, other_wheel: Path, is_first: bool, removed: str) -> None:
    """Both work, whichever came first, and the one that stays works when the other has gone."""

    def ours() -> bool:
        return run(environment.program("hmp-proxy"), "--version") == f"hmp-proxy {VERSION}\n"

    def theirs() -> bool:
        imported = run(environment.program("python"), "-c", "from proxy.__main__ import main; main()")
        return run(environment.program("proxy")) == imported == "proxy.py\n"

    environment = Environment(tmp_path / "venv")
    for installed in (wheel, other_wheel) if is_first else (other_wheel, wheel):
        environment.install(installed)
    assert ours()
    assert theirs()
    environment.pip("uninstall", "--yes", removed)
    stays: dict[str, Callable[[], bool]] = {"hmpshim": theirs, "proxy.py": ours}
    assert stays[removed]()
