"""The table of a session's states, walked whole, and a session that walks it."""

import pytest

from proxy.sessions.session import Session
from proxy.sessions.session_state import TRANSITIONS, State, Step, next_state
from tests.support.routing.pure_router import CAPABILITIES, a_session

ALL = [(state, step) for state in State for step in Step]
# What each step is for a session.
TAKEN = {
    Step.NEGOTIATED: lambda session: session.next_request(),
    Step.SENDS_NO_MORE: lambda session: session.receive_eof(),
    Step.CUT: lambda session: session.cut(),
}
# How a session comes to each state.
WAYS = {
    State.NEGOTIATING: (),
    State.OPEN: (Step.NEGOTIATED,),
    State.LEFT_EARLY: (Step.SENDS_NO_MORE,),
    State.LEFT: (Step.NEGOTIATED, Step.SENDS_NO_MORE),
    State.CUT: (Step.CUT,),
}


def in_state(state: State) -> Session:
    session = a_session()
    session.inbox.receive_data(CAPABILITIES)
    for step in WAYS[state]:
        TAKEN[step](session)
    assert session.state is state
    return session


def test_every_state_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(State)


@pytest.mark.parametrize(("state", "step"), ALL)
def test_a_step_is_taken_as_the_table_says_or_refused(state: State, step: Step) -> None:
    if step in TRANSITIONS[state]:
        assert next_state(state, step) is TRANSITIONS[state][step]
    else:
        with pytest.raises(ValueError, match=f"{state.name} cannot become {step.name}"):
            next_state(state, step)


@pytest.mark.parametrize(("state", "step"), [(state, step) for state, step in ALL if step is not Step.NEGOTIATED])
def test_a_session_goes_the_same_way(state: State, step: Step) -> None:
    session = in_state(state)
    if step in TRANSITIONS[state]:
        TAKEN[step](session)
        assert session.state is TRANSITIONS[state][step]
    else:
        with pytest.raises(ValueError, match="cannot become"):
            TAKEN[step](session)
        assert session.state is state


def test_nothing_leads_out_of_the_end() -> None:
    assert set(TRANSITIONS[State.CUT].values()) == {State.CUT}


@pytest.mark.parametrize("state", State)
def test_state_says_who_is_there(state: State) -> None:
    session = in_state(state)
    assert session.is_negotiated is (state in (State.OPEN, State.LEFT))
    assert session.has_left is (state in (State.LEFT_EARLY, State.LEFT, State.CUT))
    assert session.is_gone() is (state is State.CUT)


def test_client_that_left_with_its_negotiation_still_to_be_begun_hears_events() -> None:
    session = in_state(State.LEFT_EARLY)
    session.next_request()
    assert session.state is State.LEFT
