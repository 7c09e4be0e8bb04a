"""What QEMU finds wrong with a value before its end, and where: since 11.1 it looks at each token when it comes.

The framer looks less often, because most values are valid, and are decoded in one go when their last byte has come. It looks
only when an error is to be answered, or at the end of a read, because nothing more may come for a while. It then reports
whatever QEMU has reported by then.
"""

from proxy.qmp_json.dialect import DialectError, tokens
from proxy.qmp_json.grammar import Family, Parser
from proxy.qmp_json.position import Place, Position

__all__ = ["EarlyErrors"]


class EarlyErrors:
    """Judge the current value token by token; `reset` this after each value.

    held: the part of the value that is kept, from earlier pieces and from the current one up to byte `mark`; from there on the
    value is in `data`, the current piece. place: counts the lines of the whole stream.
    """

    def __init__(self, family: Family) -> None:
        self._family = family
        self.place = Position()
        self.reset()

    def begin_at(self, place: Place) -> None:
        """Go on with a stream that somebody else has read up to a place."""
        self.place = Position(place)

    def reset(self) -> None:
        self._parser = Parser(self._family)
        self._judged = 0  # bytes of the value that the parser has seen

    def look(self, held: bytearray, data: bytes, mark: int, upto: int) -> str | None:
        """Judge the tokens not judged yet, up to byte `upto` of the piece. Return QEMU's text for an error, None if none."""
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
        """Judge a short token in place of the last one held, which begins at byte `begin` of the piece."""
        self._judged = len(held)
        return self._feed(short, data, begin)

    def placed(self, desc: str, data: bytes, begin: int) -> str:
        """Return an error's text, prefixed with the place of its token."""
        return self.place.of(data, begin) + desc

    def _feed(self, token: bytes, data: bytes, begin: int) -> str | None:
        try:
            self._parser.feed(token)
        except DialectError as exc:
            return self.placed(str(exc), data, begin)
        return None
