"""`hmp-proxy install-units`: what is put in place, and what is left as it is."""

import os
import re
from pathlib import Path

import pytest

from proxy.command_line.invocations import InstallUnitsInvocation
from proxy.commands import install_units as module
from proxy.commands.install_units import KEPT, UNITS, CannotInstallError, install_units
from proxy.commands.own_command import NotStartableError
from tests.support.proxy_command import run_proxy

PROGRAM = "/opt/hmpshim/bin/hmp-proxy"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the units are put, of both kinds; the program is installed where a service can start it."""
    monkeypatch.setattr(module, "own_command", lambda: (PROGRAM,))
    monkeypatch.setattr(module, "own_files", lambda: ())
    monkeypatch.setattr(module, "_SYSTEM_FOLDER", tmp_path / "systemd" / "user")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    return tmp_path / "systemd" / "user"


def install(*, user: bool = False, force: bool = False, only_prints: bool = False) -> tuple[str, int]:
    return install_units(InstallUnitsInvocation(is_for_user=user, is_forced=force, only_prints=only_prints))


def outcomes(told: str) -> list[str]:
    return re.findall(r"(?m)^/.*: (\w+)$", told)


@pytest.mark.parametrize("user", [False, True], ids=["system", "user"])
def test_units_are_put_in_place(folder: Path, user: bool) -> None:
    told, status = install(user=user)
    assert (outcomes(told), status) == (["written"] * 3, 0)
    assert sorted(path.name for path in folder.iterdir()) == sorted(UNITS)
    for name in UNITS:
        assert (folder / name).stat().st_mode & 0o777 == 0o644
        assert "@hmp-proxy@" not in (folder / name).read_text()
    service = (folder / "hmp-proxy.service").read_text()
    assert f"\nExecStart={PROGRAM} --config %E/hmpshim.toml " in service
    assert ("DynamicUser=" in service) is not user


def test_next_steps_are_those_of_the_system(folder: Path) -> None:
    told, _ = install()
    assert "in /etc/hmpshim.toml, or one VM alone in /etc/hmpshim/vms/NAME.toml:" in told
    assert "\n  systemctl enable --now hmp-proxy@vm1.socket " in told
    assert "at /run/hmp-proxy-vms/vm1.sock" in told
    assert "restart" not in told


def test_next_steps_are_those_of_the_user(folder: Path, tmp_path: Path) -> None:
    told, _ = install(user=True)
    assert f"in {tmp_path}/hmpshim.toml, or " in told
    assert "\n  systemctl --user daemon-reload\n" in told
    assert "at /run/user/7/hmp-proxy-vms/vm1.sock" in told
    assert "loginctl enable-linger" in told


def test_again_changes_nothing(folder: Path) -> None:
    install()
    before = {path: path.stat().st_ino for path in folder.iterdir()}
    told, status = install()
    assert (outcomes(told), status) == (["unchanged"] * 3, 0)
    assert {path: path.stat().st_ino for path in folder.iterdir()} == before


def test_units_of_another_version_are_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install()
    monkeypatch.setattr(module, "own_command", lambda: ("/usr/bin/hmp-proxy",))
    told, status = install()
    assert (outcomes(told), status) == (["updated", "updated", "unchanged"], 0)
    assert "\nExecStart=/usr/bin/hmp-proxy " in (folder / UNITS[0]).read_text()
    assert "  systemctl restart UNIT" in told


@pytest.mark.parametrize("how", ["changed", "another's", "no text", "masked"])
def test_what_an_operator_changed_is_kept(folder: Path, caplog: pytest.LogCaptureFixture, how: str) -> None:
    install()
    path = folder / UNITS[1]
    match how:
        case "changed":
            path.write_text(path.read_text().replace("WatchdogSec=30", "WatchdogSec=60"))
        case "another's":
            path.write_text("[Service]\nExecStart=/bin/true\n")
        case "no text":
            path.write_bytes(b"\xff")
        case _:
            path.unlink()
            path.symlink_to("/dev/null")
    before = path.read_bytes()
    told, status = install()
    assert (outcomes(told), status) == (["unchanged", "kept", "unchanged"], KEPT)
    advice = "put the changes into a drop-in (systemctl edit), and use --force"
    assert caplog.messages == [f"{path} was changed, and is kept: {advice}"]
    assert path.read_bytes() == before

    told, status = install(force=True)
    assert (outcomes(told), status) == (["unchanged", "updated", "unchanged"], 0)
    assert f"ExecStart={PROGRAM} " in path.read_text()
    assert not path.is_symlink()


def test_units_are_only_printed(folder: Path) -> None:
    told, status = install(only_prints=True)
    assert status == 0
    assert re.findall(r"(?m)^# (/.*)$", told) == [str(folder / name) for name in UNITS]
    assert not folder.exists()


def test_nothing_is_written_that_could_not_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's service has no sandbox that would hide the program, and an operator may know better."""
    monkeypatch.setattr(module, "own_files", lambda: ("/root/bin/hmp-proxy",))
    with pytest.raises(NotStartableError):
        install()
    assert not folder.exists()
    assert install(force=True)[1] == install(user=True)[1] == 0


def test_folder_cannot_be_made(folder: Path) -> None:
    folder.parent.write_text("")
    with pytest.raises(CannotInstallError, match=rf"^cannot install {folder}/hmp-proxy.service: Not a directory$") as caught:
        install()
    assert caught.value.exit_status == 3


def test_user_without_rights_is_told_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(CannotInstallError, match=r": Permission denied \(run it as root, or with --user\)$"):
        install()
    monkeypatch.setattr(module, "_SYSTEM_FOLDER", folder.parent)
    with pytest.raises(CannotInstallError, match=r": Permission denied$"):
        install(user=True)


@pytest.mark.parametrize("name", ["fchmod", "replace"])
def test_unit_is_written_whole_or_not_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, name, fail)
    with pytest.raises(CannotInstallError, match=r"No space left on device$"):
        install()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("given", ["", "relative"])
def test_users_folder_without_xdg_is_in_the_home(folder: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", given)
    monkeypatch.setenv("HOME", "/home/she")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    told, _ = install(user=True, only_prints=True)
    assert told.startswith("# /home/she/.config/systemd/user/hmp-proxy.service\n")
    assert f"/run/user/{os.geteuid()}/" in module._next_steps(is_for_user=True, is_update=False)


def test_program(folder: Path) -> None:
    done = run_proxy("install-units", "--user")
    assert (done.returncode, done.stderr) == (0, "")
    assert outcomes(done.stdout) == ["written"] * 3
    (folder / UNITS[0]).write_text("[Unit]\n")
    done = run_proxy("install-units", "--user")
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert done.stderr.startswith(f"hmp-proxy: {folder}/hmp-proxy.service was changed, and is kept: ")
