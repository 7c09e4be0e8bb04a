"""A configuration file."""

from pathlib import Path
from typing import Final

import pytest

FILE: Final = """\
[[vm]]
name = "vm1"
upstream = "unix:/q1"
listen = "unix:/l1"
policy = "hmp"
[[vm]]
upstream = "unix:/q2"
listen = "unix:/l2"
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "hmpshim.toml"
    file.write_text(FILE)
    return str(file)
