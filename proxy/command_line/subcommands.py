"""Which subcommand a command line calls."""

from collections.abc import Sequence
from typing import Final, NoReturn

from proxy.command_line import serve
from proxy.command_line.invocations import Invocation, Question

__all__ = ["SUBCOMMANDS", "parse_command_line"]

# Each has its own --help. `wrap` is handled elsewhere, before any of this is imported (proxy/__main__.py).
SUBCOMMANDS: Final = ("plan", *map(str, Question), "install-units")


def parse_command_line(arguments: Sequence[str]) -> Invocation:
    """Parse the command line. Exits with status 2 and one line on standard error if it is wrong.

    Raises ConfigError for a wrong configuration file.
    """
    match arguments:
        case ["plan", *others]:
            from proxy.command_line import plan  # here, like the others: the proxy itself starts without it

            return plan.parse(others)
        case [name, *others] if name in tuple(Question):
            from proxy.command_line import ask

            return ask.parse(Question(name), others)
        case ["install-units", *others]:
            from proxy.command_line import units

            return units.parse(others)
        case [name, *_] if name and not name.startswith("-"):
            _refuse(name)
        case _:
            return serve.parse(arguments)


def _refuse(name: str) -> NoReturn:
    """Exit with an error that names the subcommands, the most similar one first."""
    from difflib import SequenceMatcher  # here, as above

    from proxy.command_line.parsers import make_parser

    names = sorted((*SUBCOMMANDS, "wrap"), key=lambda known: -SequenceMatcher(None, name, known).ratio())
    make_parser("hmp-proxy", "", "").error(f"no such subcommand '{name:.40}'; there are {', '.join(names)}")
