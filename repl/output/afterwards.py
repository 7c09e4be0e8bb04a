"""What a person wants to know after a command, and QEMU does not say: why it failed, and what is not done yet."""

from repl.executor import Executor
from repl.results import HMPResult
from repl.unplugging import named_device, still_there
from shim.hmp.line import HMPLine, InfoSnapshots, LoadVM
from shim.plans.foretelling import was_found_after_reverting
from shim.plans.plan import Answer
from shim.plans.rehearsal import Rehearsal
from shim.printable import harmless
from shim.qmp import ErrorReply, Execute, Reply, ReturnReply

__all__ = ["afterwards"]

_HALF_LOADED = (
    "the VM stands still, and its disks have gone back to '{0}' without its devices. Make the devices those of the snapshot, "
    "such as by plugging in what was unplugged since, and load again; or load another tag; or 'system_reset' and 'cont' to "
    "boot from these disks"
)


async def afterwards(executor: Executor, asked: HMPLine | Execute, outcome: HMPResult | Reply) -> str | None:
    """Look what is to be said of a command that has ended like this; None for nothing. Raises LinkError."""
    match outcome:
        case HMPResult(is_failure=True):
            return await _why(executor, asked, outcome) if isinstance(asked, HMPLine) else None
        case ErrorReply():
            return None
    device = named_device(asked)
    return None if device is None else await still_there(executor.link, device)


async def _why(executor: Executor, line: HMPLine, result: HMPResult) -> str | None:
    """Look what is in the way of a snapshot command that failed."""
    command = line.command
    if command is None or isinstance(command, InfoSnapshots):
        return None
    rehearsal = (await executor.plan(line)).rehearsal
    if isinstance(command, LoadVM) and await _is_half_loaded(executor, rehearsal, result):
        return harmless(_HALF_LOADED.format(command.tag))
    fault = next((fault for fault in rehearsal.faults if fault.repairs), None)
    if fault is None:
        return None
    return harmless(f"{fault.text.partition('; ')[0]}; 'plan {line.text.strip()}' says what to type")


async def _is_half_loaded(executor: Executor, rehearsal: Rehearsal, result: HMPResult) -> bool:
    """Tell whether a load failed after QEMU's checks, which would still let it pass, and after it reverted the disks.

    The error says so, and not the run state: a VM that was paused stays paused, and one that ran stands still after any
    failure. Where this is in doubt, nothing is said: a reset ends a guest that `cont` would have kept.
    """
    passes = isinstance(rehearsal.outcome, Answer) and not rehearsal.outcome.text
    error = result.text.partition("Error: ")[2].rstrip()
    if result.is_refused or not passes or not error or not was_found_after_reverting(error):
        return False
    (timed,) = await executor.link.execute([Execute("query-status")])
    return not (isinstance(timed.reply, ReturnReply) and timed.reply.value["running"])
