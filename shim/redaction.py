"""Masking of confidential values in audit records, by kinds, with pseudonyms that stay the same for the same value.

It works on the members of a record as shim.audit's `to_members` gives them. The key of the pseudonyms is an argument.

Never masked, because records are of no use without them: the names of VMs, hosts, block nodes and devices, the names of
commands, job ids, and a client's own `id` in a reply.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass

from shim import hmp
from shim.confidential import Confidential
from shim.qmp import JSON

__all__ = ["redact"]

_BLANKS = " \t\n\v\f\r"
_WORD = re.compile(r"[^ \t\n\v\f\r]+")
# Of `file=/a,if=none`, `"a` and `/x` QEMU's errors name the parts.
_BETWEEN_PARTS = re.compile(r"[=,\"']+|^/")
# How QEMU's errors and the shim's name a snapshot, also one that the command did not name.
_NAMED_IN_TEXT = re.compile(r"(?i:\bsnapshots?(?: named)?|\bdelvm|\bVM state of|\btag) '([^']+)'")
_ABSOLUTE_PATH = re.compile(r"(?<![\w/])/[^\s'\",;:)\]}]+")
_SNAPSHOT_COMMANDS = frozenset({"savevm", "loadvm", "delvm"})
# A shorter word is part of too many others: it is masked where it stands alone.
_SHORT_CHARACTERS = 4


def redact(members: Mapping[str, JSON], kinds: Set[Confidential], key: bytes) -> dict[str, JSON]:
    """Give a record's members with everything masked that is of these kinds. key: of the pseudonyms, up to 64 bytes."""
    masked = dict(members)
    pseudonym = _pseudonyms(key)
    if Confidential.EXECUTABLES in kinds:
        client = members["client"]
        masked["client"] = client | {"exe": None if client["exe"] is None else pseudonym("exe", client["exe"])}
    if kinds & {Confidential.TAGS, Confidential.FILES}:
        masked |= _Masks(members, kinds, pseudonym).mask(members)
    return masked


_Pseudonym = Callable[[str, str], str]


def _pseudonyms(key: bytes) -> _Pseudonym:
    # Here, because it takes longer to load than all of this, and most logs mask nothing.
    from hashlib import blake2b

    def pseudonym(kind: str, value: str) -> str:
        digest = blake2b(value.encode(errors="surrogatepass"), key=key, person=kind.encode("ascii"), digest_size=4)
        return f"{kind}-{digest.hexdigest()}"

    return pseudonym


@dataclass(frozen=True, slots=True)
class _Line:
    """A command line that was taken apart. tag: None unless it is a well-formed command with one."""

    name: str
    rest: str
    tag: str | None

    @classmethod
    def of(cls, text: str) -> "_Line":
        name = hmp.command_name(text)
        tag = getattr(hmp.parse(text), "tag", None)
        return cls(name, text.strip(_BLANKS)[len(name) :], tag)

    @property
    def kind(self) -> str | None:
        """What its words are; None for `info`, whose words name topics, devices and nodes."""
        if self.name == "info":
            return None
        return "tag" if self.name in _SNAPSHOT_COMMANDS else "arg"


