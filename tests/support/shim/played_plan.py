"""Play a plan against a table of expected steps and their answers, or against a function that answers each command."""

import difflib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from shim.plans.intent import Intent
from shim.plans.plan import AwaitJob, Decided, Intend, Replies, Run, Settle, Step
from shim.qmp import JSON, ErrorReply, Execute, Reply, ReturnReply, encode

__all__ = ["DONE", "Exchange", "Played", "awaits", "dismissed", "drive", "job", "job_row", "look", "play", "runs", "started"]

Result = TypeVar("Result")
SHOWN_CHARS: Final = 160


@dataclass(frozen=True, slots=True)
class Exchange:
    """One expected step, and what the plan is sent for it."""

    step: Step
    replies: Replies = ()


@dataclass(slots=True)
class Played(Generic[Result]):
    """What a plan did. outcome: None where it was stopped before its end. intents: what was written down and not settled."""

    outcome: Result | None = None
    intents: list[Intent] = field(default_factory=list)
    settled: list[Intent] = field(default_factory=list)
    decided: Decided | None = None
    steps: list[Step] = field(default_factory=list)

    @property
    def sent(self) -> list[Execute]:
        return [command for step in self.steps if isinstance(step, Run) for command in step.commands]


class _Stop(Exception):
    """The driver wants no further step."""


def play(plan: Generator[Step, Replies, Result], exchanges: Sequence[Exchange]) -> Played[Result]:
    """Play the plan to its end; AssertionError with both conversations where it leaves the table.

    What nothing is sent for is not part of the table, but in the result.
    """
    expected = iter(exchanges)
    position = 0

    def answer(step: Step) -> Replies:
        nonlocal position
        position += 1
        exchange = next(expected, None)
        if exchange is None or exchange.step != step:
            raise _Stop
        return exchange.replies

    played = _advance(plan, answer)
    if played.outcome is None or position != len(exchanges):
        raise AssertionError(_difference(exchanges, played))
    return played


def drive(
    plan: Generator[Step, Replies, Result], answer: Callable[[Execute], Reply], *, stop_after: int | None = None
) -> Played[Result]:
    """Play the plan with a function that answers one command; `stop_after` so many steps, QEMU is gone."""
    done = 0

    def reply(step: Step) -> Replies:
        nonlocal done
        if done == stop_after:
            raise _Stop
        done += 1
        return tuple(answer(command) for command in step.commands) if isinstance(step, Run) else ()

    return _advance(plan, reply)


def _advance(plan: Generator[Step, Replies, Result], answer: Callable[[Step], Replies]) -> Played[Result]:
    played: Played[Result] = Played()
    try:
        step = next(plan)
        while True:
            match step:
                case Decided():
                    played.decided = step
                case Intend(intent):
                    played.intents.append(intent)
                case Settle(intent):
                    played.settled.append(intent)
                    played.intents = [one for one in played.intents if one != intent]
                case _:
                    played.steps.append(step)
                    step = plan.send(answer(step))
                    continue
            step = plan.send(())
    except StopIteration as stop:
        played.outcome = stop.value
    except _Stop:
        plan.close()
    return played


def _difference(exchanges: Sequence[Exchange], played: Played[Any]) -> str:
    expected = [line for exchange in exchanges for line in _lines(exchange.step)]
    actual = [line for step in played.steps for line in _lines(step)]
    if played.outcome is not None:
        actual.append(f"= {played.outcome}")
    return "the conversation is not the expected one (- expected, + actual):\n" + "\n".join(difflib.ndiff(expected, actual))


def _lines(step: Step) -> Iterator[str]:
    match step:
        case Run(commands):
            yield from (
                f"> {command.command} {encode(dict(sorted(command.arguments.items())))}"[:SHOWN_CHARS] for command in commands
            )
        case AwaitJob(job_id):
            yield f"  wait for {job_id}"
        case _:
            yield f"  {step}"[:SHOWN_CHARS]


# -- words for tables ---------------------------------------------------------------------------------------------------

DONE: Final = ReturnReply({})


def runs(*commands: tuple[str, dict[str, JSON], Reply]) -> Exchange:
    """Expect these commands in one go: name, arguments, reply."""
    steps = tuple(Execute(name, arguments) for name, arguments, _ in commands)
    return Exchange(Run(steps), tuple(reply for _, _, reply in commands))


def awaits(job_id: str) -> Exchange:
    return Exchange(AwaitJob(job_id))


def job_row(job_id: str, error: str | None = None, *, status: str = "concluded") -> dict[str, JSON]:
    """Return the row of query-jobs (qapi/job.json, JobInfo)."""
    row = {"current-progress": 1, "status": status, "total-progress": 1, "type": "snapshot-save", "id": job_id}
    return row if error is None else row | {"error": error}


def look(job_id: str, *jobs: dict[str, JSON], dismissed: Reply = DONE) -> Exchange:
    """Expect a look at the jobs together with the dismissal of one."""
    return runs(("query-jobs", {}, ReturnReply(list(jobs))), ("job-dismiss", {"id": job_id}, dismissed))


def dismissed(number: int) -> Exchange:
    """Expect the dismissal of a job that stayed."""
    return runs(("job-dismiss", {"id": f"job-{number}"}, DONE))


def started(
    command: str,
    arguments: dict[str, JSON],
    *jobs: dict[str, JSON],
    reply: Reply = DONE,
    stays: bool = False,
    hides_resume: bool = False,
) -> Exchange:
    """Expect a job's start, with the look at it in one go; `jobs` is what query-jobs shows. stays: it is not dismissed."""
    job_id = arguments["job-id"]
    outcome = DONE if any(row["id"] == job_id and row["status"] == "concluded" for row in jobs) else _NOT_DISMISSED
    whole = runs(
        (command, arguments, reply),
        ("query-jobs", {}, ReturnReply(list(jobs))),
        ("job-dismiss", {"id": job_id}, outcome),
    )
    assert isinstance(whole.step, Run)
    count = 2 if stays else 3
    return Exchange(Run(whole.step.commands[:count], hides_resume), whole.replies[:count])


def job(
    kind: str,
    number: int,
    tag: str,
    devices: str,
    vmstate: str | None = None,
    *,
    error: str | None = None,
    stays: bool = False,
    comes_again: bool = False,
) -> Exchange:
    """Expect the whole job `job-<number>` of the kind ("save", "load", "delete") on these nodes, and let it end so.

    stays: it is not dismissed yet. comes_again: nor is a second save to be seen by the clients.
    """
    job_id = f"job-{number}"
    arguments: dict[str, JSON] = {"job-id": job_id, "tag": tag, "devices": devices.split()}
    if vmstate is not None:
        arguments["vmstate"] = vmstate
    row = job_row(job_id, error)
    return started(f"snapshot-{kind}", arguments, row, stays=stays or comes_again, hides_resume=comes_again)


_NOT_DISMISSED: Final = ErrorReply("GenericError", "Job not found")
