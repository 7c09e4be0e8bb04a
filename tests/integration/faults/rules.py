"""The table of docs/fault-matrix.md, and how each of its words is held against what was seen."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tests.integration.faults.disks import Disks, Kept, is_internal, without
from tests.integration.faults.relay import Kind
from tests.integration.faults.steps import Phase, Scenario, is_done
from tests.integration.faults.strikes import SENT_BY_ANOTHER, Outcome, Strike, final_records
from tests.support.checkout import ROOT

__all__ = ["CHECKS", "columns", "is_copied", "judge", "rules", "words"]

_PAGE: Final = (ROOT / "docs" / "fault-matrix.md").read_text(encoding="utf-8")


def _rows(header: str) -> Iterator[list[str]]:
    """Return the cells of each row of the table whose first line begins like this."""
    _, found, rest = _PAGE.partition(f"\n| {header} |")
    assert found, f"docs/fault-matrix.md has no table {header!r}"
    for line in rest.splitlines()[2:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def rules() -> Mapping[tuple[Strike, Phase], list[str]]:
    """Return the words of each cell."""
    return {
        (Strike(fault), phase): cell.split("; ")
        for fault, *cells in _rows("fault")
        for phase, cell in zip(Phase, cells, strict=True)
    }


def columns() -> Mapping[Phase, list[str]]:
    """Return the steps of each column."""
    return {Phase(column): re.findall(r"`([a-z-]+)`", steps.rpartition(": ")[2]) for column, steps in _rows("column")}


def words() -> list[str]:
    """Return the words that the page explains."""
    return [word for word, _ in _rows("word")]


def judge(outcome: Outcome, strike: Strike) -> list[str]:
    """Return the words of the cell that do not hold, with what was seen."""
    cell = rules()[strike, outcome.step.phase]
    broken = [word for word in cell if not CHECKS[word](outcome)]
    if "Traceback" in outcome.stderr:
        broken.append("no exception")
    return [f"not {word}: {_seen(outcome)}" for word in broken]


def _seen(outcome: Outcome) -> str:
    records = [(record["command_line"], record["action"], record["reason"], record["reply"]) for record in outcome.records]
    return (
        f"answer {outcome.answer}, other's {outcome.other_answer}, disks {outcome.disks}, left {outcome.left}, "
        f"records {records}, {outcome.stderr}"
    )


def _done(outcome: Outcome) -> bool:
    return is_done(outcome.step.scenario, without(outcome.disks, "m"))


def _as_before(outcome: Outcome) -> bool:
    # What the dead proxy of the recovery had saved is not the command's.
    return without(without(outcome.disks, "m"), "left") == outcome.before


def _has_copy(outcome: Outcome) -> bool:
    return all(map(is_copied, filter(None, (outcome.left, outcome.disks))))


def is_copied(disks: Disks) -> bool:
    """Tell whether one tag is whole: on both disks with the same content, and on one of them with the VM state."""
    d0, d1 = disks.values()
    copies = [kept for kept in d0.kept if kept.has_vm_state and (kept.tag == "t" or is_internal(kept.tag))]
    return any(Kept(copy.tag, False, copy.content) in d1.kept for copy in copies)


def _is_answered(outcome: Outcome) -> bool:
    """Tell whether the client was told that all went well, and it did."""
    if outcome.answer is None:
        return False
    text = outcome.answer.get("return")
    if outcome.step.scenario is Scenario.INFO:
        return isinstance(text, str) and " t " in text and "Error" not in text
    return text == "" and _done(outcome)


def _is_cut(outcome: Outcome) -> bool:
    return outcome.answer is None


def _waits(outcome: Outcome) -> bool:
    """Tell whether the other's command came when all of the plan was answered, and nothing of a plan came after it."""
    messages = [message for message in outcome.arrived if message.kind is not Kind.EVENT]
    (sent,) = (number for number, message in enumerate(messages) if message.raw in SENT_BY_ANOTHER.values())
    kinds = [message.kind for message in messages]
    is_answered = outcome.other_answer == {"return": {}} or (messages[sent].name == "quit" and outcome.other_answer is None)
    unanswered = kinds[:sent].count(Kind.COMMAND) - kinds[:sent].count(Kind.REPLY)
    return is_answered and unanswered == 0 and Kind.COMMAND not in kinds[sent + 1 :]


def _on_record(outcome: Outcome) -> bool:
    found = final_records(outcome.records, outcome.step.scenario.line)
    return len(found) == 1 and (outcome.answer is None or found[0]["reply"] == outcome.answer)


def _told(outcome: Outcome) -> bool:
    return not outcome.needs_telling or outcome.is_told


CHECKS: Final[Mapping[str, Callable[[Outcome], bool]]] = {
    "done": _done,
    "as before": _as_before,
    "done or as before": lambda outcome: _done(outcome) or _as_before(outcome),
    "a copy": _has_copy,
    # look_at has read all of them.
    "undamaged": lambda outcome: bool(outcome.disks),
    "answered": _is_answered,
    "cut": _is_cut,
    "answered or cut": lambda outcome: _is_answered(outcome) or _is_cut(outcome),
    "waits": _waits,
    "on record": _on_record,
    "tidy": lambda outcome: outcome.is_tidy,
    "told": _told,
}
