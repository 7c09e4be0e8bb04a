"""Refuse what is spelled as a rule but can match nothing. Such a rule with `deny` would silently let through what it should
stop.

Only what can never match is refused. A command that this QEMU does not have is accepted: the next QEMU may have it.
"""

import re
import string
from fnmatch import fnmatchcase
from typing import Final

from shim.errors import CommandPatternError
from shim.rules.asked import HMP
from shim.rules.deeds import SUBJECTS, fold
from shim.rules.risks import RISKS

__all__ = ["check_certificate", "check_executable", "check_pattern", "hint"]

# One character to be matched: a set in brackets, as fnmatch reads it, or any other character.
_TOKEN: Final = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)
_BRACKETS: Final = ("[", "]", "[]", "[!]")
# Names of QAPI and of HMP, folded (docs/devel/qapi-code-gen.rst, "Naming rules"; hmp-commands.hx).
_OF_NAMES: Final = f"{string.ascii_lowercase}{string.digits}-"
_IN_NAMES: Final = "names have only lower-case letters, digits, '-' and '_'"
_OF_TYPES: Final = "".join(set(string.printable) - set(string.whitespace) - set("[]"))
_IN_TYPES: Final = "names of types have no blanks and no brackets"
_TAGGED: Final = ("snapshot-save", "snapshot-load", "snapshot-delete")
_MIGRATES: Final = ("migrate", "migrate-incoming", "migrate-recover")
_SCHEME: Final = re.compile(r"(\w+):?")
_IPV6: Final = re.compile(r"\[([0-9a-fA-F.]*:[0-9a-fA-F:.]*\])")
_FOR_WHOM: Final = re.compile(r"\sfor\s+[\w-]+=")
_ATTRIBUTE: Final = re.compile(r"(?:^|[,;/\s])\s*\w+=")


def check_pattern(text: str) -> None:
    """Check a pattern that CommandPattern.parse has accepted. Raises CommandPatternError if it can match no command."""
    if text in RISKS:
        return
    if _FOR_WHOM.search(text):
        raise CommandPatternError(text, "name the clients of a rule under keys of their own, not among its commands")
    head, _, value = (part.strip() for part in text.partition(":"))
    name = fold(head)
    _check_signs(text, name, _OF_NAMES, _IN_NAMES)
    if name == HMP:
        _check_line(text, value)
    elif name in _MIGRATES and value:
        _check_uri(text, value)
    elif name in SUBJECTS and name not in _TAGGED:
        _check_signs(text, value, _OF_TYPES, _IN_TYPES)


def _check_signs(text: str, part: str, signs: str, allowed: str) -> None:
    for token in _TOKEN.findall(part):
        if token in _BRACKETS:
            raise CommandPatternError(text, f"'{token[0]}' has no matching bracket; write a set of characters as '[a-z]'")
        if token not in signs and not any(fnmatchcase(sign, token) for sign in signs):
            raise CommandPatternError(text, f"'{token}' matches nothing: {allowed}")


def _check_line(text: str, line: str) -> None:
    name, _, arguments = line.partition(" ")
    words = [name, *arguments.split()[:1]] if name == "info" else [name]
    for word in words:
        _check_signs(text, fold(word), _OF_NAMES, _IN_NAMES)


def _check_uri(text: str, uri: str) -> None:
    if scheme := _SCHEME.fullmatch(uri):
        raise CommandPatternError(text, f"it matches no URI; write '{scheme[1]}:*'")
    if host := _IPV6.search(uri):
        reason = f"'{host[0]}' stands for one of the characters in it; write '[[]{host[1]}' for that address"
        raise CommandPatternError(text, reason)


def hint(text: str) -> str:
    """Return advice on a pattern that cannot be parsed; "" if there is none."""
    if re.fullmatch(r"[\w*?@-]+(,[\w*?@-]+)+", text):
        return "; write ', ' between commands"
    if re.match(r"info\s", text):
        return f"; an HMP command is written '{HMP}: {text}'"
    return ""


def check_executable(path: str) -> None:
    """Raise ValueError for what is not the path of a program: paths are compared as a whole, from the root."""
    if path[:1] not in ("/", "*") or path != path.strip() or path.endswith("/"):
        raise ValueError(f"'{path:.60}' is not the path of an executable; write it from the root, such as /usr/bin/virsh")


def check_certificate(name: str) -> None:
    """Raise ValueError for what is hardly a certificate's common name: names are compared as a whole, without wildcards."""
    if name != name.strip():
        raise ValueError(f"certificate '{name:.60}' begins or ends with a blank; drop it")
    if "*" in name.removeprefix("*."):
        raise ValueError(f"certificate '{name:.60}': wildcards do not work there; name each certificate")
    if _ATTRIBUTE.search(name):
        raise ValueError(f"certificate '{name:.60}': write the common name alone, without 'CN=' or anything else")
