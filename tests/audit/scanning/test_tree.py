"""Which files of a tree are read."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.errors import SourceError
from audit.scanning.rules.findings import Totals
from audit.scanning.tree import scan_trees

CALL = 'vm.hmp("savevm t")\n'


def scanned(*roots: str, exclude: tuple[str, ...] = (), limit_mib: int = 1) -> tuple[list[str], Totals]:
    totals = Totals()
    return [found.path for found in scan_trees(roots, exclude, limit_mib, totals)], totals


def plant(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(CALL)


def test_files_in_the_order_of_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "b.py", "a/z.py", "a/b/c.py", ".github/x.py", "README.md", "c.py")
    (tmp_path / "empty.py").write_text("pass\n")
    monkeypatch.chdir(tmp_path)
    paths, totals = scanned(".")
    assert paths == [".github/x.py", "a/b/c.py", "a/z.py", "b.py", "c.py"]
    assert (totals.files, totals.other) == (6, 1)
    assert scanned("a/", "b.py")[0] == ["a/b/c.py", "a/z.py", "b.py"]


def test_what_is_left_out(tmp_path: Path) -> None:
    plant(tmp_path, ".git/a.py", "vendor/a.py", "src/gen/a.py", "src/b_test.py", "src/c.py")
    (tmp_path / "binary").write_bytes(b"#!/bin/sh\n\0")
    (tmp_path / "big.py").write_text(CALL * 60000)
    (tmp_path / "long.py").write_text(CALL * 600)
    (tmp_path / "link.py").symlink_to(tmp_path / "src" / "c.py")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "fifo.py")
    paths, totals = scanned(str(tmp_path), exclude=("vendor/", "src/gen", "*_test.py"))
    assert paths == [f"{tmp_path}/long.py", f"{tmp_path}/src/c.py"]
    assert (totals.binary, totals.links, totals.excluded, totals.too_big) == (1, 2, 3, [f"{tmp_path}/big.py"])


def test_root_may_be_a_link(tmp_path: Path) -> None:
    plant(tmp_path, "tree/a.py")
    (tmp_path / "link").symlink_to(tmp_path / "tree")
    assert scanned(str(tmp_path / "link"))[0] == [f"{tmp_path}/link/a.py"]


def test_unreadable_files_and_folders_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root can read everything, so it is the system calls that refuse."""
    plant(tmp_path, "a.py", "b/c.py", "d.py")
    refused = {str(tmp_path / "a.py"), str(tmp_path / "b")}

    def refusing(call: Callable[..., Any]) -> Callable[..., Any]:
        def refuse(path: str, *rest: object) -> Any:
            if path in refused:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            return call(path, *rest)

        return refuse

    monkeypatch.setattr(os, "scandir", refusing(os.scandir))
    monkeypatch.setattr("builtins.open", refusing(open))
    paths, totals = scanned(str(tmp_path))
    monkeypatch.undo()
    assert paths == [f"{tmp_path}/d.py"]
    assert totals.unread == [f"cannot read {tmp_path}/{name}: Permission denied" for name in ("a.py", "b")]


def test_files_that_go_meanwhile_are_told(tmp_path: Path) -> None:
    plant(tmp_path, "a.py", "b/c.py", "d.py")
    totals = Totals()
    scanning = scan_trees([str(tmp_path)], (), 1, totals)
    next(scanning)
    (tmp_path / "b" / "c.py").unlink()
    (tmp_path / "b").rmdir()
    (tmp_path / "d.py").unlink()
    assert list(scanning) == []
    assert totals.unread == [f"cannot read {tmp_path}/{name}: No such file or directory" for name in ("b", "d.py")]


@pytest.mark.parametrize(("root", "reason"), [("/none", "No such file or directory"), ("a\0b", "embedded null")])
def test_root_that_cannot_be_read(root: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        scanned(root)
