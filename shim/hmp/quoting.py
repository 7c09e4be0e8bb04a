"""How a tag is spelled for HMP, which takes words apart at blanks and knows quotes (monitor/hmp.c, get_str)."""

from shim.hmp.line import HMPLine, LoadVM

__all__ = ["in_quotes", "quote_tag"]

_ESCAPED = {"\n": r"\n", "\r": r"\r", '"': r"\"", "\\": r"\\"}


def quote_tag(tag: str) -> str | None:
    """Spell a tag as HMP reads it, in quotes only where it must be; None if HMP cannot be told it."""
    return next((text for text in (tag, in_quotes(tag)) if HMPLine.read(f"loadvm {text}").command == LoadVM(tag)), None)


def in_quotes(text: str) -> str:
    """Spell a text in quotes."""
    return '"' + "".join(_ESCAPED.get(char, char) for char in text) + '"'
