"""How long to wait before each new attempt to connect."""

import itertools

from host.backoff import backoff_s


def test_backoff_begins_small_and_ends_at_two_seconds() -> None:
    delays = list(itertools.islice(backoff_s(), 10))
    assert delays[0] == 0.05
    assert delays == sorted(delays)
    assert delays[-1] == 2.0
