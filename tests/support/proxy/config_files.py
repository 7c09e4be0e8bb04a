"""Configuration files, and where a test writes its own."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.support.checkout import ROOT

__all__ = ["EXAMPLE", "SETTINGS", "VM1", "path"]

VM1: Final = '[[vm]]\nupstream = "unix:/q"\nlisten = "unix:/l"\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hmpshim.toml"


EXAMPLE: Final = (ROOT / "example.toml").read_text(encoding="utf-8")
SETTINGS: Final = re.sub(r"(?m)^#(?=[a-z\[])", "", EXAMPLE)
