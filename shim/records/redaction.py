"""Masking of confidential values in audit records, by kind, with pseudonyms that stay the same for the same value.

It works on the members of a record as shim.records.audit_form's `to_members` returns them. The key of the pseudonyms is an
argument.

A tag has the same pseudonym everywhere, so that a report can still count by tag and by tool; without the key nobody can find
out by trial which tag it was. The command line and what the plan did show what is confidential; that is then searched for in
every text of the record, because QEMU's errors quote tags and paths. When in doubt, a word is masked.

Never masked, because records would be useless without them: the names of VMs, hosts, users, block nodes and devices, the names
of commands, job ids, and a client's own `id` in a reply.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from itertools import count

from shim.hmp.line import BLANKS, HMPLine
from shim.qmp import JSON
from shim.records.confidential import Confidential
from shim.records.excerpt import MAX_TEXT_CHARS

__all__ = ["redact"]

_WORD = re.compile(r"[^ \t\n\v\f\r]+")
# What separates the parts of words such as `file=/a,if=none`, `"a` and `/x`; QEMU's errors quote single parts.
_BETWEEN_PARTS = re.compile(r"[=,\"']+|^/")
# How QEMU's and the shim's errors name a snapshot, even one that the command did not name.
_NAMED_IN_TEXT = re.compile(r"(?i:\bsnapshots?(?: named)?|\bdelvm|\bVM state of|\btag) '([^']+)'")
# A quoted path may be relative and contain blanks and apostrophes; elsewhere a path begins with a slash and ends at a blank.
_QUOTED_OR_PATH = re.compile(
    r"(?<!\w)(?P<quote>['\"])(?P<quoted>[^\r\n]*?)(?P=quote)(?!\w)|(?P<path>(?<![\w/])/[^\s'\",;:)\]}]+)"
)
# A word after `info` and its topic that looks like an option, a device or a node. A file may look like that too, but a word
# with a dot is more likely a file.
_HARMLESS_WORD = re.compile(r"-[A-Za-z]|[#A-Za-z0-9_][A-Za-z0-9_-]*", re.ASCII)
_BLANK = re.compile(r"\s")
# A word of a client's command line that is an option without a value, or a placeholder for something that was left out.
_HARMLESS_ARGUMENT = re.compile(r"-[A-Za-z]|--[a-z]+(?:-[a-z]+)*|\*\*\*|…", re.ASCII)
# Shorter values occur within too many words: they are masked only where they stand alone.
_SHORT_CHARACTERS = 4


def redact(members: Mapping[str, JSON], kinds: Set[Confidential], key: bytes) -> dict[str, JSON]:
    """Return a record's members with everything of these kinds masked. key: of the pseudonyms, up to 64 bytes."""
    masked = dict(members)
    pseudonym = _pseudonyms(key)
    if kinds:
        masked["client"] = _client(members["client"], pseudonym, hides_programs=Confidential.EXECUTABLES in kinds)
    if kinds & {Confidential.TAGS, Confidential.FILES}:
        masked |= _Masks(members, kinds, pseudonym).mask(members)
    if kinds:
        # With the real checksum, anyone who guesses the text could confirm the guess.
        masked["cut"] = [{**cut, "sha256": pseudonym("sum", cut["sha256"])} for cut in members["cut"]]
    return masked


_Pseudonym = Callable[[str, str], str]


# 8 digits keep a report readable, and the probability that among a thousand tags two have the same pseudonym is 1 in 8,600. A
# tag and a file of the same name have different pseudonyms (blake2b's `person`).
def _pseudonyms(key: bytes) -> _Pseudonym:
    # Imported here because it takes longer to load than this whole module, and most logs mask nothing.
    from hashlib import blake2b

    def pseudonym(kind: str, value: str) -> str:
        digest = blake2b(value.encode(errors="surrogatepass"), key=key, person=kind.encode("ascii"), digest_size=4)
        return f"{kind}-{digest.hexdigest()}"

    return pseudonym


def _client(client: JSON, pseudonym: _Pseudonym, *, hides_programs: bool) -> JSON:
    """Mask who asked. Any word of argv may be a tag or a path, so only options and words that name the program are kept."""

    def program(text: str | None) -> str | None:
        return pseudonym("exe", text) if hides_programs and text is not None else text

    def word(text: str, place: int) -> str:
        # With a blank in it, argv[0] is a title that the process wrote itself, which may say what it works on.
        if (place == 0 and not _BLANK.search(text)) or text.rpartition("/")[2] == client["tool"]:
            return str(program(text))
        return text if _HARMLESS_ARGUMENT.fullmatch(text) else pseudonym("arg", text)

    def process(members: JSON) -> JSON:
        return members | {"exe": program(members["exe"]), "argv": list(map(word, members["argv"], count()))}

    return process(client) | {
        "tool": client["tool"] if client["prompt"] else program(client["tool"]),
        "unit": program(client["unit"]),
        "parent": None if client["parent"] is None else process(client["parent"]),
        "connected_as": program(client["connected_as"]),
    }


