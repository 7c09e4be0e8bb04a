"""Which call a literal is in, and whether that call sends it to a monitor."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from audit.scanning.rules.lexing import Lexed, Literal
from audit.scanning.rules.qmp_calls import COMPARED_BEFORE

__all__ = ["DECLARES", "HMP_CALLS", "TALKS", "Call", "Use", "enclosing_calls", "is_compared", "use_of"]


class Use(Enum):
    """What a literal that reads like an HMP command is used for."""

    SENT = auto()
    # It is passed to something unknown, or kept.
    PERHAPS = auto()
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class Call:
    """A call around a place. name: in lower case, without `_`. spelled: as in the source. receiver: what precedes the name.

    begin: where its arguments begin.
    """

    name: str
    spelled: str
    receiver: str
    begin: int


# Names as Call has them.
HMP_CALLS: Final = re.compile(
    r"human(?:monitor)?(?:command|cmd)|humanmonitor|(?:qmp|send|run|exec|execute|vm|qtest|qemu|do|try)*v?hmp"
    r"(?:command|cmd|async|line|exec|execute|run|send)*|sendargscmd|sendmonitorcommand|(?:qemu|hmp)?monitor(?:command|cmd|exec)"
    r"|(?:vir)?(?:domain)?qemumonitorcommand(?:withfiles)?|(?:send|run|exec|execute)?qemu(?:monitor)?(?:command|cmd)"
)
TALKS: Final = re.compile(
    r"(?:[efv]?print(?:f|ln)?|e?println|log\w*|info|debug|warn\w*|err|error\w*|fatal\w*|trace|exception|critical|notice|panic|fail\w*"
    r"|skip\w*|abort|bail|die|croak|carp|confess|raise|throw|assert\w*|expect\w*|describe|context|it|test|perror|\w+(?:error|exception)"
    r"|puts|say|echo|help|usage|message|msg|note|str\w*cmp|starts_?with|ends_?with|hasprefix|hassuffix|contains|includes|\w*equals?"
    r"|to(?:strict)?equal\w*|tobe\w*|tohave\w*|tocontain\w*|tothrow\w*|tomatch\w*"
    r"|match\w*|search|find\w*|index\w*|count|replace\w*|split\w*|strip|remove\w*|compile|test_\w+|patch|getattr|hasattr|setattr|get"
    r"|monitorprintf|monprintf|error_?set\w*|\w*report|registersavevm\w*|unregistersavevm|translate|tr|gettext|in|if|while|switch"
    r"|title|label|setwindowtitle|settext|qaction|addaction|button|menuitem|requires?|import|open|join_path|isinstance|todo)",
    re.IGNORECASE,
)
DECLARES: Final = re.compile(
    r"add(?:argument|option|parser|flag|command)|option|flag|getopt\w*|string(?:var)?|bool(?:var)?|parser"
)
_TALKING_RECEIVERS: Final = re.compile(
    r"(?:^|[.>:])(?:console|log(?:ger|ging)?|test\.log|syslog|warnings|slog|zap|tracing)(?:\.|->|::)$", re.I
)
_SENDS: Final = re.compile(
    r"send\w*|write\w*|f?printf|fprint(?:ln)?|fputs|fwrite|dprintf|cmd\w*|\w*command|\w*cmd|execute\w*|exec|run\w*|query|put\w*|push"
    r"|emit|post|request|communicate|feed|type\w*|input|call|invoke|talk|rpc|print"
)
_MONITORS: Final = re.compile(r"mon|hmp|qmp|qemu|vm|sock|serial|pty|fifo|child|expect|proc|stdin|tel|domain|dom|conn", re.I)
_STANDARD_STREAMS: Final = re.compile(r"\bstd(?:err|out)\b", re.I)
# Functions that make a text; the call around them shows what it is for.
_MAKES_TEXT: Final = re.compile(
    r"(?:[asv]+n?printf|format|formatargs|string|str|from|tostring|toowned|tovec|into|bytes|bytearray|encode|new|cstr\w*|qstring\w*"
    r"|qlatin1string|arg|gstrdup\w*|strdup|concat|join|quote|byte|slice|utf8\w*|getbytes|list|tuple|ok|some|await|vec|box)"
)
_NAME_BEFORE: Final = re.compile(
    r"(?P<receiver>(?:[\w$@\]\)?]+\s*(?:\.|->|::)\s*)*)(?P<name>[A-Za-z_]\w*)[!?]?\s*(?:::<[^<>]*>)?\s*$"
)
_BLOCK_BEFORE: Final = re.compile(r"(?:\)|=>|->|\belse|\bdo|\btry|\|)\s*$")
_COMPARED_AFTER: Final = re.compile(r"\s*[\])]*\s*(?:==|!=|in\b|=>|eq\b)")
_IS_KEY: Final = re.compile(r"\s*:(?!:)")
_CHOSEN: Final = re.compile(r"\?\s*$")
# A statement that begins with a word and no parenthesis, as in Perl, Ruby and Python: `die "…"`, `raise X`.
_STATEMENT: Final = re.compile(r"(?:^|[;{}\n])[ \t]*(?P<word>[A-Za-z]\w*)[ \t]+(?P<rest>\{\s*\S+\s*\}\s*|[^;{}\n]*)$")
_FILE_HANDLE: Final = re.compile(r"\{?\s*(?:\$\w+|[A-Z_]{2,})\s*\}?\s*")
_REACH: Final = 800
_OPENED: Final = {")": "(", "]": "[", "}": "{"}


def enclosing_calls(code: str, at: int) -> Iterator[Call]:
    """Yield the calls around a place, from the inside out, within the statement and _REACH characters."""
    depth = 0
    for index in range(at - 1, max(-1, at - _REACH), -1):
        char = code[index]
        if char in ")]}":
            depth += 1
        elif char in "([{" and depth:
            depth -= 1
        elif (char == ";" and not depth) or (char == "{" and _BLOCK_BEFORE.search(code, max(0, index - 20), index)):
            return
        elif char == "(" and (match := _NAME_BEFORE.search(code, max(0, index - 100), index)) is not None:
            yield Call(match["name"].lower().replace("_", ""), match["name"], match["receiver"], index + 1)


def is_compared(code: str, literal: Literal) -> bool:
    """Return whether a literal is only compared with something, or is the key of a map."""
    before = code[max(0, literal.start - 40) : literal.start]
    if COMPARED_BEFORE.search(before) or _COMPARED_AFTER.match(code, literal.end):
        return True
    return _IS_KEY.match(code, literal.end) is not None and _CHOSEN.search(before) is None


def use_of(lexed: Lexed, literal: Literal, *, is_whole: bool) -> Use:
    """Return what a literal with an HMP command is used for. is_whole: it is more than the bare name of a command."""
    code = lexed.code
    if is_compared(code, literal):
        return Use.NOTHING
    call = next((call for call in enclosing_calls(code, literal.start) if not _MAKES_TEXT.fullmatch(call.name)), None)
    perhaps = Use.PERHAPS if is_whole else Use.NOTHING
    if call is None:
        return _use_in_statement(code, literal, perhaps)
    if HMP_CALLS.fullmatch(call.name):
        return Use.SENT
    if _talks(call, code[max(0, call.begin) : literal.start], code[literal.end : literal.end + 60]):
        return Use.NOTHING
    if not _SENDS.fullmatch(call.name):
        return perhaps
    if _MONITORS.search(call.receiver) or _MONITORS.search(code[call.begin : literal.start]) or _MONITORS.search(call.name):
        return Use.SENT
    return perhaps


def _talks(call: Call, before: str, after: str) -> bool:
    if _TALKING_RECEIVERS.search(call.receiver):
        return True
    if call.name in ("fprintf", "fprintln", "fprint", "fputs", "fwrite", "write", "writeln", "printf", "print"):
        is_to_person = _STANDARD_STREAMS.search(before) or _STANDARD_STREAMS.search(after.partition(";")[0].partition("\n")[0])
        return bool(is_to_person) or (call.name in ("printf", "print") and not before.strip(" \"'`bfr$"))
    return bool(TALKS.fullmatch(call.name) or DECLARES.fullmatch(call.name))


def _use_in_statement(code: str, literal: Literal, perhaps: Use) -> Use:
    statement = _STATEMENT.search(code, max(0, literal.start - 200), literal.start)
    if statement is None:
        return perhaps
    word = statement["word"].lower()
    if word in ("print", "printf", "say", "syswrite") and _FILE_HANDLE.fullmatch(statement["rest"]):
        return Use.NOTHING if _STANDARD_STREAMS.search(statement["rest"]) else Use.SENT
    return Use.NOTHING if TALKS.fullmatch(word) or word == "assert" else perhaps
