"""Text of others made harmless for a terminal."""

__all__ = ["harmless", "printable"]


def printable(text: str) -> str:
    """Spell by escapes what a terminal would obey, or would not show."""
    return text if text.isprintable() else "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def harmless(text: str) -> str:
    """Spell by escapes what a terminal would obey, all but line breaks and tabs."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)
