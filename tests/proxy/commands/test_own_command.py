"""How a unit starts the program that is running, and when it could not."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.commands import own_command as module
from proxy.commands.own_command import NotStartableError, check_visible, own_command, own_files, spell_command

SetProgram = Callable[[str], None]


@pytest.fixture
def started_as(monkeypatch: pytest.MonkeyPatch) -> SetProgram:
    """Have the program be started by this word."""
    return lambda word: monkeypatch.setattr(sys, "argv", [word, "install-units"])


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is hidden but /root: the tests' files lie in /tmp."""
    monkeypatch.setattr(module, "_HIDDEN_FOLDERS", ("/root",))


def test_installed_program_is_started_by_its_path(
    tmp_path: Path, started_as: SetProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By that of a link to it, if it was: what it leads to may be replaced."""
    (tmp_path / "real").write_text("#!/usr/bin/python3\n")
    (tmp_path / "hmp-proxy").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    started_as("./hmp-proxy")
    assert own_command() == (f"{tmp_path}/hmp-proxy",)
    assert {f"{tmp_path}/hmp-proxy", sys.executable, module.__file__} == set(own_files())


@pytest.mark.parametrize("word", ["hmpshim.pyz", "./hmpshim.pyz"])
def test_archive_is_started_by_this_interpreter(
    tmp_path: Path, started_as: SetProgram, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    path = tmp_path / "hmpshim.pyz"
    path.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "__file__", f"{word}/proxy/commands/own_command.pyc")
    started_as(word)
    assert own_command() == (sys.executable, str(path), "proxy")
    assert set(own_files()) == {str(path), sys.executable}


def test_checkout_is_started_as_a_module(tmp_path: Path, started_as: SetProgram) -> None:
    (tmp_path / "proxy").mkdir()
    (tmp_path / "proxy" / "__main__.py").write_text("")
    started_as(f"{tmp_path}/proxy/__main__.py")
    assert own_command() == ("/usr/bin/env", f"PYTHONPATH={tmp_path}", sys.executable, "-P", "-m", "hmpshim", "proxy")


@pytest.mark.parametrize("word", ["-c", "/none/hmp-proxy", "a\nb", 'a"b', "it's", "a\\b"])
def test_what_has_no_good_path_cannot_be_started(
    tmp_path: Path, started_as: SetProgram, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """Where there is no such file, and where its name is none for systemd."""
    monkeypatch.chdir(tmp_path)
    if not word.startswith(("-", "/")):
        Path(word).touch()
    started_as(word)
    with pytest.raises(NotStartableError, match="run hmp-proxy by a path that can be written into a unit") as caught:
        own_command()
    assert caught.value.exit_status == 5


@pytest.mark.parametrize(
    ("command", "spelled"),
    [
        (("/usr/bin/hmp-proxy",), "/usr/bin/hmp-proxy"),
        (("/opt/my tools/hmp-proxy",), '"/opt/my tools/hmp-proxy"'),
        (("/o/50%", "50 %"), '/o/50%% "50 %%"'),
        # Only what is started is no place for variables.
        (("/o/$HOME", "P=/o/$HOME"), "/o/$HOME P=/o/$$HOME"),
    ],
)
def test_command_is_spelled_for_a_unit(command: tuple[str, ...], spelled: str) -> None:
    assert spell_command(command) == spelled


@pytest.mark.parametrize("folder", ["/home", "/root", "/run/user", "/tmp", "/var/tmp"])
def test_what_the_sandbox_hides_cannot_be_started(folder: str) -> None:
    with pytest.raises(NotStartableError, match=f"^the service could not start {folder}/x: it sees nothing in {folder}; "):
        check_visible([f"{folder}/x"])


def test_links_are_followed(tmp_path: Path, seen: None) -> None:
    (tmp_path / "hmp-proxy").symlink_to("/root/bin/hmp-proxy")
    with pytest.raises(NotStartableError, match="it sees nothing in /root; "):
        check_visible([str(tmp_path / "hmp-proxy")])


@pytest.mark.usefixtures("seen")
def test_others_must_be_able_to_read_it() -> None:
    with tempfile.TemporaryDirectory(prefix="o", dir="/tmp") as folder:  # pytest's own are closed
        path = Path(folder, "hmp-proxy")
        path.touch(0o644)
        path.parent.chmod(0o755)
        check_visible([str(path)])
        for closed in (path.parent, path):
            closed.chmod(0o750)
            with pytest.raises(NotStartableError, match=rf"start {closed}: only its owner or group may read it; chmod it, "):
                check_visible([str(path)])
