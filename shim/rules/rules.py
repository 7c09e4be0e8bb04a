"""Who may send which command: rules are tried in order, and the first that matches decides.

A rule allows or denies the commands that its patterns match, for the clients to which it applies. What no rule decides is left
to the role (shim/rules/permissions.py), which is a ready-made list of rules; the default role allows everything.

The two kinds of rules read a command differently, so that neither can be tricked. A rule that *denies* matches whatever may be
what it denies: the same thing done by HMP, by a twin with `x-` or in a transaction, and what is unknown. A rule that *allows*
matches only what is spelled as it says and certainly is that. So `deny = ["quit"]` stops HMP's `q` too, and `allow = ["quit"]`
lets it through only as QMP's command.

Patterns are

    NAME                        a QMP command, with shell wildcards; `_` and `-` are the same
    NAME: VALUE                 that command if the argument that it is about has such a value (deeds.py, SUBJECTS)
    human-monitor-command: LINE an HMP line: its name, the topic of `info`, and perhaps its arguments, with wildcards
    @monitor, @exec             whatever gives a client another monitor, or makes QEMU run a program (risks.py); to deny only

Nothing here knows how a client is answered, or about the FIFO of replies.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Final, Self

from shim.client import Client
from shim.errors import CommandPatternError
from shim.hmp.line import BLANKS, HMPLine
from shim.qmp import JSON
from shim.rules.asked import ALIASES, HMP, Asked, may_be_risky
from shim.rules.deeds import SUBJECTS, TRANSACTION, Deed, fold
from shim.rules.risks import RISKS

__all__ = ["EVERYBODY", "ClientRules", "CommandPattern", "Rule", "Verdict", "Whom"]

_NAME: Final = re.compile(r"[A-Za-z0-9_*?\[\]!-]+")
# A client may send any number of names, so only this many verdicts are kept, for names no longer than QEMU's own.
_KEPT_VERDICTS: Final = 1000
_LONGEST_KEPT_CHARS: Final = 64
_SHOWN_NAME_CHARS: Final = 100
# More `allowed_names` than any tool uses. Each new one needs a new regular expression, which takes two milliseconds at most.
_MOST_NAMES: Final = 64


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


@dataclass(frozen=True, slots=True)
class CommandPattern:
    """Which commands a rule means. text: the pattern as the operator wrote it."""

    text: str
    _name: re.Pattern[str]
    _value: re.Pattern[str] | None
    _topic: re.Pattern[str] | None
    _is_line: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a pattern. Raises CommandPatternError."""
        head, colon, rest = (part.strip() for part in text.partition(":"))
        if text in RISKS:
            return cls(text, _glob(text), None, None, False)
        if not _NAME.fullmatch(head):
            raise CommandPatternError(text, f"write the name of a QMP command, with wildcards, or {' or '.join(RISKS)}")
        if colon and not rest:
            raise CommandPatternError(text, "there is nothing after the colon")
        name = fold(head)
        if not colon:
            return cls(text, _glob(name), None, None, False)
        if name == HMP:
            return cls._of_line(text, rest)
        if name not in SUBJECTS:
            raise CommandPatternError(text, f"a value can follow only {', '.join(sorted([*SUBJECTS, HMP]))}")
        return cls(text, _glob(name), _glob(rest), None, False)

    @classmethod
    def _of_line(cls, text: str, line: str) -> Self:
        name, _, arguments = line.partition(" ")
        name, arguments, topic = fold(ALIASES.get(name, name)), arguments.strip(), None
        if name == "info" and arguments:
            word, _, arguments = arguments.partition(" ")
            topic, arguments = _glob(fold(word)), arguments.strip()
        return cls(text, _glob(name), _glob(arguments) if arguments not in ("", "*") else None, topic, True)

    @property
    def is_risk(self) -> bool:
        return self.text in RISKS

    def means_all(self, name: str) -> bool:
        """Return whether all commands with a folded name are meant, whatever their arguments."""
        return not (self.is_risk or self._is_line) and self._value is None and self._name.fullmatch(name) is not None

    def reads_arguments(self, name: str, *, is_literal: bool) -> bool:
        """Return whether it may depend on the arguments if a folded name is meant. is_literal: by its spelling only."""
        if self.is_risk:
            return may_be_risky(name)
        if name == HMP or (name == TRANSACTION and not is_literal):
            return True
        return self._value is not None and any(
            self._name.fullmatch(twin) for twin in (name, name.removeprefix("x-"), f"x-{name}")
        )

    def may_mean(self, asked: Asked) -> bool:
        """Return whether a command, or one that amounts to the same, may be meant."""
        if self.is_risk:
            return self.text in asked.risks
        if self._is_line:
            return asked.is_hmp and (asked.line is None or self._fits_line(asked.line, is_unsure=True))
        return self._fits(asked.deed, is_unsure=True) or any(self._fits(deed, is_unsure=True) for deed in asked.equivalents)

    def means(self, asked: Asked) -> bool:
        """Return whether a command is certainly meant."""
        if self.is_risk:
            return False
        if self._is_line:
            return asked.line is not None and self._fits_line(asked.line, is_unsure=False)
        return self._fits(asked.deed, is_unsure=False)

    def _fits(self, deed: Deed, *, is_unsure: bool) -> bool:
        if not self._name.fullmatch(deed.name):
            return False
        if self._value is None:
            return True
        if deed.values is None:
            return is_unsure
        fitting = map(self._value.fullmatch, deed.values)
        return any(fitting) if is_unsure else bool(deed.values) and all(fitting)

    def _fits_line(self, line: HMPLine, *, is_unsure: bool) -> bool:
        if not self._name.fullmatch(fold(ALIASES.get(line.name, line.name))):
            return False
        if self._topic is not None and not self._topic.fullmatch(fold(line.topic)):
            return False
        if self._value is None:
            return True
        arguments = _plain_arguments(line)
        return is_unsure if arguments is None else self._value.fullmatch(arguments) is not None

    def __str__(self) -> str:
        return self.text


