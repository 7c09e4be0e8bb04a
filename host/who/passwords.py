"""What must not be kept of a command line: passwords are often on it, where every user of the machine can read them for a
moment, but a log is kept for years, and read by others.

The value after a word such as `password` or `token` is replaced, in each of the forms that programs use, and so are the values
of some programs' password options. It is better to replace one value too many. A secret that nothing announces is not found:
for that, `--audit-redact` masks the whole command line.

A client chooses its own command line, and a regular expression holds up all other threads. So hardly more of a word is searched
than a record may keep, and no pattern takes long for any text.
"""

import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from shim.records.passwords import holds_secret

__all__ = ["HIDDEN", "MOST_WORD_CHARS", "without_passwords"]

HIDDEN: Final = "***"
# How much of a word is searched; the rest is left out.
MOST_WORD_CHARS: Final = 320

# The keyword is the last part of a name, or is followed by little.
_NAME: Final = (
    r"[\w.-]{0,64}?"
    r"(?:pass(?:-?(?:word|wd|phrase|code))?|pwd|pw|psk|secret|token|credentials?|signature"
    r"|(?:api|access|private)[_-]?key|auth(?:orization)?|cookie|bearer)"
    r"(?:s|[0-9]{1,4}|[_.-]?(?:key|value|text|string|plain))?"
)
# `--password`, `-token`: the value is the next word, unless that is an option.
_OPTION: Final = re.compile(rf"-{_NAME}", re.IGNORECASE)
_LIKE_OPTION: Final = re.compile(r"-[A-Za-z]|--[a-z][a-z-]*(?:=.*)?", re.DOTALL)
# `--password=x` and `PGPASSWORD=x`, where the value takes the rest of the word, and `Authorization: x`.
_WHOLE: Final = re.compile(rf"{_NAME}['\"]?\s{{0,9}}[=:]\s{{0,9}}", re.IGNORECASE)
# A header inside a word.
_HEADER: Final = re.compile(
    r"(?<![\w-])((?:[\w-]{0,64}?auth(?:orization)?|(?:set-)?cookie)\s{0,9}:\s{0,9})[^'\"\r\n]+", re.IGNORECASE
)
# `password=x` inside a word: in a list of options, in a URL's query, in JSON and in code.
_ASSIGNED: Final = re.compile(
    rf"(?<![\w.-])({_NAME}['\"\]]{{0,2}}\s{{0,9}}[=:]\s{{0,9}})"
    r"(?:[bfru]{0,2}\"(?:[^\"\\]|\\.)*\"?|[bfru]{0,2}'(?:[^'\\]|\\.)*'?|[^\s,;&'\"}]+)",
    re.IGNORECASE | re.DOTALL,
)
# `https://user:password@host`, and `https://token@host`. The last @ is the one before the host.
_IN_URL: Final = re.compile(r"(\bhttps?)?://([^\s/'\"]*)@", re.IGNORECASE)
# Replaces HIDDEN while a word is searched for a secret: to shim.records.passwords neither character begins one.
_NO_SECRET: Final = '",'
# A command of HMP or QMP may be one word, as after `sh -c`, or several, as after `virsh qemu-monitor-command`. In such commands
# a secret is at most this many words after the command's name.
_WORDS_BEFORE: Final = 3
_WORD_BEFORE_CHARS: Final = 80
_BLANKS: Final = re.compile(r"(\s+)")


def _options(programs: str, options: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(programs.split(), tuple(options.split()))


# The options by which these programs take a password, in the next word or directly after a letter. In some of a program's
# commands an option may mean something else, such as a port.
_OPTIONS_OF: Final[dict[str, tuple[str, ...]]] = {
    **_options("curl", "-u --user -U --proxy-user"),
    **_options("mysql mysqldump mysqladmin mariadb mariadb-dump mongo mongosh mongodump mongorestore", "-p"),
    **_options("sshpass docker podman nerdctl skopeo helm", "-p"),
    **_options("redis-cli", "-a"),
    **_options("ldapsearch ldapadd ldapmodify ldapdelete ldapwhoami", "-w"),
    **_options("smbclient smbget rpcclient", "-U --user"),
    **_options("ipmitool zip unzip", "-P"),
    **_options("7z 7za 7zr 7zz", "-p"),
    **_options("xfreerdp xfreerdp3 wlfreerdp", "/p:"),
    **_options("openssl", "-k -K -psk -hmac"),
}
# Commands that take a password as a word without an option (virsh(1)).
_TAKING_ONE: Final = frozenset({"secret-set-value", "set-user-password"})


def without_passwords(argv: Sequence[str]) -> Iterator[str]:
    """Yield the words, with what looks like a secret replaced by HIDDEN, and each cut to MOST_WORD_CHARS."""
    hiding = _Hiding()
    before: deque[str] = deque(maxlen=_WORDS_BEFORE)
    for word in argv:
        shown = hiding.shown(word[:MOST_WORD_CHARS])
        if holds_secret(" ".join((*before, shown)).replace(HIDDEN, _NO_SECRET)):
            shown = HIDDEN
        before.append(shown[:_WORD_BEFORE_CHARS])
        yield shown


class _Hiding:
    """Goes through the words of one command line, or of code inside one of its words."""

    def __init__(self) -> None:
        self._is_value = False
        self._hides_rest = False
        self._options: tuple[str, ...] = ()

    def shown(self, word: str) -> str:
        is_value, self._is_value = self._is_value, False
        if self._hides_rest or (is_value and not _LIKE_OPTION.fullmatch(word)):
            return HIDDEN
        begin = _WHOLE.match(word)
        if begin is not None and begin.end() < len(word):
            return f"{begin[0]}{HIDDEN}"
        if option := next(filter(word.startswith, self._options), ""):
            return self._after(option, word)
        word = _hidden_within(word)
        if _BLANKS.search(word):
            code = _Hiding()
            return "".join(
                code.shown(part) if place % 2 == 0 and part else part for place, part in enumerate(_BLANKS.split(word))
            )
        name = os.path.basename(word)
        self._options = _OPTIONS_OF.get(name, self._options)
        self._hides_rest = name in _TAKING_ONE
        self._is_value = _OPTION.fullmatch(word) is not None
        return word

    def _after(self, option: str, word: str) -> str:
        """Hide the value of a known program's option, in the option's own word or else in the next one."""
        self._is_value = word == option
        if self._is_value:
            return word
        if not option.startswith("--"):
            return f"{option}{HIDDEN}"
        return f"{option}={HIDDEN}" if word.startswith(f"{option}=") else word


def _hidden_within(word: str) -> str:
    word = _HEADER.sub(rf"\1{HIDDEN}", word)
    word = _ASSIGNED.sub(rf"\1{HIDDEN}", word)
    return _IN_URL.sub(_hidden_in_url, word)


def _hidden_in_url(found: re.Match[str]) -> str:
    scheme, user = found[1] or "", found[2]
    name, colon, _ = user.partition(":")
    kept = f"{name}:{HIDDEN}" if colon else HIDDEN if scheme else user
    return f"{scheme}://{kept}@"
