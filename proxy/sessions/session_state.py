"""How far a client has come, and what can take it from there to where.

Two rules. What changes the state of a session stands in this table: a step that does not is a bug of ours, never something
that a client could bring about. And the state is changed first, before any byte that tells of it is written.
"""

from enum import Enum, auto
from typing import Final

__all__ = ["TRANSITIONS", "State", "Step", "next_state"]


class State(Enum):
    """How far a client has come."""

    NEGOTIATING = auto()  # it has its greeting; nothing but qmp_capabilities is valid, and it hears no events
    OPEN = auto()
    # It sends no more. It may still read, so what it asked for goes on, and events reach it, if it had negotiated.
    LEFT_EARLY = auto()
    LEFT = auto()
    CUT = auto()  # nothing can be written to it any more


class Step(Enum):
    """What takes a client from one state to another."""

    NEGOTIATED = auto()
    SENDS_NO_MORE = auto()
    CUT = auto()


# All that may happen. QEMU, too, leaves the negotiation once and for ever; a later qmp_capabilities is a command like another.
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
    """Return the state after a step. Raises ValueError for one that is not in the table."""
    try:
        return TRANSITIONS[state][step]
    except KeyError:
        raise ValueError(f"a client that is {state.name} cannot become {step.name}") from None
