"""Completion for fish: one line for each option."""

import argparse
from collections.abc import Iterator
from typing import Final

from release.completions.values import Value, commands_of, described_options, kind_of, positional_of, summary_of
from release.parsers import Program, choices_of

__all__ = ["fish_completion"]

# -x: a value that is not a file; -r -F: a value that may be a file. An address is a path too.
_KINDS: Final = {
    Value.NONE: "",
    Value.WORD: " -x",
    Value.FILE: " -r -F",
    Value.ADDRESS: " -r -F",
    Value.FOLDER: " -x -a '(__fish_complete_directories)'",
}


def fish_completion(program: Program) -> str:
    """Return the file for fish."""
    return "".join([f"# fish completion for {program.name}\n\n", f"complete -c {program.name} -f\n", *_lines(program)])


def _lines(program: Program) -> Iterator[str]:
    for name, parser in program.commands.items():
        when = _quoted("test (count (commandline -opc)) -eq 1")
        yield f"complete -c {program.name} -n {when} -a {name} -d {_quoted(summary_of(parser))}\n"
    for name, parser in commands_of(program):
        condition = _condition(program, name)
        for action, text in described_options(parser):
            yield f"complete -c {program.name}{condition}{_names(action)}{_value(action)} -d {_quoted(text)}\n"
        if positional_of(parser) in (Value.FILE, Value.FOLDER, Value.ADDRESS) or name == "wrap":
            yield f"complete -c {program.name}{condition} -F\n"


def _condition(program: Program, name: str) -> str:
    """Return the condition under which a line applies: a subcommand can only be the first word."""
    if not program.commands:
        return ""
    second = "test (count (commandline -opc)) -ge 2; and"
    if name:
        return f" -n {_quoted(f'{second} test (commandline -opc)[2] = {name}')}"
    others = " ".join(program.commands)
    return f" -n {_quoted(f'not begin; {second} contains -- (commandline -opc)[2] {others}; end')}"


def _names(action: argparse.Action) -> str:
    return "".join(f" -l {flag[2:]}" if flag.startswith("--") else f" -s {flag[1:]}" for flag in action.option_strings)


def _value(action: argparse.Action) -> str:
    kind = kind_of(action)
    if kind is Value.CHOICE:
        return f" -x -a {_quoted(' '.join(choices_of(action)))}"
    # fish would take the next word for an optional value.
    return "" if action.nargs == "?" else _KINDS[kind]


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
