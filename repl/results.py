"""What becomes of a command at the prompt, as values, and where its intents are kept."""

from dataclasses import dataclass

from host.addresses import TCPAddress, UnixAddress
from host.intents import IntentStore, state_folder
from shim.audit import Trace
from shim.qmp import JSON
from shim.rehearsal import Rehearsal

__all__ = ["HMPResult", "Planned", "Running", "intents_at"]


@dataclass(frozen=True, slots=True)
class HMPResult:
    """What became of an HMP command. text: as HMP would have printed it. stopped_ns: how long the VM stood still."""

    text: str
    is_failure: bool
    duration_ns: int
    stopped_ns: int


@dataclass(frozen=True, slots=True)
class Running:
    """The command under way, as it was typed."""

    command_line: str
    trace: Trace


@dataclass(frozen=True, slots=True)
class Planned:
    """What a command would do: as a rehearsal of ours, and as `hmp-proxy plan` prints it, for a program and for a person.

    policy: which policy it is, and whose.
    """

    rehearsal: Rehearsal
    plan: JSON
    text: str
    policy: str


def intents_at(address: UnixAddress | TCPAddress) -> IntentStore:
    """Return where the prompts at an address write down what their savevms intend. A proxy there has a file of its own."""
    return IntentStore(f"hmp-repl {address}", state_folder(), is_shared=True)