def _plain_arguments(line: HMPLine) -> str | None:
    """Return a line's arguments with blanks as spaces, or a parsed snapshot command's tag; None if only HMP can read them."""
    tag = getattr(line.command, "tag", None)
    if isinstance(tag, str):
        return tag
    if '"' in line.arguments or "\\" in line.arguments:
        return None
    return " ".join(line.arguments.translate(_BLANKS_TO_SPACES).split(" ")).strip()


_BLANKS_TO_SPACES: Final = {ord(blank): " " for blank in BLANKS}


@dataclass(frozen=True, slots=True)
class Whom:
    """The clients to which a rule applies: every criterion that is given must fit, and one fits if any of its values does.

    What is unknown about a client, such as the uid of one on TCP, fits no value. executables: with shell wildcards. A process
    can become another program, so they do not stop one that wants to get around them.
    """

    listeners: tuple[str, ...] = ()
    uids: tuple[int, ...] = ()
    executables: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()

    def fits(self, client: Client) -> bool:
        if self.listeners and client.listener not in self.listeners:
            return False
        if self.uids and client.uid not in self.uids:
            return False
        if self.certificates and client.certificate not in self.certificates:
            return False
        exe = client.exe
        return not self.executables or (exe is not None and any(_glob(glob).fullmatch(exe) for glob in self.executables))


