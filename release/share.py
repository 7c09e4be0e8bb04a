"""Manual pages and completion files, where an installation has them: below `share`.

They are data files of the wheel, so that pip puts them below its prefix, and a distribution's package into /usr/share.
dist/share is for installing them by hand.
"""

from collections.abc import Iterator
from pathlib import Path

from release.completions.bash import bash_completion
from release.completions.fish import fish_completion
from release.completions.zsh import zsh_completion
from release.man_pages import man_page
from release.parsers import programs

__all__ = ["FOLDERS", "write_share"]

# Where man(1), bash-completion, zsh and fish look for them. pyproject.toml lists the same folders.
FOLDERS = (
    "share/man/man1",
    "share/bash-completion/completions",
    "share/zsh/site-functions",
    "share/fish/vendor_completions.d",
)


def write_share(folder: Path) -> None:
    """Write all files below `share` in a folder, replacing older ones."""
    for path, text in _files():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", newline="\n")


def _files() -> Iterator[tuple[str, str]]:
    man, bash, zsh, fish = FOLDERS
    for program in programs():
        yield f"{man}/{program.name}.1", man_page(program)
        yield f"{bash}/{program.name}", bash_completion(program)
        yield f"{zsh}/_{program.name}", zsh_completion(program)
        yield f"{fish}/{program.name}.fish", fish_completion(program)
