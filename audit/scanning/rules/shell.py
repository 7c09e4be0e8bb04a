"""The rules for shell: what a script writes to a monitor, and the tools and options that speak HMP."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from audit.scanning.rules.callers import TALKS
from audit.scanning.rules.findings import LOADVM_OPTION, PROMPT, Hit
from audit.scanning.rules.hmp_texts import COMPUTED, SnapshotLine, known_command, snapshot_lines
from audit.scanning.rules.languages import Language
from audit.scanning.rules.qmp_calls import qmp_calls
from audit.scanning.rules.shell_words import Body, Command, Word, commands_of, without_comments

__all__ = ["HMP_BY_VIRSH", "has_hmp_flag", "scan_shell", "virsh_command"]

HMP_BY_VIRSH: Final = "qemu-monitor-command --hmp"
_PROMPT_TOOL: Final = "qmp-shell -H"
_PROMPT_FLAG: Final = re.compile(r"-\w*H\w*|--hmp")
_A_MONITOR: Final = "a monitor"

_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*(?:\[[^\]]*\])?\+?=")
# Wrappers of a command, with their options, and the time of `timeout`.
_WRAPPERS: Final = re.compile(r"sudo|doas|env|exec|command|nohup|time|timeout|eval|run|retry|builtin|-.+|[\d.]+[smh]?")
_MONITOR_TOOLS: Final = frozenset(
    {"socat", "nc", "ncat", "netcat", "telnet", "qmp-shell", "hmp-repl", "hmp", "qm", "qmp", "websocat"}
)
_SHELLS: Final = frozenset({"sh", "bash", "zsh", "dash", "ksh", "ssh", "expect", "su", "xargs", "tclsh"})
# Programs that read what is piped to them and send it nowhere.
_FILTERS: Final = re.compile(
    r"[ef]?grep|sed|g?awk|tee|logger|wc|cut|tr|sort|uniq|cat|jq|head|tail|mail|less|more|column|fold|diff|cmp|fmt"
)
_PYTHON: Final = re.compile(r"python[\d.]*")
_PRINTS: Final = frozenset({"echo", "printf", "print"})
# Commands that take a text and do not send it.
_KEEPS: Final = re.compile(
    rf"{_FILTERS.pattern}|git|test|\[\[?|case|alias|export|local|declare|readonly|return|exit|read|trap|set|shift|unset|die|usage|cd"
    r"|printf|echo|print|mkdir|rm|cp|mv|touch|ls|find|qemu-img|-|:|source|\.|which|type|hash|rg|ag|ack|man"
    r"|_?(?:log|info|warn|err|error|die|fail|debug|notice|msg|message|note|say|usage|abort|success|skip)\w*",
    re.IGNORECASE,
)
_DECLARES: Final = frozenset({"export", "local", "declare", "readonly", "set"})
_SENDS: Final = re.compile(r"hmp|mon|qemu|qmp|send|socat|tmux|screen|type", re.IGNORECASE)
_QEMU: Final = re.compile(r"qemu(?!-img|-nbd|-io)|kvm", re.IGNORECASE)
_PLACES: Final = re.compile(r"mon|qemu|hmp|qmp|fifo|pipe|sock|/dev/tcp|\.in\b", re.IGNORECASE)
_FILES: Final = re.compile(
    r"/dev/(?:null|std\w+)|.*\.(?:log|txt|md|tmp|out|err|conf|cfg|json|ya?ml|sh|service)|.*log.*", re.IGNORECASE
)
_OPTION_INSIDE: Final = re.compile(r"(?:^|\s)(?P<option>-loadvm)(?:\s|$)")
# A pipe or a redirection after a blank. The search is anchored at line starts: from each blank, it would take quadratic time.
_IS_SCRIPT: Final = re.compile(r"(?:\A\S*+\s|\n)[^\n]*?(?:[|>]|<<)|qemu-monitor-command|qmp-shell")
# `$(…)` or backticks; or an unclosed `$(` up to the end, so that the search is not repeated from each one within it.
_SUBSTITUTED: Final = re.compile(r"\$\((?P<inner>.*)\)|`(?P<ticks>[^`]*)`|\$\(.*", re.DOTALL)
_WORTH_A_LOOK: Final = re.compile(r"savevm|loadvm|delvm|info\s+snapshots|qemu-monitor-command|qmp-shell")
# How deeply scripts may be nested. Beyond, nobody could read them.
_MOST_DEPTH: Final = 4


def scan_shell(script: str) -> list[Hit]:
    """Return what is found in a script, in no particular order."""
    hits = [call.hit for call in qmp_calls(without_comments(script), TALKS)]
    return hits + list(_of_script(script, 0))


def has_hmp_flag(words: Sequence[str]) -> bool:
    return "--hmp" in words


def virsh_command(words: Sequence[str]) -> str:
    """Return the HMP command of virsh's qemu-monitor-command. words: those that follow, including the domain."""
    rest: list[str] = []
    has_domain = False
    previous = ""
    for word in words:
        if previous == "--cmd":
            rest.append(word)
        elif previous == "--domain":
            has_domain = True
        elif word not in ("--hmp", "--pretty", "--cmd", "--domain", "--return-value", "--"):
            rest.append(word)
        previous = word
    return known_command(" ".join(rest if has_domain else rest[1:])) if len(rest) > (not has_domain) else COMPUTED


