"""A manual page for each program, made from its parsers: options, subcommands, and what `--help` says below them.

In man(7), as groff and mandoc read it. No page has a date, so that the same sources produce the same bytes.
"""

import argparse
import re
from collections.abc import Iterable, Iterator
from typing import Final

from release.parsers import Program, groups_of, help_of, positionals_of, value_of
from shim.version import VERSION

__all__ = ["man_page"]

_ALSO: Final = {
    "hmp-proxy": ("hmp-repl", "hmp-audit"),
    "hmp-repl": ("hmp-proxy", "hmp-audit"),
    "hmp-audit": ("hmp-proxy", "hmp-repl"),
}
_FILES: Final = {
    "hmp-proxy": (("/etc/hmpshim.toml", "what the units of hmp-proxy install-units serve"),),
    "hmp-repl": (
        ("~/.config/hmpshim/repl.toml", "keys, colors, aliases and what is asked (--settings); $XDG_CONFIG_HOME is respected"),
        ("~/.local/state/hmpshim/history", "the lines that were entered (--history); $XDG_STATE_HOME is respected"),
        ("/etc/hmpshim.toml, ~/.config/hmpshim.toml", "where VMs are looked for without ADDRESS"),
    ),
}
_ENVIRONMENT: Final = {
    "hmp-repl": (("NO_COLOR", "if it is set, the prompt has no colors"),),
}
# The headings of the text below the options: `addresses:`, with indented lines below.
_HEADING: Final = re.compile(r"(?m)^([a-z][^\n]*):\n(?=  )")


def man_page(program: Program) -> str:
    """Return the source of the page."""
    lines = [
        f'.TH {program.name.upper()} 1 "" "hmpshim {VERSION}" "User Commands"',
        ".SH NAME",
        f"{_text(program.name)} \\- {_text(program.summary)}",
        ".SH SYNOPSIS",
        *_synopsis(program.name, program.parser),
        *(line for name, parser in program.commands.items() for line in (".br", *_synopsis(f"{program.name} {name}", parser))),
        ".SH DESCRIPTION",
        _text(program.parser.description or ""),
        ".SH OPTIONS",
        *_options(program.parser, ".SS"),
        *_epilog(program.parser.epilog or "", ".SH"),
    ]
    if program.commands:
        lines.append(".SH COMMANDS")
        for name, parser in program.commands.items():
            lines += [f".SS {_text(f'{program.name} {name}')}", _text(parser.description or "")]
            lines += [*_options(parser, None), *_epilog(parser.epilog or "", None)]
    for heading, entries in (("FILES", _FILES), ("ENVIRONMENT", _ENVIRONMENT)):
        if program.name in entries:
            lines.append(f".SH {heading}")
            lines += [line for term, text in entries[program.name] for line in _entry(f"\\fI{_text(term)}\\fR", text)]
    lines += [".SH SEE ALSO", ", ".join(f"\\fB{_text(name)}\\fR(1)" for name in _ALSO[program.name])]
    return "\n".join(lines) + "\n"


def _synopsis(called: str, parser: argparse.ArgumentParser) -> list[str]:
    if parser.usage is not None:
        words = parser.usage.removeprefix(called).split()
    else:
        words = ["[OPTION...]", *map(_positional, positionals_of(parser))]
    return [f"\\fB{_text(called)}\\fR {_text(' '.join(words))}"]


def _positional(action: argparse.Action) -> str:
    shown = value_of(action) or ""
    return {"?": f"[{shown}]", "+": f"{shown}...", "*": f"[{shown}...]"}.get(str(action.nargs), shown)


def _options(parser: argparse.ArgumentParser, heading: str | None) -> Iterator[str]:
    """Yield positional arguments and options, each with its meaning. heading: the macro above each group; None for none."""
    for action in positionals_of(parser):
        if action.choices:
            continue  # the subcommands, which have a section of their own
        yield from _entry(f"\\fI{_text(_positional(action))}\\fR", help_of(parser, action))
    for title, options in groups_of(parser):
        if heading is not None and title != "options":
            yield f"{heading} {_text(title[:1].upper() + title[1:])}"
        for action in options:
            names = ", ".join(f"\\fB{_text(name)}\\fR" for name in action.option_strings)
            value = value_of(action)
            shown = "" if value is None else f" \\fI{_text(value)}\\fR"
            yield from _entry(names + (f" [{shown.strip()}]" if action.nargs == "?" else shown), help_of(parser, action))


def _entry(term: str, text: str) -> Iterable[str]:
    return (".TP", term, _text(text))


def _epilog(epilog: str, heading: str | None) -> Iterator[str]:
    """Yield the text below the options, in the layout that it has there."""
    first, *rest = _HEADING.split(epilog.strip("\n") + "\n")
    if first.strip():
        yield from (".PP", _text(first))
    for title, body in zip(rest[::2], rest[1::2], strict=True):
        if title.startswith("commands "):
            continue
        listed, _, prose = body.partition("\n\n")
        yield f"{heading} {_text(title.upper())}" if heading is not None else f".PP\n{_text(title[:1].upper() + title[1:])}:"
        yield from (".PP", ".nf", _text(listed.rstrip("\n")), ".fi")
        if prose.strip():
            yield from (".PP", _text(prose))


def _text(text: str) -> str:
    """Escape a text so that the formatter takes nothing in it for a command."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    escaped = "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in escaped)
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in escaped.strip("\n").split("\n"))
