"""The version of hmpshim. pyproject.toml has it too: asking the installation for it would make the start too slow."""

from typing import Final

__all__ = ["VERSION"]

VERSION: Final = "0.1.0"
