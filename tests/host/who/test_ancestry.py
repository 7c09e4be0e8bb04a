"""Whose work a process does that only carries bytes."""

from pathlib import Path

from host.who.ancestry import Ancestor, telling_ancestor
from host.who.process_files import ProcessFiles
from tests.support.process_folder import add_process, set_parent


def found(folder: Path, *lines: str) -> Ancestor | None:
    """Look above the last of these processes, each of which is the parent of the next. The first has no parent."""
    for pid, line in enumerate(lines, 1):
        add_process(folder, pid, *line.split(" "))
        set_parent(folder, pid, pid - 1)
    return telling_ancestor(ProcessFiles(str(folder)), len(lines))


def test_script_that_pipes_into_socat(tmp_path: Path) -> None:
    ancestor = found(tmp_path, "/sbin/init", "/bin/bash /opt/nightly.sh", "socat - UNIX:/s")
    assert ancestor is not None
    assert (ancestor.pid, ancestor.running.name) == (2, "nightly.sh")


def test_wrappers_are_passed_over(tmp_path: Path) -> None:
    ancestor = found(tmp_path, "init", "python3 /opt/nightly.py", "sh -c x", "sudo x", "timeout 5 x", "nc -U /s")
    assert ancestor is not None
    assert (ancestor.pid, ancestor.running.name) == (2, "nightly.py")


def test_code_is_better_than_nothing(tmp_path: Path) -> None:
    ancestor = found(tmp_path, "init", "/usr/sbin/cron -f", "sh -c x|socat", "bash -c y", "socat - UNIX:/s")
    assert ancestor is not None
    assert (ancestor.pid, ancestor.running.is_code) == (4, True)


def test_person_at_a_shell(tmp_path: Path) -> None:
    assert found(tmp_path, "init", "sshd: me", "-bash", "socat - UNIX:/s") is None


def test_process_that_has_gone_or_is_hidden(tmp_path: Path) -> None:
    assert telling_ancestor(ProcessFiles(str(tmp_path)), 7) is None
    add_process(tmp_path, 7, "socat")
    set_parent(tmp_path, 7, 6)
    assert telling_ancestor(ProcessFiles(str(tmp_path)), 7) is None


def test_it_ends_at_some_height(tmp_path: Path) -> None:
    assert found(tmp_path, "python3 /opt/nightly.py", *["sudo x"] * 8, "socat") is None


def test_top_of_the_tree(tmp_path: Path) -> None:
    assert found(tmp_path, "sudo x", "socat") is None