def _of_script(script: str, depth: int) -> Iterator[Hit]:
    if depth > _MOST_DEPTH or _WORTH_A_LOOK.search(script) is None:
        return
    for command in commands_of(script):
        yield from _of_command(command)
        for body in command.bodies:
            yield from _of_body(command, body, depth)
        is_python = any(_PYTHON.fullmatch(word.basename) for word in command.words)
        for word in command.words:
            yield from _of_python(word.text, word.begin) if is_python and word.is_quoted else _of_inner(word, depth)


def _of_command(command: Command) -> Iterator[Hit]:
    program, arguments = _program(command)
    name = "" if program is None else program.basename
    if name in _PRINTS:
        yield from _of_print(command, name, arguments)
        return
    words = [word.value for word in command.words]
    last_flag = max((index for index, word in enumerate(words) if _PROMPT_FLAG.fullmatch(word)), default=-1)
    for index, word in enumerate(command.words):
        if word.value == "qemu-monitor-command" and has_hmp_flag(words):
            yield Hit(word.begin, HMP_BY_VIRSH, virsh_command(words[index + 1 :]), is_sure=True)
            return
        if index < last_flag and word.basename in ("qmp-shell", "qmp-shell.py"):
            # If it reads a here-document, the commands are found in that.
            if not command.bodies:
                yield Hit(word.begin, _PROMPT_TOOL, PROMPT, is_sure=True)
            return
    yield from _options(command, program)
    if _KEEPS.fullmatch(name) is None:
        yield from _of_arguments(name, arguments)


def _program(command: Command) -> tuple[Word | None, list[Word]]:
    words = list(command.words)
    while words and (_ASSIGNMENT.match(words[0].value) or _WRAPPERS.fullmatch(words[0].value)):
        words.pop(0)
    return (words[0], words[1:]) if words else (None, [])


# --- What a script writes ---------------------------------------------------------------------------------------------


def _of_print(command: Command, name: str, arguments: list[Word]) -> Iterator[Hit]:
    """Yield what is found in echo and printf, which matter only if something reads their output."""
    texts = [word for word in arguments if not re.fullmatch(r"-[neEu\d]+|--", word.value)]
    if not texts:
        return
    is_sure = _reader(command)
    if is_sure is None:
        return
    if len(texts) == 1 or (texts[0].is_quoted and snapshot_lines(texts[0].text)):
        found = [(texts[0].begin + line.offset, line.command) for line in _lines(texts[0].text)]
    else:
        found = [(texts[0].begin, line.command) for line in snapshot_lines(" ".join(word.value for word in texts))]
        if name == "printf":
            found += [(word.begin, line.command) for word in texts[1:] for line in _lines(word.text)]
    for begin, what in found:
        yield Hit(begin, _A_MONITOR, what, is_sure=is_sure)


def _lines(text: str) -> list[SnapshotLine]:
    return snapshot_lines(text.replace("\\n", " \n").replace("\\r", " \r"))


