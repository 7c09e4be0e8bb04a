"""Which program is the real QEMU."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.qemu_command_line.endpoints import Version
from proxy.wrapping.qemu_program import (
    NoQEMUError,
    find_qemu,
    mark_environment,
    refuse_circle,
    version_of,
)

NAME = "qemu-system-x86_64"
MARK = "HMPSHIM_WRAPPED_BY"


def program(folder: Path, name: str = NAME, *, text: str = "#!/bin/sh\n", mode: int = 0o755) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def searched(*folders: Path) -> dict[str, str]:
    return {"PATH": os.pathsep.join(map(str, folders))}


def test_first_on_the_path_that_is_not_the_wrapper(tmp_path: Path) -> None:
    wrapper = program(tmp_path / "a", "hmp-proxy")
    links, real = tmp_path / "links", tmp_path / "real"
    links.mkdir()
    (links / NAME).symlink_to(wrapper)
    found = program(real)
    for own_path in (wrapper, str(links / NAME)):
        assert find_qemu(NAME, searched(links, real), own_path) == found
        assert find_qemu(NAME, searched(real, links), own_path) == found


def test_wrapper_under_another_folders_name_is_the_wrapper(tmp_path: Path) -> None:
    """`/bin` is a link to `/usr/bin` on many systems."""
    wrapper = program(tmp_path / "usr")
    (tmp_path / "bin").symlink_to(tmp_path / "usr")
    with pytest.raises(NoQEMUError):
        find_qemu(NAME, searched(tmp_path / "usr", tmp_path / "bin"), wrapper)


def test_what_cannot_be_run_is_passed_over(tmp_path: Path) -> None:
    program(tmp_path / "a", mode=0o644)
    (tmp_path / "b" / NAME).mkdir(parents=True)
    found = program(tmp_path / "c")
    assert find_qemu(NAME, searched(tmp_path / "none", tmp_path / "a", tmp_path / "b", tmp_path / "c"), "/own") == found


def test_empty_folder_on_the_path_is_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert find_qemu(NAME, {"PATH": ":/none"}, "/own") == f"./{NAME}"


def test_path_that_is_not_set_is_the_systems() -> None:
    assert find_qemu("sh", {}, "/own") == "/bin/sh"


def test_path_of_a_program_is_taken_as_it_is(tmp_path: Path) -> None:
    assert find_qemu("/none/qemu", {}, "/own") == "/none/qemu"
    assert find_qemu("./qemu", searched(tmp_path), "/own") == "./qemu"


def test_wrapper_is_never_qemu(tmp_path: Path) -> None:
    wrapper = program(tmp_path / "a", "hmp-proxy")
    (tmp_path / NAME).symlink_to(wrapper)
    reason = "this is the wrapper itself; name the real one with --qemu or HMPSHIM_QEMU"
    with pytest.raises(NoQEMUError) as caught:
        find_qemu(str(tmp_path / NAME), {}, wrapper)
    assert str(caught.value) == f"cannot find the QEMU to run, {tmp_path / NAME}: {reason}"
    assert caught.value.exit_status == 127


def test_nothing_on_the_path(tmp_path: Path) -> None:
    reason = "there is none on PATH beside the wrapper; name it with --qemu or HMPSHIM_QEMU"
    with pytest.raises(NoQEMUError) as caught:
        find_qemu(NAME, searched(tmp_path), "/own")
    assert str(caught.value) == f"cannot find the QEMU to run, {NAME}: {reason}"


# -- circles --------------------------------------------------------------------------------------------------------------


def test_script_is_marked_and_a_program_is_not(tmp_path: Path) -> None:
    script = program(tmp_path)
    assert mark_environment(script, {"A": "b"}) == {"A": "b", MARK: str(os.getpid())}
    assert mark_environment("/bin/sh", {"A": "b", MARK: "1"}) == {"A": "b"}
    assert mark_environment("/none/qemu", {"A": "b"}) == {"A": "b"}


@pytest.mark.parametrize("starter", [os.getpid, os.getppid], ids=["itself", "its parent"])
def test_wrapper_that_is_started_by_what_it_started_is_refused(starter: Callable[[], int]) -> None:
    with pytest.raises(NoQEMUError) as caught:
        refuse_circle({MARK: str(starter())})
    told = "a script in its place starts the wrapper again; name the real one with --qemu or HMPSHIM_QEMU"
    assert str(caught.value).endswith(told)


@pytest.mark.parametrize("environment", [{}, {MARK: "0"}, {MARK: "-1"}, {MARK: ""}, {MARK: "x"}])
def test_others_are_not(environment: dict[str, str]) -> None:
    refuse_circle(environment)


# -- versions -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "version"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)", (7, 2)),
        ("QEMU emulator version 11.1.3", (11, 1)),
        ("something else", None),
    ],
)
def test_qemu_is_asked_for_its_version(tmp_path: Path, shown: str, version: Version) -> None:
    assert version_of(program(tmp_path, text=f"#!/bin/sh\necho '{shown}'\nexit 3\n")) == version


def test_program_that_cannot_be_run_has_no_version() -> None:
    assert version_of("/none/qemu") is None
