"""The version of hmpshim. pyproject.toml has it too, because asking the installation takes longer than a start may."""

from typing import Final

__all__ = ["VERSION"]

VERSION: Final = "0.1.0"