def _reader(command: Command) -> bool | None:
    """Return who reads a command's output: True for a monitor, False for an unknown reader, None for none that matters."""
    for consumer in command.consumers:
        names = {word.basename for word in consumer.words}
        if names & _MONITOR_TOOLS or any(_PLACES.search(name) for name in names) or any(_to_place(consumer)):
            return True
    if any(_to_place(command)):
        return True
    programs = {program.basename for consumer in command.consumers if (program := _program(consumer)[0]) is not None}
    if any(_FILTERS.fullmatch(name) is None for name in programs):
        return False
    return False if any(not _FILES.fullmatch(word.value) and word.value not in "012" for _, word in command.targets) else None


def _to_place(command: Command) -> Iterator[bool]:
    for operator, word in command.targets:
        is_descriptor = operator.endswith("&") and word.value not in ("1", "2", "-")
        yield is_descriptor or (_PLACES.search(word.value) is not None and _FILES.fullmatch(word.value) is None)


def _of_body(command: Command, body: Body, depth: int) -> Iterator[Hit]:
    names = {word.basename for reader in (command, *command.consumers) for word in reader.words}
    if names & _SHELLS:
        yield from _shifted(_of_script(body.text, depth + 1), body.begin)
    if any(_PYTHON.fullmatch(name) for name in names):
        yield from _of_python(body.text, body.begin)
    if not (names & _MONITOR_TOOLS or any(_SENDS.search(name) for name in names if not name.startswith("-"))):
        return
    # Line by line, because between the commands there may be lines that are not HMP, such as telnet's.
    at = body.begin
    for line in body.text.splitlines(keepends=True):
        for found in snapshot_lines(line):
            yield Hit(at + found.offset, _A_MONITOR, found.command, is_sure=True)
        at += len(line)


def _of_python(program: str, begin: int) -> Iterator[Hit]:
    # Imported here because the rules for code import this module, for the shell in their literals.
    from audit.scanning.rules.literals import scan_code

    return _shifted(iter(scan_code(program, Language.PYTHON)), begin)


def _of_arguments(name: str, arguments: list[Word]) -> Iterator[Hit]:
    """Yield HMP command lines that are arguments of a command, as in `_send_qemu_cmd $h "savevm t"`."""
    is_sender = _SENDS.search(name) is not None and _QEMU.fullmatch(name) is None
    for index, word in enumerate(arguments):
        lines = _lines(word.text) if word.is_quoted else []
        for line in lines:
            if line.is_whole:
                yield Hit(word.begin + line.offset, _A_MONITOR, line.command, is_sure=is_sender)
        if not lines and is_sender and word.value in ("savevm", "loadvm", "delvm") and index + 1 < len(arguments):
            yield Hit(word.begin, _A_MONITOR, word.value, is_sure=True)


def _options(command: Command, program: Word | None) -> Iterator[Hit]:
    """Yield uses of QEMU's option -loadvm, even where options are only collected."""
    is_qemu = any(_QEMU.search(word.value) for word in command.words)
    name = "" if program is None else program.basename
    if _KEEPS.fullmatch(name) and name not in _DECLARES:
        return
    for word in command.words:
        if word.value == "-loadvm" or (word.value == "--loadvm" and is_qemu):
            yield Hit(word.begin, LOADVM_OPTION, LOADVM_OPTION, is_sure=is_qemu)
        elif "-loadvm" in word.text and (word.is_quoted or _ASSIGNMENT.match(word.text)):
            inside = _OPTION_INSIDE.search(re.sub(r"[\"'(]", " ", word.text))
            if inside is not None:
                yield Hit(word.begin + inside.start("option"), LOADVM_OPTION, LOADVM_OPTION, is_sure=True)


# --- Scripts in scripts -----------------------------------------------------------------------------------------------


def _of_inner(word: Word, depth: int) -> Iterator[Hit]:
    """Yield what is found in a word that is a script, or that contains one in `$(…)`."""
    if word.is_quoted and _IS_SCRIPT.search(word.text):
        yield from _shifted(_of_script(word.text, depth + 1), word.begin)
        return
    for match in _SUBSTITUTED.finditer(word.text):
        if match.lastgroup is None:
            break
        part = "ticks" if match["inner"] is None else "inner"
        yield from _shifted(_of_script(match[part], depth + 1), word.begin + match.start(part))


def _shifted(hits: Iterator[Hit], by: int) -> Iterator[Hit]:
    return (replace(hit, offset=hit.offset + by) for hit in hits)
