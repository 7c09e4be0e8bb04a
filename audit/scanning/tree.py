"""Which files of a tree are read: all except links, binaries, files that are too big or excluded, and version control's."""

import os
import stat
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final

from audit.errors import SourceError
from audit.scanning.file_scan import BEGINNING_BYTES, is_binary, scan_source
from audit.scanning.rules.findings import FileFindings, Totals
from audit.scanning.rules.languages import language_of_file

__all__ = ["scan_trees"]

_VERSION_CONTROL: Final = frozenset({".git", ".hg", ".svn", ".bzr", "CVS"})
_BYTES_PER_MIB: Final = 1024 * 1024


def scan_trees(roots: Sequence[str], exclude: Sequence[str], limit_mib: int, totals: Totals) -> Iterator[FileFindings]:
    """Scan files, and folders with their content in the order of names, and count in `totals`.

    exclude: patterns with shell wildcards, for the path from the root or for any part of it. A root that is a link is followed,
    but no other link. Raises SourceError for a root that cannot be read; what cannot be read below a root goes into `totals`.
    """
    for root in roots:
        try:
            is_folder = stat.S_ISDIR(os.stat(root).st_mode)
            if is_folder:
                os.scandir(root).close()
        except (OSError, ValueError) as exc:
            raise SourceError(root, getattr(exc, "strerror", None) or str(exc)) from exc
        paths = _files_below(root, exclude, totals) if is_folder else iter([(root, root)])
        for path, name in paths:
            if (found := _scan_file(path, name, limit_mib, totals)) is not None:
                yield found


def _files_below(root: str, exclude: Sequence[str], totals: Totals) -> Iterator[tuple[str, str]]:
    """Yield the files of a folder, each with the name under which it is reported."""
    # That name begins with the root, unless the root is the working directory.
    prefix = "" if root == "." else root.rstrip("/") + "/"
    waiting: list[tuple[str, str, bool]] = [(root, "", True)]
    while waiting:
        path, relative, is_folder = waiting.pop()
        if not is_folder:
            yield path, f"{prefix}{relative}"
            continue
        try:
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: entry.name, reverse=True)
        except OSError as exc:
            totals.unread.append(f"cannot read {prefix}{relative}: {exc.strerror}")
            continue
        for entry in found:
            inner = f"{relative}/{entry.name}" if relative else entry.name
            if _is_wanted(entry, inner, exclude, totals):
                waiting.append((entry.path, inner, entry.is_dir(follow_symlinks=False)))


def _is_wanted(entry: os.DirEntry[str], relative: str, exclude: Sequence[str], totals: Totals) -> bool:
    if entry.name in _VERSION_CONTROL:
        return False
    if any(fnmatchcase(relative, pattern.rstrip("/")) or fnmatchcase(entry.name, pattern.rstrip("/")) for pattern in exclude):
        totals.excluded += 1
        return False
    if entry.is_symlink():
        totals.links += 1
        return False
    return entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)


def _scan_file(path: str, name: str, limit_mib: int, totals: Totals) -> FileFindings | None:
    """Scan one file. If it is in no known language, only its beginning is read."""
    limit_bytes = limit_mib * _BYTES_PER_MIB
    try:
        with open(path, "rb") as file:
            data = file.read(BEGINNING_BYTES)
            language = language_of_file(name, data)
            if language is not None and len(data) == BEGINNING_BYTES and not is_binary(data):
                data += file.read(limit_bytes + 1 - len(data))
    except OSError as exc:
        totals.unread.append(f"cannot read {name}: {exc.strerror}")
        return None
    if is_binary(data):
        totals.binary += 1
        return None
    if language is None:
        totals.other += 1
        return None
    if len(data) > limit_bytes:
        totals.too_big.append(name)
        return None
    totals.files += 1
    found = scan_source(name, data, language)
    if found is not None:
        totals.accepted += found.accepted
    return found
