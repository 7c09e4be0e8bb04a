"""What QEMU finds wrong with a value before its end, and where: from 11.1 on it looks at each token when it comes.

The framer looks less often, because most values are right, and are decoded at once when their last byte has come: only where an
answer is due, or the end of a read could be the last for a while. What it says then is what QEMU has said by then.
"""

from proxy.qmp_json.dialect import DialectError, tokens
from proxy.qmp_json.grammar import Family, Parser
from proxy.qmp_json.position import Place, Position

__all__ = ["EarlyErrors"]


class EarlyErrors:
    """Judges the value at hand token by token; `reset` it after each value.

    held: what is kept of the value, from earlier pieces and from the one at hand up to byte `mark`; the value goes on there in
    `data`, the piece at hand. place: counts the lines of the stream, whatever is in it.
    """

    def __init__(self, family: Family) -> None:
        self._family = family
        self.place = Position()
        self.reset()

    def begin_at(self, place: Place) -> None:
        """Go on with a stream of which others have read what comes before a place."""
        self.place = Position(place)

    def reset(self) -> None:
        self._parser = Parser(self._family)
        self._judged = 0  # bytes of the value that the parser has seen

    def look(self, held: bytearray, data: bytes, mark: int, upto: int) -> str | None:
        """Look at the tokens that were not looked at, up to byte `upto` of the piece. Return QEMU's text for an error."""
        offset = mark - (len(held) - self._judged)
        if upto <= offset:
            return None
        source = b"".join((held[self._judged :], data[mark : max(mark, upto)]))[: upto - offset]
        for begin, token in tokens(source):
            if (desc := self._feed(token, data, offset + begin)) is not None:
                return desc
        self._judged = len(held) + upto - mark
        return None

    def look_at(self, short: bytes, held: bytearray, data: bytes, begin: int) -> str | None:
        """Look at a token that stands for the last one held, which begins at byte `begin` of the piece."""
        self._judged = len(held)
        return self._feed(short, data, begin)

    def placed(self, desc: str, data: bytes, begin: int) -> str:
        """Return a text with the place of its token."""
        return self.place.of(data, begin) + desc

    def _feed(self, token: bytes, data: bytes, begin: int) -> str | None:
        try:
            self._parser.feed(token)
        except DialectError as exc:
            return self.placed(str(exc), data, begin)
        return None
