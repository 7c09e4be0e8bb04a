"""Completion for zsh, in the form that its function _arguments takes."""

import argparse
from collections.abc import Iterator
from typing import Final

from release.completions.values import (
    Value,
    described_options,
    function_of,
    is_repeatable,
    kind_of,
    positional_of,
    summary_of,
)
from release.parsers import Program, choices_of, value_of

__all__ = ["zsh_completion"]

_KINDS: Final = {Value.WORD: "", Value.FILE: "_files", Value.FOLDER: "_files -/", Value.ADDRESS: "{address}", Value.NONE: ""}


def zsh_completion(program: Program) -> str:
    """Return the file for zsh, which zsh autoloads as a function of the same name."""
    address = f"{function_of(program)}_address"
    lines = [f"#compdef {program.name}\n\n", f"{address}() {{\n    compset -P unix:\n    _files\n}}\n\n"]
    if program.commands:
        lines.append("if ((CURRENT > 2)); then\n    case $words[2] in\n")
        for name, parser in program.commands.items():
            lines += [f"        {name})\n            shift words\n            ((CURRENT--))\n"]
            lines += ["            ", *_arguments(parser, address, " " * 16), "\n            return\n            ;;\n"]
        lines.append("    esac\nfi\n")
    lines += [*_arguments(program.parser, address, "    ", program)]
    return "".join([*lines, "\n"])


def _arguments(parser: argparse.ArgumentParser, address: str, indent: str, program: Program | None = None) -> Iterator[str]:
    """Yield the parts of one call. program: for its subcommands, which come first; None if this is for a subcommand."""
    yield "_arguments -s -S"
    for action, text in described_options(parser):
        for flag in action.option_strings:
            yield f" \\\n{indent}{_quoted(_option(action, flag, text, address))}"
    if program is not None and program.commands:
        commands = " ".join(f"{name}\\:{_quoted(summary_of(one))}" for name, one in program.commands.items())
        yield f" \\\n{indent}{_quoted(f'1:command:(({commands}))')}"
    elif (kind := positional_of(parser)) not in (Value.NONE, Value.WORD):
        yield f" \\\n{indent}{_quoted('*:file:' + _KINDS[kind].format(address=address))}"
    if parser.prog.endswith(" wrap"):
        yield f" \\\n{indent}{_quoted('*::QEMU:_normal')}"


def _option(action: argparse.Action, flag: str, text: str, address: str) -> str:
    escaped = "".join(f"\\{char}" if char in "[]:\\" else char for char in text)
    spec = "*" if is_repeatable(action) else ""
    kind = kind_of(action)
    if kind is Value.NONE:
        return f"{spec}{flag}[{escaped}]"
    can_be = f"({' '.join(choices_of(action))})" if kind is Value.CHOICE else _KINDS[kind].format(address=address)
    # A long option and its value may be one word.
    joint = "=" if flag.startswith("--") else "+"
    colon = "::" if action.nargs == "?" else ":"
    return f"{spec}{flag}{joint}[{escaped}]{colon}{(value_of(action) or '').strip('{}').replace(',', ' ')}:{can_be}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
