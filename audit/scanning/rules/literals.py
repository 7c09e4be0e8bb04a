"""The rules for code: calls that carry HMP, and literals that read like HMP or like a shell command."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from audit.scanning.rules.callers import DECLARES, HMP_CALLS, TALKS, Use, enclosing_calls, is_compared, use_of
from audit.scanning.rules.findings import LOADVM_OPTION, PROMPT, Hit
from audit.scanning.rules.hmp_texts import COMPUTED, known_command, snapshot_lines
from audit.scanning.rules.languages import Language
from audit.scanning.rules.lexing import Lexed, Literal, lex
from audit.scanning.rules.qmp_calls import QMPCall, is_command_line, qmp_calls
from audit.scanning.rules.shell import HMP_BY_VIRSH, has_hmp_flag, scan_shell, virsh_command
from shim.hmp.replacements import REPLACEMENTS

__all__ = ["scan_code"]

_CALL: Final = re.compile(r"\b(?P<name>[A-Za-z_]\w*)\s*\(")
# Calls that carry HMP whatever the command is.
_ALWAYS_HMP: Final = re.compile(
    r"(?:qmp|execute|send)?human(?:monitor)?(?:command|cmd)|(?:send|run|exec|execute|qtest|vm)*hmp(?:command|cmd|async)*"
    r"|(?:vir)?(?:domain)?qemumonitorcommand(?:withfiles)?"
)
_BY_LIBVIRT: Final = re.compile(r"qemumonitorcommand")
_HMP_FLAG: Final = re.compile(r"COMMAND_HMP\b|,\s*(?:flags\s*=\s*)?1\s*,?\s*$")
_NO_TYPE: Final = (
    r"(?<!\breturn)(?<!\bawait)(?<!\byield)(?<!\bin)(?<!\bnot)(?<!\band)(?<!\bor)(?<!\belse)(?<!\bif)(?<!\bcase)(?<!\bgo)"
)
_DECLARED: Final = re.compile(rf"\bfunc\s*\([^()]*\)\s*$|[\w>\]]{_NO_TYPE}[ \t]+[*&]*(?:\w+::)*$|\w\s*[*&]+$")
_BODY: Final = re.compile(r"\)\s*(?::[^;{}()\n]*)?\{")
_OPTION: Final = re.compile(r"(?P<dashes>--?)loadvm(?:[ =]\S+)?")
_OPTION_INSIDE: Final = re.compile(r"(?:^|\s)-loadvm(?:\s|=|$)")
_OTHER_OPTIONS: Final = re.compile(r"qemu|kvm|(?:^|\s)-(?!loadvm)[A-Za-z]")
_SHELL: Final = re.compile(
    r"qemu-monitor-command\s|qmp-shell\S*\s|\|\s{0,20}\S{0,100}(?:sudo\s|socat|nc|ncat|netcat|telnet|qm)\b"
    r"|qemu[\w-]*\s.{0,2000}-loadvm",
    re.S,
)
# Characters after which a statement continues on the next line.
_GO_ON: Final = frozenset("([{,=+%\\\"'|&-*/<>?.")
_PREFIX: Final = re.compile(r"[bfruBFRU$@&]{1,2}")
# Placeholders of a program; the shell's `{ stop; }` begins with a blank.
_FILLED_IN: Final = re.compile(r"[$#]?\{[^{}\s][^{}\n]*\}")
_REACH: Final = 800


@dataclass(slots=True)
class _Scan:
    """One source. literals: those that no hit has used up yet, by their start."""

    lexed: Lexed
    language: Language
    literals: dict[int, Literal]
    starts: list[int]
    hits: list[Hit] = field(default_factory=list)

    def use_up(self, begin: int, end: int) -> None:
        """Mark the literals that overlap a range as used up."""
        first = max(0, bisect_right(self.starts, begin) - 1)
        for literal in self.lexed.literals[first : bisect_left(self.starts, end)]:
            if literal.end > begin:
                self.literals.pop(literal.start, None)

    def arguments(self, begin: int) -> int:
        """Return where the bracket that was opened just before `begin` is closed, but not more than _REACH characters on."""
        depth = 0
        for index in range(begin, min(len(self.lexed.code), begin + _REACH)):
            if self.lexed.code[index] in "([{":
                depth += 1
            elif self.lexed.code[index] in ")]}":
                if not depth:
                    return index
                depth -= 1
        return min(len(self.lexed.code), begin + _REACH)

    def within(self, begin: int, end: int) -> list[Literal]:
        """Return the literals in a range that are not used up."""
        return [literal for literal in self.all_within(begin, end) if literal.start in self.literals]

    def all_within(self, begin: int, end: int) -> Sequence[Literal]:
        return self.lexed.literals[bisect_left(self.starts, begin) : bisect_left(self.starts, end)]


def scan_code(text: str, language: Language) -> list[Hit]:
    """Return what is found in a source. language: not SHELL or LINES."""
    lexed = lex(text, language)
    if language is Language.PYTHON:
        lexed = _without_docstrings(lexed)
    scan = _Scan(
        lexed, language, {literal.start: literal for literal in lexed.literals}, [literal.start for literal in lexed.literals]
    )
    for call in qmp_calls(lexed.flat, TALKS):
        scan.hits.append(_with_later_line(scan, call))
    _find_calls(scan)
    _find_words(scan)
    for literal in list(scan.literals.values()):
        scan.hits += _of_literal(scan, literal)
    return scan.hits


def _without_docstrings(lexed: Lexed) -> Lexed:
    flat, kept = lexed.flat, []
    for literal in lexed.literals:
        if not _begins_statement(lexed.code, literal.start):
            kept.append(literal)
            continue
        flat = flat[: literal.start] + re.sub(r"[^\n]", " ", flat[literal.start : literal.end]) + flat[literal.end :]
    return replace(lexed, flat=flat, literals=tuple(kept))


def _begins_statement(code: str, at: int) -> bool:
    line = code.rfind("\n", 0, at) + 1
    if _PREFIX.fullmatch(code[line:at].strip() or "r") is None:
        return False
    return code[max(0, line - _REACH) : line].rstrip()[-1:] not in _GO_ON


def _with_later_line(scan: _Scan, call: QMPCall) -> Hit:
    """Use up the literals of a call. If its command line is computed, a later argument of the call may contain it."""
    hit = call.hit
    begin = hit.offset
    scan.use_up(begin, begin + 1)
    if call.value_at is not None:
        scan.use_up(call.value_at - 1, call.value_at)
    if hit.command != COMPUTED:
        return hit
    around = next(enclosing_calls(scan.lexed.code, begin), None)
    if around is None:
        return hit
    for literal in scan.within(begin, scan.arguments(around.begin)):
        if lines := snapshot_lines(literal.text):
            scan.use_up(literal.start, literal.end)
            return replace(hit, command=lines[0].command, is_sure=True)
    return hit


# --- Calls ------------------------------------------------------------------------------------------------------------


def _find_calls(scan: _Scan) -> None:
    for match in _CALL.finditer(scan.lexed.code):
        name = match["name"].lower().replace("_", "")
        if _ALWAYS_HMP.fullmatch(name) and not _is_declared(scan, match):
            scan.hits += _of_call(scan, match, name)


def _is_declared(scan: _Scan, match: re.Match[str]) -> bool:
    code = scan.lexed.code
    if _DECLARED.search(code, max(0, match.start() - 80), match.start()):
        return True
    if scan.language not in (Language.SCRIPT, Language.C):
        return False
    is_method = code[max(0, match.start() - 80) : match.start()].rstrip()[-1:] in (".", ">")
    return not is_method and _BODY.match(code, scan.arguments(match.end())) is not None


def _of_call(scan: _Scan, match: re.Match[str], name: str) -> Iterator[Hit]:
    end = scan.arguments(match.end())
    arguments = scan.lexed.code[match.end() : end]
    if not arguments.strip():
        return
    by_libvirt = _BY_LIBVIRT.search(name) is not None
    if by_libvirt and _HMP_FLAG.search(arguments) is None:
        return
    channel = f"{match['name']}() with the flag HMP" if by_libvirt else f"{match['name']}()"
    is_named = by_libvirt or name.startswith(("human", "qmphuman", "executehuman", "sendhuman"))
    given = next(iter(scan.within(match.end(), end)), None)
    if given is None:
        # If another rule has used up a literal, the call has already been reported.
        if not scan.all_within(match.end(), end):
            yield Hit(match.start(), channel, COMPUTED, is_sure=is_named)
        return
    if by_libvirt and given.value.lstrip().startswith("{"):
        return
    command = known_command(given.value)
    if is_named or command in REPLACEMENTS or command == COMPUTED:
        scan.use_up(given.start, given.end)
        yield Hit(match.start(), channel, command, is_sure=is_named or command != COMPUTED)


# --- Commands as a list of words --------------------------------------------------------------------------------------


def _find_words(scan: _Scan) -> None:
    for literal in list(scan.literals.values()):
        word = literal.value
        if word == "qemu-monitor-command" and not is_compared(scan.lexed.code, literal):
            words = _following_words(scan, literal.end)
            if has_hmp_flag(words):
                scan.hits.append(Hit(literal.begin, HMP_BY_VIRSH, virsh_command(words), is_sure=True))
                scan.use_up(literal.start, scan.arguments(literal.end))
        elif word.rpartition("/")[2] in ("qmp-shell", "qmp-shell.py"):
            words = _following_words(scan, literal.end)
            if any(re.fullmatch(r"-\w*H\w*|--hmp", other) for other in words):
                scan.hits.append(Hit(literal.begin, "qmp-shell -H", PROMPT, is_sure=True))


def _following_words(scan: _Scan, at: int) -> list[str]:
    """Return the following words of a list. What is not a literal gets a `$` in front, like a variable in shell."""
    end = scan.arguments(at)
    words: list[str] = []
    literals = {literal.start: literal for literal in scan.all_within(at, end)}
    while at < end:
        if at in literals:
            words.append(literals[at].value)
            at = literals[at].end
        elif scan.lexed.code[at] in ", \t\r\n":
            at += 1
        else:
            begin = at
            while at < end and at not in literals and scan.lexed.code[at] not in ",\n":
                at += 1
            if at not in literals or _PREFIX.fullmatch(scan.lexed.code[begin:at]) is None:
                words.append(f"${scan.lexed.code[begin:at]}")
    return words


# --- Literals ---------------------------------------------------------------------------------------------------------


def _of_literal(scan: _Scan, literal: Literal) -> Iterator[Hit]:
    if "loadvm" in literal.text and _is_option(scan, literal):
        at = literal.text.index("-loadvm")
        yield Hit(literal.begin + at, LOADVM_OPTION, LOADVM_OPTION, is_sure=True)
        return
    if _SHELL.search(literal.text):
        if use_of(scan.lexed, literal, is_whole=True) is not Use.NOTHING:
            yield from (replace(hit, offset=literal.begin + hit.offset) for hit in scan_shell(_as_script(literal.text)))
        return
    if not (lines := snapshot_lines(literal.text)):
        return
    if is_command_line(scan.lexed.flat, literal.start):
        use = Use.SENT
    else:
        use = use_of(scan.lexed, literal, is_whole=any(line.is_whole for line in lines))
    if use is Use.NOTHING:
        return
    channel = _channel(scan, literal)
    for line in lines:
        yield Hit(literal.begin + line.offset, channel, line.command, is_sure=use is Use.SENT)


def _as_script(text: str) -> str:
    """Turn each placeholder into one word of shell, including the parentheses in it."""
    return _FILLED_IN.sub(lambda match: "$" + "_" * (len(match[0]) - 1), text)


def _channel(scan: _Scan, literal: Literal) -> str:
    call = next(iter(enclosing_calls(scan.lexed.code, literal.start)), None)
    return f"{call.spelled}()" if call is not None and HMP_CALLS.fullmatch(call.name) else "a monitor"


def _is_option(scan: _Scan, literal: Literal) -> bool:
    """Return whether a literal passes QEMU's option -loadvm to something."""
    text = literal.value.strip()
    alone = _OPTION.fullmatch(text)
    is_alone = alone is not None and alone["dashes"] == "-"
    if not is_alone and (_OPTION_INSIDE.search(text) is None or _OTHER_OPTIONS.search(text) is None):
        return False
    call = next(enclosing_calls(scan.lexed.code, literal.start), None)
    if call is not None and DECLARES.fullmatch(call.name):
        return False
    return not is_compared(scan.lexed.code, literal) and use_of(scan.lexed, literal, is_whole=True) is not Use.NOTHING
