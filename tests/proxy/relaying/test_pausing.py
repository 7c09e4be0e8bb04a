"""A pause ends when the operator ends it, or when its time is over, and the log says so."""

import asyncio

import pytest

from proxy.relaying.pausing import Pausing
from tests.support.processes.running_daemon import run, until


def test_operator_begins_and_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        pausing, ended = Pausing(), asyncio.Event()
        pausing.pause.on_end = ended.set
        assert pausing.status() is None
        assert not pausing.end("me")
        pausing.begin(None, "me")
        status = pausing.status()
        assert status is not None
        assert status.left_s is None
        assert status.for_s >= 0
        assert pausing.end("you")
        assert ended.is_set()
        assert pausing.status() is None

    run(main)
    assert caplog.messages == [
        "snapshot commands are paused, until they are resumed, by me",
        "snapshot commands go on, by you, after 0 s",
    ]


def test_it_ends_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        pausing = Pausing()
        pausing.begin(1000, "me")
        status = pausing.status()
        assert status is not None
        assert status.left_s is not None
        assert 0 < status.left_s <= 1000
        pausing.begin(0.001, "me")
        await until(lambda: pausing.status() is None)
        assert not pausing.pause.is_on

    run(main)
    assert caplog.messages == [
        "snapshot commands are paused, for 1000 s at most, by me",
        "snapshot commands are paused, for 0.001 s at most, by me",
        "snapshot commands go on, because the pause's time is over, after 0 s",
    ]


def test_time_of_a_vm_that_is_not_wanted_is_forgotten() -> None:
    async def main() -> None:
        pausing = Pausing()
        pausing.begin(1000, "me")
        pausing.close()
        pausing.close()
        assert pausing.pause.is_on

    run(main)