@dataclass(frozen=True, slots=True)
class _Words:
    """A command line in two parts, both as they were written: what may be shown, and the words that may be confidential.

    head: the name, with the topic for `info`. rest: what follows. tag: None unless the line is well-formed and has one. kind:
    what the words of the rest are, "tag" or "arg".
    """

    head: str
    rest: str
    tag: str | None
    kind: str
    is_info: bool

    @classmethod
    def of(cls, line: HMPLine) -> "_Words":
        text = line.text.strip(BLANKS)
        head = line.name
        if line.topic:
            head = text[: text.index(line.topic, len(head)) + len(line.topic)]
        kind = "tag" if line.is_about_snapshots else "arg"
        return cls(head, text[len(head) :], getattr(line.command, "tag", None), kind, line.name == "info")

    def masked(self) -> Iterator[str]:
        """Yield the words of `rest` that may be confidential. Those after `info` mostly name devices and nodes."""
        for word in _WORD.findall(self.rest):
            if self.kind == "tag" or not self.is_info or not _HARMLESS_WORD.fullmatch(word):
                yield word


class _Masks:
    """The masks for one record: the confidential values that it is known to contain, and its texts with these masked.

    Longer values are searched for first, so that a tag that is part of another one does not leave the rest of it readable.
    """

    def __init__(self, members: Mapping[str, JSON], kinds: Set[Confidential], pseudonym: _Pseudonym) -> None:
        self._tags = Confidential.TAGS in kinds
        self._files = Confidential.FILES in kinds
        self._pseudonym = pseudonym
        self._whole_characters = {cut["member"]: cut["characters"] for cut in members["cut"]}
        self._known: dict[str, str] = {}
        for line in (members["command_line"], members["after_failure"]):
            self._learn_line(line)
        if self._tags:
            for tag in _tags_of(members):
                self._learn(tag, "tag")
        self._pattern = re.compile("|".join(map(_spelling, sorted(self._known, key=len, reverse=True))) or r"(?!)")

    def mask(self, members: Mapping[str, JSON]) -> dict[str, JSON]:
        """Return the members that may contain confidential values, masked."""
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
        """Note the words of a command line that must be masked wherever they occur.

        A parsed tag is one value, including its blanks. In any other line each word may be confidential, or part of something
        that is, and QEMU's error may quote any of them: so each is noted, whole and in parts.
        """
        line = _Words.of(HMPLine.read(text or ""))
        if line.tag is not None and self._tags:
            self._learn(line.tag, "tag")
        elif line.kind == "arg" or (self._tags and line.tag is None):
            for word in line.masked():
                for part in (word, *_BETWEEN_PARTS.split(word)):
                    self._learn(part, line.kind)

    def _learn(self, value: str, kind: str) -> None:
        if value:
            mask = self._pseudonym(kind, value)
            self._known.setdefault(value, mask)
            # HMP's texts have CR LF, even inside a tag.
            self._known.setdefault(value.replace("\n", "\r\n"), mask)

    def _line(self, text: str | None) -> str | None:
        line = _Words.of(HMPLine.read(text or ""))
        masked = frozenset(line.masked())
        if text is None or not masked or (line.kind == "tag" and not self._tags):
            return text
        if line.tag is not None:
            return f"{line.head} {self._pseudonym('tag', line.tag)}"
        kind = line.kind
        return line.head + _WORD.sub(lambda word: self._pseudonym(kind, word[0]) if word[0] in masked else word[0], line.rest)

    def _text(self, text: str) -> str:
        if len(text) >= MAX_TEXT_CHARS:
            # It may have been cut within a confidential value, and a search for the whole value does not find half of it.
            return str(_counted(text))
        text = self._pattern.sub(lambda found: self._known[found[0]], text)
        return _QUOTED_OR_PATH.sub(self._path, text) if self._files else text

    def _path(self, found: re.Match[str]) -> str:
        if (path := found["path"]) is not None:
            return self._pseudonym("file", path)
        quote, quoted = str(found["quote"]), str(found["quoted"])
        return f"{quote}{self._pseudonym('file', quoted) if '/' in quoted else quoted}{quote}"

    def _text_about_line(self, text: str) -> str:
        """Mask a text that may quote any word of the command line; if the line was cut, mask the whole text."""
        is_line_known = self._whole_characters.keys().isdisjoint(("command_line", "after_failure"))
        return self._text(text) if is_line_known else str(_counted(text))

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
            # The shim's answer would have been nothing, an error, or the table of snapshots, which is masked as a whole.
            "text": self._text(text) if text is not None and text.startswith("Error: ") else _counted(text),
        }

    def _reply(self, reply: JSON, *, has_failed: bool | None) -> JSON:
        """Mask a reply: in an error only the values, because its words say what went wrong; of a success the whole text."""
        match reply:
            case {"return": str(text)} if has_failed:
                return {**reply, "return": self._text_about_line(text)}
            case {"return": value}:
                return {**reply, "return": _counted(value, self._whole_characters.get("reply.return"))}
            case {"error": error}:
                return {**reply, "error": self._error(error)}
        return reply

    def _error(self, error: JSON) -> JSON:
        match error:
            case {"desc": str(desc)}:
                return {**error, "desc": self._text_about_line(desc)}
        return _counted(error)


def _spelling(value: str) -> str:
    spelled = re.escape(value)
    return spelled if len(value) >= _SHORT_CHARACTERS else rf"(?<!\w){spelled}(?!\w)"


def _tags_of(members: Mapping[str, JSON]) -> Iterator[str]:
    """Yield the tags that a record contains outside its command lines."""
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


def _counted(value: JSON, whole_characters: int | None = None) -> JSON:
    """Replace a whole value by its length, unless it is empty or a plain scalar. whole_characters: the length before a cut."""
    if not isinstance(value, dict | list | str) or not value:
        return value
    spelled = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return f"masked ({whole_characters or len(spelled)} characters)"
