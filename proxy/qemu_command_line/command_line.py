"""What a whole command line amounts to: whether its monitors are served by somebody else, or QEMU runs untouched.

QEMU runs untouched if it does not start a machine (help, a version, a question about machines), if it refuses the command line,
so that its own error is shown, and if there is nothing to serve. Everything else is served as far as possible, and one line
says what is not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from proxy.qemu_command_line import opts
from proxy.qemu_command_line.endpoints import Endpoint, Refused, Uncovered, Unknown, Version
from proxy.qemu_command_line.monitors import Monitor, find_monitors
from proxy.qemu_command_line.setup import ReadText, Setup, properties, take_apart

__all__ = ["CommandLine", "read"]

# QEMU prints something, or writes it into a file, and ends.
_ENDING: Final = ("h", "help", "version", "audio-help", "dump-vmstate")
# Options that can list their values. Other options refuse the word, or take it for a name.
_LISTING_TEXT: Final = """
    M accel audio audiodev boot chardev cpu d device display drive machine net netdev nic object plugin smp soundhw tpmdev trace
    vga watchdog
"""
_LISTING: Final = frozenset(_LISTING_TEXT.split())
# The keys that may have the question as their value: `-drive format=help`, `-nic model=?`.
_LISTED_KEYS: Final = frozenset({"type", "driver", "format", "model", "qom-type", "backend", "accel"})
_QUESTIONS: Final = frozenset({"help", "?"})
# `-set chardev.ID.KEY=VALUE` changes what earlier options say.
_SET: Final = ("chardev.", "mon.")


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What is known of a command line.

    Attributes:
        words: those after the program's name, as they came.
        monitors: in QEMU's order.
        untouched: why QEMU runs with these very words; None if monitors are served.
        notice: one line for standard error about what is not covered, without a newline; None if there is nothing to say.
        depends_on_version: whether other versions of QEMU make other monitors of these words. That is only so for a command
            line with `-qmp chardev:ID` before another `-qmp` or `-monitor`, or with `reconnect`.
    """

    words: tuple[str, ...]
    monitors: tuple[Monitor, ...]
    untouched: str | None
    notice: str | None
    depends_on_version: bool

    @property
    def can_be_controlled(self) -> bool:
        """Whether QEMU may have one more monitor: it creates a machine, and its command line is understood."""
        return self.untouched in (None, _NONE)

    @property
    def served(self) -> list[Monitor]:
        """The monitors that get another address."""
        if self.untouched is not None:
            return []
        return [monitor for monitor in self.monitors if isinstance(monitor.verdict, Endpoint)]


# A version before each known change, and one after the last.
_VERSIONS: Final = ((9, 1), (11, 0), (11, 1))


def read(words: Sequence[str], read_text: ReadText, version: Version = None) -> CommandLine:
    """Read the words after the program's name. read_text: reads the files for `-readconfig`."""
    setup = take_apart(words, read_text)
    monitors = find_monitors(setup, version)
    untouched = _why_nothing_is_served(setup) or _why_none_is_served(monitors)
    uncovered = [] if untouched in _SILENT else list(_uncovered(monitors))
    if untouched in (_SET_LATER, _WRITTEN):
        uncovered = [untouched]
    notice = f"not covered by the proxy: {'; '.join(uncovered)}" if uncovered else None
    depends_on_version = any(find_monitors(setup, other) != monitors for other in _VERSIONS)
    return CommandLine(tuple(words), tuple(monitors), untouched, notice, depends_on_version)


_ENDS: Final = "QEMU prints something and ends"
_NO_MACHINE: Final = "QEMU is only asked what it can do (-machine none)"
_WRONG: Final = "QEMU refuses the command line"
_SET_LATER: Final = "-set changes the options of character devices or monitors"
_WRITTEN: Final = "-writeconfig writes down how monitors are made"  # to QEMU 5.2
_NOT_KNOWN: Final = "a monitor has an option that is not known here"
_NONE: Final = "there is no monitor that can be served"
# In these cases nobody expects anything to be served.
_SILENT: Final = frozenset({_ENDS, _NO_MACHINE, _WRONG})


def _why_nothing_is_served(setup: Setup) -> str | None:
    if setup.has(*_ENDING) or any(_asks(text) for text in setup.arguments(*_LISTING)):
        return _ENDS
    if setup.has_bad_file or any(option.lacks_its_argument for option in setup.options):
        return _WRONG
    if _machine(setup) == "none":
        return _NO_MACHINE
    if any(text.startswith(_SET) for text in setup.arguments("set")):
        return _SET_LATER
    return _WRITTEN if setup.has("writeconfig") else None


def _asks(text: str) -> bool:
    """Return whether an option asks for a list, as `-device help`, `-device NAME,help` and `-drive format=?` do."""
    if text.startswith("{"):
        return False
    found = opts.parse(text, "type").parameters
    return any(
        parameter.key in _QUESTIONS or (parameter.key in _LISTED_KEYS and parameter.value in _QUESTIONS) for parameter in found
    )


def _machine(setup: Setup) -> str | None:
    types = [properties(text, "type").get("type") for text in setup.arguments("machine", "M")]
    return next((type for type in reversed(types) if type is not None), None)


def _why_none_is_served(monitors: Sequence[Monitor]) -> str | None:
    if any(isinstance(monitor.verdict, Refused) for monitor in monitors):
        return _WRONG
    if any(isinstance(monitor.verdict, Unknown) for monitor in monitors):
        return _NOT_KNOWN
    return None if any(isinstance(monitor.verdict, Endpoint) for monitor in monitors) else _NONE


def _uncovered(monitors: Sequence[Monitor]) -> Iterator[str]:
    for monitor in monitors:
        match monitor.verdict:
            case Uncovered(reason):
                yield f"{monitor} {reason}"
            case Unknown(key):
                yield f"{monitor} has an option that is not known here, '{key}'"
