"""Which events are shown."""

import pytest

from repl.prompt.event_filter import EventFilter


@pytest.mark.parametrize(
    ("events", "name", "passes"),
    [
        (EventFilter(), "STOP", True),
        (EventFilter(is_on=False), "STOP", False),
        (EventFilter(is_on=False, names=("STOP",)), "STOP", False),
        (EventFilter(names=("STOP",)), "STOP", True),
        (EventFilter(names=("STOP",)), "RESUME", False),
        (EventFilter(names=("STOP",)), "STOPPED", False),
        (EventFilter(names=("STOP", "BLOCK_*")), "BLOCK_JOB_READY", True),
        (EventFilter(names=("BLOCK_*",)), "block_job_ready", False),
        (EventFilter(names=("*",)), "ANY", True),
        (EventFilter(names=("[",)), "[", True),
    ],
    ids=str,
)
def test_lets_pass(events: EventFilter, name: str, passes: bool) -> None:
    assert events.lets_pass(name) is passes


@pytest.mark.parametrize(
    ("names", "is_on", "changed"),
    [
        (None, None, EventFilter(names=("STOP",))),
        (None, False, EventFilter(is_on=False)),
        (None, True, EventFilter()),
        (("RESUME",), None, EventFilter(names=("RESUME",))),
    ],
)
def test_changed(names: tuple[str, ...] | None, is_on: bool | None, changed: EventFilter) -> None:
    assert EventFilter(names=("STOP",)).changed(names, is_on) == changed


@pytest.mark.parametrize(
    ("events", "text"),
    [
        (EventFilter(), "all events are shown"),
        (EventFilter(is_on=False), "no events are shown"),
        (EventFilter(names=("STOP", "BLOCK_*")), "these events are shown: STOP BLOCK_*"),
    ],
)
def test_text(events: EventFilter, text: str) -> None:
    assert str(events) == text
