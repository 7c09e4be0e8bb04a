"""Completion for bash, from 4.2 on. It uses nothing from the package bash-completion, which only finds the file."""

import argparse
from collections.abc import Iterator
from typing import Final

from release.completions.values import Value, commands_of, function_of, kind_of, positional_of
from release.parsers import Program, choices_of, options_of

__all__ = ["bash_completion"]

_HEAD: Final = """\
# bash completion for {name}

{function}()
{{
    # bash takes words apart at : and =, which stand in addresses and between an option and its value: together they are one.
    local word glue= i n=-1 prefix= kind= choices= options=
    local -a words=()
    for ((i = 1; i <= COMP_CWORD; i++)); do
        word=${{COMP_WORDS[i]}}
        if [[ $word == [:=]* || $glue ]] && ((n >= 0)); then
            words[n]+=$word
        else
            words[++n]=$word
        fi
        [[ $word == *[:=] ]] && glue=1 || glue=
    done
    local cur=${{words[n]-}} previous= command=
    ((n > 0)) && previous=${{words[n-1]}} && command=${{words[0]}}
    if [[ $cur == --*=* ]]; then
        previous=${{cur%%=*}} prefix=${{cur%%=*}}= cur=${{cur#*=}}
    fi
    COMPREPLY=()
"""
_TAIL: Final = """\
    if [[ ! $kind ]]; then
        case $cur in
            -*) kind=choices choices=$options ;;
            *) kind=$positional ;;
        esac
    fi
    if [[ $kind == addresses && $cur == unix:* ]]; then
        prefix+=unix: cur=${cur#unix:}
    fi
    case $kind in
        choices) mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$cur") ;;
        files | addresses) mapfile -t COMPREPLY < <(compgen -f -- "$cur") && compopt -o filenames 2>/dev/null ;;
        folders) mapfile -t COMPREPLY < <(compgen -d -- "$cur") && compopt -o filenames 2>/dev/null ;;
        programs) mapfile -t COMPREPLY < <(compgen -c -- "$cur") ;;
    esac
    COMPREPLY=("${COMPREPLY[@]/#/$prefix}")
    # What comes before the last : or = is no part of the word that bash replaces.
    word=$prefix$cur
    for i in : =; do
        if [[ $word == *$i* && $COMP_WORDBREAKS == *$i* ]]; then
            prefix=${word%"${word##*"$i"}"}
            COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
            word=${word#"$prefix"}
        fi
    done
}
"""
_KINDS: Final = {
    Value.WORD: "nothing",
    Value.FILE: "files",
    Value.FOLDER: "folders",
    Value.ADDRESS: "addresses",
    Value.NONE: "nothing",
}


def bash_completion(program: Program) -> str:
    """Return the file for bash."""
    lines = [
        _HEAD.format(name=program.name, function=function_of(program)),
        "    local positional=nothing\n",
        "    case $command in\n",
    ]
    for name, parser in reversed(list(commands_of(program))):
        lines += [f"        {name or '*'})\n", *_command(program, name, parser), "            ;;\n"]
    return "".join([*lines, "    esac\n", _TAIL, f"complete -F {function_of(program)} {program.name}\n"])


def _command(program: Program, name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    flags = [flag for action in options_of(parser) for flag in action.option_strings]
    yield f"            options='{' '.join(flags)}'\n"
    if not name and program.commands:
        # Only the first word can be a subcommand; after it, the program itself takes no positional arguments.
        yield f"            ((n == 0)) && positional=choices choices='{' '.join(program.commands)}'\n"
    else:
        yield f"            positional={_KINDS[positional_of(parser)]}\n"
    by_value: dict[str, list[str]] = {}
    for action in options_of(parser):
        if kind_of(action) is not Value.NONE:
            by_value.setdefault(_value(action), []).extend(action.option_strings)
    if by_value:
        yield "            case $previous in\n"
        for found, names in by_value.items():
            yield f"                {' | '.join(names)}) {found} ;;\n"
        yield "            esac\n"
    if name == "wrap":
        yield "            [[ \" ${words[*]:0:n} \" == *' -- '* ]] && kind=files\n"
        yield "            [[ $previous == -- ]] && kind=programs\n"


def _value(action: argparse.Action) -> str:
    kind = kind_of(action)
    found = f"kind=choices choices='{' '.join(choices_of(action))}'" if kind is Value.CHOICE else f"kind={_KINDS[kind]}"
    # If the value is optional, another option may follow.
    return f"[[ $cur == -* ]] || {found}" if action.nargs == "?" else found
