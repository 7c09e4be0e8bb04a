"""What one observed record says about the switch to mode rewrite: whether the answer would be the same, and if not, why.

The reasons come from the record: what the policy chose, and what the rehearsed plan said.
"""

import re
from collections.abc import Iterator
from typing import Final

from audit.reporting.switch import Agreement
from audit.reporting.wording import in_one_line
from shim.graph.selection import ONLY_BY_PATTERN, READ_ONLY
from shim.hmp.line import HMPLine
from shim.qmp import JSON
from shim.records.audit import has_failed

__all__ = ["answer_text", "judge", "rewritten_text"]

_TEXT_CHARS: Final = 300
# Failures that QEMU detects before it does anything, and a rehearsal too, on the disks that the policy takes
# (shim/plans/foretelling.py). All others show only while QEMU works: a full disk, a device that cannot be saved.
_FORESEEN: Final = re.compile(
    "is writable but does not support snapshots|does not exist in one or more devices|This is a disk-only snapshot"
    "|no block device can store vmstate for snapshot|No available block device supports snapshots"
    "|Device has active dirty bitmaps"
)
# How shim/graph/selection.py says that the VM state goes to a disk that HMP would not take, configured or not.
_OTHER_VMSTATE: Final = re.compile("HMP would take|it looks for the VM state on another disk")
# What the outcome of a rehearsed savevm says if it deletes older snapshots (shim/plans/saving.py).
_DELETES_OLDER: Final = "was deleted for it (max_snapshots)"


def judge(record: dict[str, JSON]) -> tuple[Agreement, str]:
    """Return what a valid record of action `observed` says, and why; "" for SAME."""
    rehearsed = record.get("rehearsed")
    if rehearsed is None:
        return Agreement.UNKNOWN, "what rewriting would answer is not on record"
    if rehearsed["agreed"]:
        causes = _effects(record)
        return (Agreement.ELSEWHERE, "; ".join(causes)) if causes else (Agreement.SAME, "")
    line = HMPLine.read(record["command_line"] or "")
    is_compared = rehearsed["agreed"] is not None
    agreement, why = _contrast(record, line) if is_compared else (Agreement.UNKNOWN, _not_compared(record))
    return agreement, _without_tag(why, line)


def answer_text(reply: JSON) -> str | None:
    """Return QEMU's answer on one line, "" for success; None if there was none."""
    match reply:
        case {"return": str(text)} | {"error": {"desc": str(text)}}:
            return _short(text)
    return None


def rewritten_text(reply: JSON, rehearsed: JSON) -> str | None:
    """Return what rewriting would have answered: QEMU's own answer if it would get the command. None if not on record."""
    if rehearsed is None:
        return None
    return answer_text(reply) if rehearsed["text"] is None else _short(rehearsed["text"])


def _not_compared(record: dict[str, JSON]) -> str:
    told = "QEMU gave no answer" if record["reply"] is None else "the answers were not compared"
    text = record["rehearsed"]["text"] or ""
    return f"{told}; rewriting would have said: {_short(text)}" if text else told


def _contrast(record: dict[str, JSON], line: HMPLine) -> tuple[Agreement, str]:
    """Judge two different answers."""
    hmp, rewritten = answer_text(record["reply"]) or "", record["rehearsed"]["text"] or ""
    would_fail = has_failed(line, rewritten)
    choices = list(_choices(record))
    if record["failed"] and not would_fail:
        if not _FORESEEN.search(hmp):
            return Agreement.UNKNOWN, f"HMP failed at what cannot be predicted: {hmp}"
        because = choices or ["the record does not say why"]
        return Agreement.DIFFERS, f"HMP refuses, and rewriting would not: {'; '.join(because)}"
    if would_fail:
        begin = "both fail, and rewriting would say" if record["failed"] else "HMP succeeds, and rewriting would not"
        return Agreement.DIFFERS, "; ".join([f"{begin}: {_short(rewritten)}", *choices])
    told = record["rehearsed"]["outcome"]
    return Agreement.DIFFERS, "; ".join([f"both succeed, and rewriting would print something else: {told}", *choices])


def _effects(record: dict[str, JSON]) -> list[str]:
    """Return what a savevm would do differently from HMP, although both succeed."""
    rehearsed = record["rehearsed"]
    if record["hmp_command"] != "savevm" or rehearsed["text"] != "":
        return []
    deletes = _DELETES_OLDER in rehearsed["outcome"]
    return [*_choices(record), *(["older snapshots would be deleted for it (max_snapshots)"] if deletes else [])]


def _choices(record: dict[str, JSON]) -> Iterator[str]:
    """Yield where the policy's choice differs from HMP's."""
    for node in record["nodes"]:
        name, reason = node["device"] or node["node"], node["reason"]
        if node["included"]:
            if reason == ONLY_BY_PATTERN:
                yield f"the policy takes '{name}' ({reason})"
        elif reason != READ_ONLY and "' includes it, " not in reason:
            yield f"the policy leaves out '{name}' ({reason})"
    vmstate = record.get("vmstate")
    if vmstate is not None and _OTHER_VMSTATE.search(vmstate["reason"]):
        devices = {node["node"]: node["device"] for node in record["nodes"]}
        # The reason goes on with what QEMU itself could not load, which is a consequence.
        reason, _, native = vmstate["reason"].partition("; QEMU itself ")
        told = reason if "HMP would take" in reason else f"{reason}; QEMU itself {native}"
        yield f"the policy puts the VM state on '{devices.get(vmstate['node']) or vmstate['node']}' ({told})"


def _without_tag(text: str, line: HMPLine) -> str:
    """Replace the tag by TAG, so that reasons do not differ only in their tags."""
    tag = getattr(line.command, "tag", None)
    return text.replace(f"'{tag}'", "'TAG'") if tag else text


def _short(text: str) -> str:
    return in_one_line(text)[:_TEXT_CHARS]
