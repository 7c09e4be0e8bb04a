"""The history: whose it is, what is kept in it, and that no secret is."""

import shutil
import threading
from pathlib import Path

import pytest
from prompt_toolkit.history import FileHistory

from repl.prompt.editor import history as module
from repl.prompt.editor.history import DiscreetHistory, history_in
from tests.support.raw_client import DEADLINE_S
from tests.support.waiting import wait_for


def keep(path: Path, *lines: str) -> DiscreetHistory:
    """Return the history of a prompt at which lines were entered, and which has ended."""
    history, trouble = history_in(path)
    assert trouble is None
    for line in lines:
        history.append_string(line)
    history.close()
    return history


def kept_in(path: Path) -> list[str]:
    return list(FileHistory(path).load_history_strings())


def test_history_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "state" / "hmpshim" / "history"
    keep(path, "info status")
    assert kept_in(path) == ["info status"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_history_that_is_there_is_read_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "history"
    keep(path, "first\nof two lines")
    keep(path, "second")
    assert kept_in(path) == ["second", "first\nof two lines"]


@pytest.mark.parametrize("line", [" info name", "\tinfo name", "\u00a0x"])
def test_line_that_begins_with_a_blank_is_not_kept(tmp_path: Path, line: str) -> None:
    path = tmp_path / "history"
    history = keep(path, line, "stop")
    assert kept_in(path) == ["stop"]
    # It is there to be mended as long as the prompt is.
    assert line in history.get_strings()


def test_history_is_kept_nowhere_where_none_is_wanted() -> None:
    history, trouble = history_in(None)
    history.append_string("info name")
    assert list(history.load_history_strings()) == []
    assert history.get_strings() == ["info name"]
    assert trouble is None


@pytest.mark.parametrize(("place", "reason"), [("file/history", "Not a directory"), ("folder", "Is a directory")])
def test_history_that_cannot_be_kept_says_why(tmp_path: Path, place: str, reason: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    history, trouble = history_in(tmp_path / place)
    history.append_string("info name")
    assert history.get_strings() == ["info name"]
    # Which of the two ways to the file fails depends on what is in the way.
    assert trouble in [f"the history is not kept: {tmp_path / place}: {text}" for text in (reason, "File exists")]


def test_line_that_cannot_be_written_is_told_once_and_remembered(tmp_path: Path) -> None:
    """A disk that is full, or a folder that is gone, ends no prompt."""
    told: list[str] = []
    history, _ = history_in(tmp_path / "state" / "history", tell=told.append)
    shutil.rmtree(tmp_path / "state")
    history.append_string("info name")
    wait_for(lambda: history._writer is not None and history._writer.problem is not None)
    history.append_string("info status")
    history.append_string("stop")
    history.close()
    assert history.get_strings() == ["info name", "info status", "stop"]
    assert told == ["an earlier line could not be kept in the history: No such file or directory"]


def test_line_that_is_not_utf8_is_remembered_but_not_kept(tmp_path: Path) -> None:
    """A terminal sends Latin-1, or such a name is pasted; prompt_toolkit passes its bytes on as lone surrogates."""
    told: list[str] = []
    path = tmp_path / "history"
    history, _ = history_in(path, tell=told.append)
    lines = ["info name", "info block | grep caf\udce9", "stop\ninfo \udce9", "info status"]
    for line in lines:
        history.append_string(line)
    history.close()
    assert history.get_strings() == lines
    assert kept_in(path) == ["info status", "info name"]
    assert told == ["a line that is not UTF-8 is not kept in the history"]


def test_disk_that_hangs_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()
    monkeypatch.setattr(FileHistory, "store_string", lambda self, string: hangs.wait())
    monkeypatch.setattr(module, "_WRITTEN_WITHIN_S", 0.0)
    history, _ = history_in(tmp_path / "history")
    try:
        for line in ("info name", "stop"):
            history.append_string(line)
        history.close()
        assert history.get_strings() == ["info name", "stop"]
    finally:
        hangs.set()
    monkeypatch.setattr(module, "_WRITTEN_WITHIN_S", DEADLINE_S)
    history.close()


def written_out(line: str) -> str:
    return line.replace("pw ", "set_password vnc ")


@pytest.mark.parametrize("is_kept", [True, False])
@pytest.mark.parametrize("line", ["set_pasword vnc hunter2", "pw hunter2", " set_password vnc hunter2"])
def test_secret_is_neither_kept_nor_remembered_and_that_is_told_once(tmp_path: Path, line: str, is_kept: bool) -> None:
    told: list[str] = []
    path = tmp_path / "history"
    history, _ = history_in(path if is_kept else None, expand=written_out, tell=told.append)
    for one in (line, "info name", line):
        history.append_string(one)
    history.close()
    assert history.get_strings() == ["info name"]
    assert told == ["a line with a password or a secret in it is not kept in the history"]
    assert not is_kept or "hunter2" not in path.read_text()