EVERYBODY: Final = Whom()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. name: what verdicts call it. is_literal: only the spelling counts, as always for a rule that allows."""

    is_allowed: bool
    patterns: tuple[CommandPattern, ...]
    whom: Whom = EVERYBODY
    name: str = ""
    is_literal: bool = False

    @classmethod
    def allow(cls, *patterns: str, name: str = "", whom: Whom = EVERYBODY) -> Self:
        """Return a rule that allows what the patterns mean. Raises CommandPatternError."""
        return cls(True, tuple(map(CommandPattern.parse, patterns)), whom, name, is_literal=True)

    @classmethod
    def deny(cls, *patterns: str, name: str = "", whom: Whom = EVERYBODY, is_literal: bool = False) -> Self:
        """Return a rule that denies what the patterns mean. Raises CommandPatternError."""
        return cls(False, tuple(map(CommandPattern.parse, patterns)), whom, name, is_literal=is_literal)

    def decides_all(self, name: str) -> bool:
        """Return whether the rule decides about all commands with a folded name, whatever their arguments."""
        return any(pattern.means_all(name) for pattern in self.patterns)

    def reads_arguments(self, name: str) -> bool:
        return any(pattern.reads_arguments(name, is_literal=self.is_literal) for pattern in self.patterns)

    def decides(self, asked: Asked) -> bool:
        if self.is_literal:
            return any(pattern.means(asked) for pattern in self.patterns)
        return any(pattern.may_mean(asked) for pattern in self.patterns)

    def __str__(self) -> str:
        return f"{'allow' if self.is_allowed else 'deny'} {', '.join(map(str, self.patterns))}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a command may be sent, and which rule says so. command: what is denied, in words; "" if allowed."""

    is_allowed: bool
    reason: str
    command: str = ""

    @property
    def text(self) -> str:
        """Return what the client is told: only what it sent, not which rule denies it or whether the command exists."""
        return f"{self.command} is not allowed here"

    def __str__(self) -> str:
        return f"{'allowed' if self.is_allowed else 'denied'} by {self.reason}"


class ClientRules:
    """The rules that apply to one client.

    layers: lists of rules; a command has to pass each list. A command about which no rule of a list decides passes it.
    """

    def __init__(self, layers: Sequence[Sequence[Rule]]) -> None:
        self._layers = layers
        self._kept: dict[str, Verdict] = {}
        # Names of commands that are allowed whatever their arguments, as far as judge() has seen them. It is replaced, never
        # changed, so that its identity shows whether there is a new one.
        self.allowed_names: frozenset[bytes] = frozenset()

    def judge(self, message: Mapping[str, JSON], *, is_cut: bool = False) -> Verdict:
        """Decide about a command.

        is_cut: only the name and the keys are certain to be complete; other strings may be cut. Such a command, and one that is
        too large to be examined (`Asked.is_too_large`), is denied unless the name alone decides.
        """
        name = _sole_name(message)
        if (kept := self._kept.get(name)) is not None:
            return kept
        verdict, by_name = self._decide(asked := Asked.of(message))
        if not (name and by_name) and (is_cut or asked.is_too_large):
            return Verdict(False, "default, as it is too long to be examined", _in_words(asked))
        # A verdict on an HMP command names its line, so it is not kept.
        if by_name and 0 < len(name) <= _LONGEST_KEPT_CHARS and not asked.is_hmp and len(self._kept) < _KEPT_VERDICTS:
            self._kept[name] = verdict
            if verdict.is_allowed and name.isascii() and len(self.allowed_names) < _MOST_NAMES:
                self.allowed_names |= {name.encode("ascii")}
        return verdict

    def judge_line(self, line: HMPLine) -> Verdict:
        """Decide about an HMP line, sent by a human-monitor-command."""
        return self.judge({"execute": HMP, "arguments": {"command-line": line.text}})

    def _decide(self, asked: Asked) -> tuple[Verdict, bool]:
        """Return a verdict, and whether it holds for all commands with this name."""
        reasons, by_name = [], True
        for layer in self._layers:
            for rule in layer:
                is_for_all = rule.decides_all(asked.deed.name)
                by_name = by_name and (is_for_all or not rule.reads_arguments(asked.deed.name))
                if is_for_all or rule.decides(asked):
                    break
            else:
                continue
            if not rule.is_allowed:
                return Verdict(False, rule.name, _in_words(asked)), by_name
            reasons.append(rule.name)
        return Verdict(True, reasons[0] if reasons else "default, as no rule matches it"), by_name


def _sole_name(message: Mapping[str, JSON]) -> str:
    """Return the name of a command, in-band or out-of-band, which rules do not distinguish; "" for both keys or none."""
    name = message.get("exec-oob" if "execute" not in message else "execute" if "exec-oob" not in message else "")
    return name if isinstance(name, str) else ""


def _in_words(asked: Asked) -> str:
    kind, name = ("HMP command", asked.line.full_name) if asked.line is not None else ("Command", asked.name)
    return f"{kind} '{name[:_SHOWN_NAME_CHARS]}'"