class _Masks:
    """The masks for one record: what it is known to name, and its texts with that masked."""

    def __init__(self, members: Mapping[str, JSON], kinds: Set[Confidential], pseudonym: _Pseudonym) -> None:
        self._tags = Confidential.TAGS in kinds
        self._files = Confidential.FILES in kinds
        self._pseudonym = pseudonym
        self._known: dict[str, str] = {}
        for line in (members["command_line"], members["after_failure"]):
            self._learn_line(line)
        if self._tags:
            for tag in _tags_of(members):
                self._learn(tag, "tag")
        self._pattern = re.compile("|".join(map(_spelling, sorted(self._known, key=len, reverse=True))) or r"(?!)")

    def mask(self, members: Mapping[str, JSON]) -> dict[str, JSON]:
        """Give the members that are masked."""
        rehearsed, vmstate = members["rehearsed"], members["vmstate"]
        return {
            "command_line": self._line(members["command_line"]),
            "after_failure": self._line(members["after_failure"]),
            "reason": self._text(members["reason"]),
            "nodes": [node | {"reason": self._text(node["reason"])} for node in members["nodes"]],
            "vmstate": None if vmstate is None else vmstate | {"reason": self._text(vmstate["reason"])},
            "qmp": [self._sent(sent) for sent in members["qmp"]],
            "rehearsed": None if rehearsed is None else self._rehearsed(rehearsed),
            "reply": self._reply(members["reply"], has_failed=members["failed"]),
        }

    def _learn_line(self, text: str | None) -> None:
        line = _Line.of(text or "")
        if line.tag is not None and self._tags:
            self._learn(line.tag, "tag")
        elif line.kind == "arg" or (line.kind == "tag" and self._tags and line.tag is None):
            for word in _WORD.findall(line.rest):
                for part in (word, *_BETWEEN_PARTS.split(word)):
                    self._learn(part, line.kind)

    def _learn(self, value: str, kind: str) -> None:
        if value:
            mask = self._pseudonym(kind, value)
            self._known.setdefault(value, mask)
            # HMP's texts have CR LF, also inside of a tag.
            self._known.setdefault(value.replace("\n", "\r\n"), mask)

    def _line(self, text: str | None) -> str | None:
        line = _Line.of(text or "")
        if text is None or line.kind is None or (line.kind == "tag" and not self._tags):
            return text
        if line.tag is not None:
            return f"{line.name} {self._pseudonym('tag', line.tag)}"
        kind = line.kind
        return line.name + _WORD.sub(lambda word: self._pseudonym(kind, word[0]), line.rest)

    def _text(self, text: str) -> str:
        text = self._pattern.sub(lambda found: self._known[found[0]], text)
        return _ABSOLUTE_PATH.sub(lambda found: self._pseudonym("file", found[0]), text) if self._files else text

    def _sent(self, sent: Mapping[str, JSON]) -> dict[str, JSON]:
        masked = {**sent, "arguments": self._arguments(sent["arguments"])}
        if "error" in sent:
            masked["error"] = self._error(sent["error"])
        if "return" in sent:
            masked["return"] = _counted(sent["return"])
        return masked

    def _arguments(self, arguments: Mapping[str, JSON]) -> dict[str, JSON]:
        tag = arguments.get("tag")
        return {**arguments, "tag": self._pseudonym("tag", tag)} if self._tags and isinstance(tag, str) else dict(arguments)

    def _rehearsed(self, rehearsed: Mapping[str, JSON]) -> dict[str, JSON]:
        text = rehearsed["text"]
        return {
            **rehearsed,
            "qmp": [{**sent, "arguments": self._arguments(sent["arguments"])} for sent in rehearsed["qmp"]],
            "outcome": self._text(rehearsed["outcome"]),
            # What the shim would have answered is nothing, an error, or the table of the snapshots.
            "text": self._text(text) if text is not None and text.startswith("Error: ") else _counted(text),
        }

    def _reply(self, reply: JSON, *, has_failed: bool | None) -> JSON:
        match reply:
            case {"return": str(text)} if has_failed:
                return {**reply, "return": self._text(text)}
            case {"return": value}:
                return {**reply, "return": _counted(value)}
            case {"error": error}:
                return {**reply, "error": self._error(error)}
        return reply

    def _error(self, error: JSON) -> JSON:
        match error:
            case {"desc": str(desc)}:
                return {**error, "desc": self._text(desc)}
        return _counted(error)


def _spelling(value: str) -> str:
    spelled = re.escape(value)
    return spelled if len(value) >= _SHORT_CHARACTERS else rf"(?<!\w){spelled}(?!\w)"


def _tags_of(members: Mapping[str, JSON]) -> Iterator[str]:
    """Give the tags that a record names outside of its command lines."""
    rehearsed = members["rehearsed"] or {"qmp": [], "outcome": "", "text": None}
    for sent in (*members["qmp"], *rehearsed["qmp"]):
        tag = sent["arguments"].get("tag")
        if isinstance(tag, str):
            yield tag
    texts = [members["reason"], rehearsed["outcome"], rehearsed["text"], *(node["reason"] for node in members["nodes"])]
    texts += [(members["vmstate"] or {}).get("reason"), *(sent.get("error", {}).get("desc") for sent in members["qmp"])]
    match members["reply"]:
        case {"return": str(text)} | {"error": {"desc": str(text)}}:
            texts.append(text)
    for text in texts:
        yield from _NAMED_IN_TEXT.findall(text or "")


def _counted(value: JSON) -> JSON:
    """Mask a whole value, unless it says nothing."""
    if not isinstance(value, dict | list | str) or not value:
        return value
    spelled = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return f"masked ({len(spelled)} characters)"
