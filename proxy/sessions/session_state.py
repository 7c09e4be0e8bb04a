"""How far a client has come, and the steps that lead from one state to another.

Two rules. Every step that changes the state of a session is in this table; any other is a bug of ours, never something that a
client can cause. And the state changes first, before any byte that shows the change is written.
"""

from enum import Enum, auto
from typing import Final

__all__ = ["TRANSITIONS", "State", "Step", "next_state"]


class State(Enum):
    """How far a client has come."""

    NEGOTIATING = auto()  # it has its greeting; only qmp_capabilities is valid, and it gets no events
    OPEN = auto()
    # It sends no more. It may still read, so what it asked for goes on, and it gets events if it had negotiated (LEFT).
    LEFT_EARLY = auto()
    LEFT = auto()
    CUT = auto()  # nothing can be written to it any more


class Step(Enum):
    """What takes a client from one state to another."""

    NEGOTIATED = auto()
    SENDS_NO_MORE = auto()
    CUT = auto()


# Everything that may happen. In QEMU, too, negotiation happens once; a later qmp_capabilities is a command like any other.
TRANSITIONS: Final[dict[State, dict[Step, State]]] = {
    State.NEGOTIATING: {
        Step.NEGOTIATED: State.OPEN,
        Step.SENDS_NO_MORE: State.LEFT_EARLY,
        Step.CUT: State.CUT,
    },
    State.OPEN: {Step.SENDS_NO_MORE: State.LEFT, Step.CUT: State.CUT},
    State.LEFT_EARLY: {Step.NEGOTIATED: State.LEFT, Step.CUT: State.CUT},  # its qmp_capabilities was not begun yet
    State.LEFT: {Step.CUT: State.CUT},
    State.CUT: {Step.CUT: State.CUT},
}


def next_state(state: State, step: Step) -> State:
    """Return the state after a step. Raises ValueError if the step is not in the table."""
    try:
        return TRANSITIONS[state][step]
    except KeyError:
        raise ValueError(f"a client that is {state.name} cannot become {step.name}") from None
