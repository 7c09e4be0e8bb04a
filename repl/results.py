"""The results of commands at the prompt, as values, and where intents are kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from host.intents import IntentStore, state_folder
from host.net.addresses import TCPAddress, UnixAddress
from shim.plans.rehearsal import Rehearsal
from shim.qmp import JSON, Execute
from shim.records.audit import Trace

__all__ = ["HMPResult", "Planned", "Running", "intents_at"]

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class HMPResult:
    """The result of an HMP command. text: as HMP would have printed it. stopped_ns: how long the VM was stopped.

    is_refused: by hmp-repl itself, which sent nothing that changes anything.
    """

    text: str
    is_failure: bool
    duration_ns: int
    stopped_ns: int
    is_refused: bool = False

    def members(self, tag: str | None) -> dict[str, JSON]:
        """Return what `--json` says of it. tag: the one that was made up for a savevm, None for none."""
        return {
            "ok": not self.is_failure,
            "text": self.text,
            "duration_ms": round(self.duration_ns / _NS_PER_MS, 3),
            "stopped_ms": round(self.stopped_ns / _NS_PER_MS, 3),
            **({} if tag is None else {"tag": tag}),
        }


@dataclass(frozen=True, slots=True)
class Running:
    """The command under way. command_line: as it was typed. under_way: returns what was last sent to QEMU for it."""

    command_line: str
    trace: Trace
    under_way: Callable[[], Sequence[Execute]] = tuple


@dataclass(frozen=True, slots=True)
class Planned:
    """What a command would do: as a rehearsal, and in the two forms of `hmp-proxy plan`, for a program and for a person.

    policy: which policy the plan follows, and whose.
    """

    rehearsal: Rehearsal
    plan: JSON
    text: str
    policy: str


def intents_at(address: UnixAddress | TCPAddress) -> IntentStore:
    """Return the store in which all prompts at an address write down their intents. A proxy there has one of its own."""
    return IntentStore(f"hmp-repl {address}", state_folder(), is_shared=True)
