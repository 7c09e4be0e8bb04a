"""The parsers of the programs' command lines, from which completion files and manual pages are made.

Each parser is obtained by asking the program for its help, as a person does, so that exactly the real options are covered.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeAlias

from audit.command_line import parse_command_line as parse_audit
from host.configuration.options import Parser
from proxy.command_line.subcommands import SUBCOMMANDS
from proxy.command_line.subcommands import parse_command_line as parse_proxy
from proxy.wrapping.invocation import parse_wrap
from repl.command_line import parse_command_line as parse_repl

__all__ = ["Option", "Program", "choices_of", "groups_of", "help_of", "options_of", "positionals_of", "programs", "value_of"]

_Parse: TypeAlias = Callable[[Sequence[str]], object]
# An option, with all its spellings.
Option: TypeAlias = argparse.Action

# What hmp-audit reads times relative to; no time is read here.
_NO_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Program:
    """A program and its parsers. summary: for NAME in the manual page. commands: the parsers of subcommands, by name."""

    name: str
    summary: str
    parser: argparse.ArgumentParser
    commands: dict[str, argparse.ArgumentParser]


def programs() -> tuple[Program, ...]:
    """Return the three programs."""
    proxy = {name: _parser_of(parse_proxy, name) for name in SUBCOMMANDS}
    proxy["wrap"] = _parser_of(partial(parse_wrap, environment={}))
    audit = _parser_of(_parse_audit)
    (command,) = positionals_of(audit)
    reports = {name: _parser_of(_parse_audit, name) for name in choices_of(command)}
    return (
        Program("hmp-proxy", "do legacy tools' savevm and loadvm by QEMU's snapshot jobs", _parser_of(parse_proxy), proxy),
        Program("hmp-repl", "prompt for QEMU's monitor", _parser_of(parse_repl), {}),
        Program("hmp-audit", "report who still depends on HMP, and find it in sources", audit, reports),
    )


def _parse_audit(arguments: Sequence[str]) -> object:
    return parse_audit(arguments, _NO_TIME)


class _FoundError(Exception):
    """A parser was asked for its help."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__(parser.prog)
        self.parser = parser


def _parser_of(parse: _Parse, *words: str) -> argparse.ArgumentParser:
    """Return the parser for what follows these words."""
    with _help_found():
        try:
            parse([*words, "--help"])
        except _FoundError as found:
            return found.parser
    raise AssertionError(f"{words} has no --help")


@contextmanager
def _help_found() -> Iterator[None]:
    def found(parser: argparse.ArgumentParser, file: object = None) -> None:
        raise _FoundError(parser)

    setattr(Parser, "print_help", found)  # noqa: B010 - to a type checker a method is no attribute to set
    try:
        yield
    finally:
        del Parser.print_help


def options_of(parser: argparse.ArgumentParser) -> list[Option]:
    return [action for action in parser._actions if action.option_strings and action.help != argparse.SUPPRESS]


def positionals_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if not action.option_strings]


def groups_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[Option]]]:
    """Yield the groups of the help that have options, each with its title."""
    for group in parser._action_groups:
        options = [action for action in group._group_actions if action.option_strings]
        if options:
            yield group.title or "", options


def choices_of(action: argparse.Action) -> tuple[str, ...]:
    return tuple(map(str, action.choices or ()))


def value_of(action: argparse.Action) -> str | None:
    """Return the name of an option's value, or of a positional argument; None if an option takes no value."""
    if action.nargs == 0:
        return None
    if action.metavar or not action.choices:
        return str(action.metavar or action.dest.upper())
    return "{" + ",".join(choices_of(action)) + "}"


def help_of(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Return the help of an option as `--help` shows it, on one line."""
    return " ".join(((action.help or "") % {**vars(action), "prog": parser.prog}).split())
