"""Where manual pages and completion files are put."""

import tomllib
from pathlib import Path

from release.share import FOLDERS, write_share
from tests.support.checkout import ROOT


def test_each_program_has_its_files_and_older_ones_are_replaced(tmp_path: Path) -> None:
    old = tmp_path / "share" / "man" / "man1" / "hmp-repl.1"
    old.parent.mkdir(parents=True)
    old.write_text("old")
    write_share(tmp_path)
    names = sorted(str(path.relative_to(tmp_path / "share")) for path in tmp_path.rglob("*") if path.is_file())
    assert names == [
        *(f"bash-completion/completions/hmp-{name}" for name in ("audit", "proxy", "repl")),
        *(f"fish/vendor_completions.d/hmp-{name}.fish" for name in ("audit", "proxy", "repl")),
        *(f"man/man1/hmp-{name}.1" for name in ("audit", "proxy", "repl")),
        *(f"zsh/site-functions/_hmp-{name}" for name in ("audit", "proxy", "repl")),
    ]
    assert old.read_text().startswith(".TH HMP-REPL 1")


def test_wheel_has_the_same_folders() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    assert tuple(told) == FOLDERS
