"""Since when QEMU owes an answer."""

import time

import pytest

from repl.progress.silence import Owed, Silence


def test_silence_begins_with_the_question_or_the_last_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic_ns", iter((10, 20, 30, 40)).__next__)
    owed = Owed()
    assert owed.silence is None
    with owed.asked():
        assert owed.silence == Silence(10)
        with owed.asked():
            assert owed.silence == Silence(10)
            owed.heard()
            assert owed.silence == Silence(30, 30)
        assert owed.silence == Silence(30, 30)
    assert owed.silence is None
    with owed.asked():
        assert owed.silence == Silence(40, 30)
