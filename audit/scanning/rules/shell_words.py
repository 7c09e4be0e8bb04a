"""Shell as simple commands: their words, what they are piped to, and their here-documents.

For sh, bash and similar shells. Nothing is expanded, and text in quotes or in `$(…)` is one word.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from audit.scanning.rules.lexing import without_escapes

__all__ = ["Body", "Command", "Word", "commands_of", "without_comments"]


@dataclass(frozen=True, slots=True)
class Word:
    """A word. begin: of `text` in the script. text: without quotes around the whole word, and padded as in lexing.py."""

    begin: int
    text: str
    is_quoted: bool

    @property
    def value(self) -> str:
        return self.text.replace("\0", "")

    @property
    def basename(self) -> str:
        return self.value.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Body:
    """A here-document, or a here-string."""

    begin: int
    text: str


@dataclass(slots=True)
class Command:
    """A simple command. targets: what its output is redirected to, with the operator. consumers: what reads its output."""

    words: list[Word] = field(default_factory=list)
    bodies: list[Body] = field(default_factory=list)
    targets: list[tuple[str, Word]] = field(default_factory=list)
    is_piped: bool = False
    consumers: list["Command"] = field(default_factory=list)
    # For a command that ends a group, such as `}` and `done`: the index of the group's first command.
    group: int | None = None


_INNER: Final = r"\$\((?:[^()]|\((?:[^()]|\([^()]*\))*+\))*+\)"
# All quantifiers are possessive, so that an unclosed quote takes no more time than reading the rest of the file.
_TOKEN: Final = re.compile(
    rf"""(?P<comment>(?<![^\s;|&(])\#[^\n]*)
    |(?P<here>\d*<<-?[ \t]*(?P<mark>["']?)\\?(?P<delimiter>\w+)(?P=mark))
    |(?P<string>\d*<<<)
    |(?P<redirect>\d*(?:>>|>\||>&|<&|>|<|&>>?))
    |(?P<operator>\|\||&&|\|&?|;;|[;&()\n])
    |(?P<blank>[ \t\r]+|\\\n)
    |(?P<word>(?>{_INNER}|\{{\{{[^{{}}\n]*+\}}\}}|\$\{{[^{{}}\n]*+(?:\{{[^{{}}\n]*+\}}[^{{}}\n]*+)*+\}}|`[^`]*+`|\$?'[^']*+'
        |"(?>\\.|{_INNER}|[^"\\])*+"|\\[^\n]|[^\s;|&()<>"'`\\])++)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_WHOLE: Final = re.compile(r"""\$?(?P<quote>["'])(?P<inside>.*)(?P=quote)""", re.DOTALL)
_OPENING: Final = frozenset({"{", "do", "then", "else", "elif", "if", "while", "until", "!", "time", "-", "@", "RUN"})
_GROUPS: Final = frozenset({"{", "if", "while", "until", "for", "case", "select"})
_CLOSING: Final = frozenset({"}", "done", "fi", "esac"})


def commands_of(script: str) -> list[Command]:
    """Split a script into commands. Its end closes everything that is open."""
    reader = _Reader(script)
    for command in reader.read():
        reader.commands.append(command)
    commands = reader.commands
    for index in range(len(commands) - 1, -1, -1):
        command = commands[index]
        if command.is_piped and index + 1 < len(commands):
            command.consumers += [commands[index + 1], *commands[index + 1].consumers]
        if command.group is not None and (command.consumers or command.targets):
            for inner in commands[command.group : index]:
                # Commands of an inner group may already have them.
                inner.consumers += [one for one in command.consumers if all(one is not other for other in inner.consumers)]
                inner.targets += [one for one in command.targets if one not in inner.targets]
    return commands


def without_comments(script: str) -> str:
    """Replace comments with blanks, and escapes with what they stand for."""
    parts = [" " * len(match[0]) if match["comment"] else match[0] for match in _TOKEN.finditer(script)]
    return without_escapes("".join(parts))


class _Reader:
    def __init__(self, script: str) -> None:
        self.commands: list[Command] = []
        self._script = script
        self._command = Command()
        self._groups: list[tuple[str, int]] = []
        self._documents: list[tuple[str, Command]] = []
        # A redirection operator whose word has not come yet.
        self._redirect = ""

    def read(self) -> Iterator[Command]:
        at = 0
        while (match := _TOKEN.match(self._script, at)) is not None:
            at = match.end()
            if match["here"]:
                self._documents.append((match["delimiter"], self._command))
            elif match["string"] or match["redirect"]:
                self._redirect = match[0]
            elif match["word"] or match["other"]:
                self._take_word(match)
            elif match["operator"]:
                yield from self._take_operator(match["operator"])
                if match["operator"] == "\n" and self._documents:
                    at = self._take_documents(at)
        yield from self._finished()

    def _take_word(self, match: re.Match[str]) -> None:
        word = _word(match)
        redirect, self._redirect = self._redirect, ""
        if redirect.endswith("<<<"):
            self._command.bodies.append(Body(word.begin, word.text))
        elif ">" in redirect:
            self._command.targets.append((redirect, word))
        elif not redirect:
            self._add(word)

    def _add(self, word: Word) -> None:
        if not self._command.words and not word.is_quoted:
            if word.value in _GROUPS:
                self._groups.append((word.value, len(self.commands)))
            if word.value in _CLOSING and self._groups and self._groups[-1][0] != "(":
                self._command.group = self._groups.pop()[1]
            if word.value in _OPENING:
                return
        self._command.words.append(word)

    def _take_operator(self, operator: str) -> Iterator[Command]:
        if operator == ")" and not (self._groups and self._groups[-1][0] == "("):
            # The end of a pattern in `case`, in which `|` is not a pipe.
            while self.commands and self.commands[-1].is_piped:
                self.commands.pop()
            self._command = Command()
            return
        self._command.is_piped = operator.startswith("|") and operator != "||"
        if operator == "\n" and self.commands and not self._command.words and self.commands[-1].is_piped:
            return
        yield from self._finished()
        if operator == "(":
            self._groups.append(("(", len(self.commands)))
        elif operator == ")":
            self._command.group = self._groups.pop()[1]

    def _finished(self) -> Iterator[Command]:
        command, self._command, self._redirect = self._command, Command(), ""
        if command.words or command.bodies or command.group is not None or command.targets:
            yield command

    def _take_documents(self, at: int) -> int:
        for delimiter, command in self._documents:
            end = re.compile(rf"^[ \t]*{re.escape(delimiter)}[ \t\r]*$", re.MULTILINE).search(self._script, at)
            stop = len(self._script) if end is None else end.start()
            command.bodies.append(Body(at, self._script[at:stop]))
            at = stop if end is None else end.end()
        self._documents = []
        return at


def _word(match: re.Match[str]) -> Word:
    raw = match[0]
    whole = _WHOLE.fullmatch(raw)
    if whole is None or whole["quote"] in _unescaped(whole["inside"]):
        return Word(match.start(), raw, is_quoted=False)
    inside = whole["inside"]
    if whole["quote"] == '"' or raw.startswith("$"):
        inside = without_escapes(inside)
    return Word(match.start() + whole.start("inside"), inside, is_quoted=True)


def _unescaped(text: str) -> str:
    return re.sub(rf"\\.|{_INNER}", "", text, flags=re.DOTALL)
