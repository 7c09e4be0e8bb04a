"""Where a tool is: the path of its script or its program, as the records have it, without what differs from run to run."""

import re
from collections.abc import Iterator
from typing import Final

from shim.qmp import JSON
from shim.records.identity import lasting_name

__all__ = ["base_name", "path_of", "paths_of", "word_of"]

# What differs from run to run in folders' names: a release's date, Jenkins' second workspace and its durable tasks, pytest's, a
# hash of Nix's store.
_FLEETING_FOLDER: Final = re.compile(
    r"[0-9]{8,}|(?<=@)[0-9]+$|(?<=^durable-)[0-9a-f]{8}$|(?<=^pytest-)[0-9]+$|^[0-9a-z]{32}(?=-)"
)
# What mktemp(1) puts for the Xs of a template, in folders where such files are.
_RANDOM: Final = re.compile(r"(?:^|(?<=[._-]))(?=[a-z]*[0-9A-Z])[0-9A-Za-z]{6,}$")
_TEMPORARY: Final = ("/tmp/", "/var/tmp/", "/dev/shm/")
_DELETED: Final = " (deleted)"
# A folder or an archive of Python's that is run goes by its own name.
_MAIN: Final = "/__main__.py"


def base_name(path: str | None) -> str:
    """Return what a program's file is called; "" for None."""
    return (path or "").removesuffix(_DELETED).rpartition("/")[2]


def word_of(client: dict[str, JSON]) -> str | None:
    """Return the word of a sound client's command line that the tool is named after; None if there is none.

    It tells scripts of one name apart. This is asked of each record, so it looks at nothing but ends of words.
    """
    name, parent = client["tool"], client["parent"]
    if name:
        try:
            for word in (client if parent is None else parent)["argv"]:
                if word.endswith(name):
                    found: str = word
                    return found
        except (AttributeError, KeyError, TypeError):
            # What is in a command line, or a parent, was not looked at before.
            return None
    return None


def path_of(client: dict[str, JSON]) -> str | None:
    """Return where a sound client's tool is, with * for what differs from run to run; None if its record does not say."""
    path = next(paths_of(client), None)
    if path is None:
        return None
    *folders, name = path.split("/")
    is_temporary = path.startswith(_TEMPORARY)
    return "/".join([*(_lasting_folder(folder, is_temporary=is_temporary) for folder in folders), lasting_name(name)])


def paths_of(client: dict[str, JSON]) -> Iterator[str]:
    """Yield the paths of a sound client's tool as its record spells them, which may be relative."""
    name = client["tool"] or base_name(client["exe"])
    for process in (client["parent"], client):
        if isinstance(process, dict):
            argv = process.get("argv")
            words = (process.get("exe"), *(argv if isinstance(argv, list) else ()))
            yield from (path for word in words if isinstance(word, str) and (path := _path(word, name)))


def _path(word: str, name: str) -> str:
    path = word.removesuffix(_DELETED).removeprefix("./").rstrip("/")
    return path if "/" in path and path.removesuffix(_MAIN).rpartition("/")[2] == name else ""


def _lasting_folder(name: str, *, is_temporary: bool) -> str:
    found = _FLEETING_FOLDER.sub("*", lasting_name(name))
    return _RANDOM.sub("*", found) if is_temporary else found
