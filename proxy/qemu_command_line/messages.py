"""The prefix of the lines that QEMU writes to standard error (util/error-report.c; `-msg`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from proxy.qemu_command_line import opts
from proxy.qemu_command_line.options import walk

__all__ = ["MessageForm"]


@dataclass(frozen=True, slots=True)
class MessageForm:
    """The prefix of a message.

    Attributes:
        has_time: whether it begins with the time.
        guest: the guest's name, if it is part of the prefix; else "".
    """

    has_time: bool = False
    guest: str = ""

    @classmethod
    def of(cls, words: Sequence[str]) -> Self:
        """Read the form from the words after the program's name. The last `-msg` replaces all earlier ones (QEMU 7.2 and
        11.1)."""
        asked: Mapping[str, str] = {}
        name = ""
        for option in walk(words):
            if option.name == "msg" and option.argument is not None:
                asked = opts.parse(option.argument).values()
            elif option.name == "name" and option.argument is not None:
                name = opts.parse(option.argument, "guest").values().get("guest", name)
        is_named = bool(opts.boolean(asked.get("guest-name", "off")))
        return cls(bool(opts.boolean(asked.get("timestamp", "off"))), name if is_named else "")

    def spell(self, program: str, text: str, now: datetime) -> str:
        """Return the line, without a newline. now: in any time zone."""
        time = f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ} " if self.has_time else ""
        guest = f"{self.guest} " if self.guest else ""
        return f"{time}{guest}{program}: {text}"
