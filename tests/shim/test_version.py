"""The version that the programs tell is that of the distribution."""

import tomllib

from shim.version import VERSION
from tests.support.checkout import ROOT


def test_version_is_that_of_the_distribution() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"] == VERSION
