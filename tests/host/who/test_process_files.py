"""What `/proc` says, of real processes and of none."""

import os
import subprocess
from pathlib import Path

from host.who.process_files import ProcessFiles
from tests.support.process_folder import add_process


def test_our_own_process() -> None:
    files, pid = ProcessFiles(), os.getpid()
    status = files.status(pid)
    assert status is not None
    assert status.parent == os.getppid()
    assert files.exe(pid) == os.readlink("/proc/self/exe")
    assert files.argv(pid)
    assert files.control_groups(pid)


def test_words_of_another_process() -> None:
    words = ("/bin/sh", "-c", "echo; read line", "", "é")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert ProcessFiles().argv(child.pid) == words
        child.communicate(b"\n")


def test_process_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    files = ProcessFiles(str(tmp_path))
    assert (files.argv(7), files.exe(7), files.status(7), files.control_groups(7)) == ((), None, None, "")


def test_command_line_is_bounded_and_may_be_no_text(tmp_path: Path) -> None:
    add_process(tmp_path, 7, "x" * 100_000)
    (tmp_path / "8").mkdir()
    (tmp_path / "8" / "cmdline").write_bytes(b"a\xff\0")
    files = ProcessFiles(str(tmp_path))
    assert [len(word) for word in files.argv(7)] == [32 * 1024]
    assert files.argv(8) == ("a\N{REPLACEMENT CHARACTER}",)


def test_title_that_is_padded_is_one_word(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cmdline").write_bytes(b"nightly: worker" + b"\0" * 30)
    assert ProcessFiles(str(tmp_path)).argv(7) == ("nightly: worker",)
