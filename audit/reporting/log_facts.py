"""What to know of the logs that a report is made from: what they lack, and what was not counted."""

from audit.reporting.report import LogSummary
from audit.reporting.wording import number

__all__ = ["log_facts"]


def log_facts(log: LogSummary) -> list[str]:
    """Return a line for each fact; [] if the logs are whole, and all of their records count."""
    facts = (
        (log.left_out, "records left out by the filters"),
        (log.damaged, "damaged lines left out (hmp-audit check tells where)"),
        (log.torn, "of them torn last lines"),
        (log.lost, "records that could not be written, as later ones tell"),
        (log.unfinished, "commands that were begun and have no outcome on record"),
        (log.housekeeping, "questions of hmp-repl's own, which are not counted as use of HMP"),
    )
    return [*(f"{what}: {number(count)}" for count, what in facts if count), *log.unreadable, *log.given_twice]
