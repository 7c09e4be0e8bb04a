"""How a tag is spelled for HMP, which splits words at blanks and knows quotes (monitor/hmp.c, get_str)."""

from shim.hmp.line import HMPLine, LoadVM

__all__ = ["in_quotes", "quote_tag"]

_ESCAPED = {"\n": r"\n", "\r": r"\r", '"': r"\"", "\\": r"\\"}


def quote_tag(tag: str) -> str | None:
    """Spell a tag for HMP, quoted only if necessary; return None if HMP cannot express it."""
    return next((text for text in (tag, in_quotes(tag)) if HMPLine.read(f"loadvm {text}").command == LoadVM(tag)), None)


def in_quotes(text: str) -> str:
    """Spell a text in double quotes with HMP's escapes."""
    return '"' + "".join(_ESCAPED.get(char, char) for char in text) + '"'
