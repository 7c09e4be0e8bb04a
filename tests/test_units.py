"""systemd's units, as `hmp-proxy install-units` puts them in place: systemd itself reads and judges them."""

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from proxy.commands import install_units as module
from proxy.commands.install_units import UNITS
from proxy.commands.own_command import spell_command
from proxy.process.handing_over import LEFT
from tests.support.checkout import ROOT

KINDS: Final = ("system", "user")
SERVICES: Final = UNITS[:2]
# Of 10; docs/security.md says how much it is.
MOST_EXPOSURE: Final = 1.0

with_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


def directives(kind: str, name: str) -> dict[str, list[str]]:
    """Return the values of each directive of [Service], as often as it is there."""
    found: dict[str, list[str]] = {}
    section = (ROOT / "proxy" / "units" / kind / name).read_text().partition("[Service]\n")[2].partition("\n[")[0]
    for line in section.splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def as_installed(folder: Path, kind: str, program: str = sys.executable) -> list[Path]:
    """Write the units into a folder, with a program that is there, and return where they are; the template's as vm1's."""
    written = []
    for name in UNITS:
        text = (ROOT / "proxy" / "units" / kind / name).read_text()
        path = folder / name
        path.write_text(text.replace("@hmp-proxy@", spell_command((program,))))
        written.append(path.with_name(name.replace("@.", "@vm1.")))
    return written


def analyze(kind: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Ask systemd about units, by files alone: no systemd need run."""
    environment = os.environ | {"XDG_RUNTIME_DIR": str(folder), "SYSTEMD_COLORS": "0"}
    command = ["systemd-analyze", f"--{kind}", "--no-pager", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@with_systemd
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["hmp-proxy", "my 50% $HOME; 1"])
def test_systemd_finds_no_fault(tmp_path: Path, kind: str, name: str) -> None:
    """It also looks whether the programs are there, so whether their paths are spelled as it reads them."""
    program = tmp_path / name
    program.touch(0o755)
    units = as_installed(tmp_path, kind, str(program))
    done = analyze(kind, "verify", *map(str, units), folder=tmp_path)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "hmp-proxy" in line or "50" in line]
    assert (done.returncode, ours) == (0, [])


@with_systemd
def test_systemd_finds_a_fault(tmp_path: Path) -> None:
    """So the test above would tell of one."""
    units = as_installed(tmp_path, "system", "/none/hmp-proxy")
    done = analyze("system", "verify", *map(str, units), folder=tmp_path)
    assert "/none/hmp-proxy" in done.stderr


@with_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_services_of_the_system_are_exposed_to_little(tmp_path: Path, name: str) -> None:
    as_installed(tmp_path, "system")
    done = analyze("system", "security", "--offline=true", str(tmp_path / name), folder=tmp_path)
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d)", done.stdout)
    assert found is not None, done
    assert float(found[1]) <= MOST_EXPOSURE
    page = (ROOT / "docs" / "security.md").read_text()
    assert f"the test allows {MOST_EXPOSURE}" in page
    version = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    if version == "252":
        assert f"exposure {found[1]} of 10, systemd 252" in page


@pytest.mark.parametrize("kind", KINDS)
def test_services_differ_in_their_files_and_folders_only(kind: str) -> None:
    host, vm = (directives(kind, name) for name in SERVICES)
    replaced = {
        key: [value.replace("hmpshim/vms/%i", "hmpshim").replace("hmp-proxy-vms/%i", "hmp-proxy") for value in values]
        for key, values in vm.items()
    }
    assert replaced == host
    assert vm != host


def test_services_of_a_user_leave_out_what_a_user_cannot_have() -> None:
    system, user = (directives(kind, SERVICES[0]) for kind in KINDS)
    assert user.keys() <= system.keys()
    assert {key: value for key, value in user.items() if value != system[key]} == {}
    needs_root = {"DynamicUser", "SupplementaryGroups", "CapabilityBoundingSet"}
    needs_mounts = {key for key in system if key.startswith(("Protect", "Private"))}
    assert needs_root | needs_mounts <= system.keys() - user.keys()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SERVICES)
def test_services_start_the_proxy_with_options_that_exist(kind: str, name: str) -> None:
    shown = subprocess.run([sys.executable, "-m", "proxy", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    unit = directives(kind, name)
    options = re.findall(r"--[a-z-]+", " ".join(unit["ExecStart"] + unit["ExecStartPre"] + unit["ExecReload"]))
    assert {"--config", "--control", "--admin", "--check"} == set(options)
    assert all(f"  {option} " in shown.stdout for option in options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SERVICES)
def test_services_are_started_again_with_what_was_stored(kind: str, name: str) -> None:
    unit = directives(kind, name)
    assert unit["RestartForceExitStatus"] == unit["SuccessExitStatus"] == [str(LEFT)]
    assert int(unit["FileDescriptorStoreMax"][0]) * 2 >= int(unit.get("LimitNOFILE", ["0"])[0])
    # Or the listening sockets would have no files any more.
    assert unit["RuntimeDirectoryPreserve"] == ["restart"]


@pytest.mark.parametrize(
    ("result", "exit_status", "waits"),
    [("success", "8", False), ("success", "0", False), ("exit-code", "2", False), ("signal", "KILL", True)],
)
def test_pause_before_a_start_is_after_failures_only(tmp_path: Path, result: str, exit_status: str, waits: bool) -> None:
    (command,) = directives("system", SERVICES[0])["ExecStopPost"]
    program, option, script = shlex.split(command.replace("$$", "$"))
    (tmp_path / "sleep").write_text("#!/bin/sh\necho slept $1\n")
    (tmp_path / "sleep").chmod(0o755)
    environment = {"PATH": str(tmp_path), "SERVICE_RESULT": result, "EXIT_STATUS": exit_status}
    done = subprocess.run([program, option, script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "slept 5\n" * waits


@pytest.mark.parametrize("kind", KINDS)
def test_socket_outlives_the_folder_of_its_service(kind: str) -> None:
    """systemd removes RuntimeDirectory= with all that is in it when the service ends."""
    (folder,) = directives(kind, "hmp-proxy@.service")["RuntimeDirectory"]
    socket = configparser.ConfigParser(interpolation=None, delimiters="=")
    socket.read(ROOT / "proxy" / "units" / kind / "hmp-proxy@.socket")
    path = Path(socket["Socket"]["ListenStream"])
    assert path == Path("%t", f"{folder}.sock")


def test_all_units_are_installed() -> None:
    for kind in KINDS:
        assert {path.name for path in (ROOT / "proxy" / "units" / kind).iterdir()} == set(UNITS)


@pytest.fixture(autouse=True)
def nothing_is_installed_here() -> Iterator[None]:
    """The tests leave the machine's own systemd alone."""
    before = [path.exists() for path in (module._SYSTEM_FOLDER / name for name in UNITS)]
    yield
    assert [path.exists() for path in (module._SYSTEM_FOLDER / name for name in UNITS)] == before
