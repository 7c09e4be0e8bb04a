"""How a case of random clients is set up: limits that are small enough to be reached, rules, failures, and when it ends."""

import random
from dataclasses import dataclass

from shim.graph.policy import Mode
from tests.support.routing.random_requests import MOST_SPELLED_TOKENS

__all__ = ["Setting"]


@dataclass(frozen=True, slots=True)
class Setting:
    """How a case is set up. constants: the product's limits, made so small that a case reaches them."""

    constants: dict[str, int]
    commands: int
    denies: bool
    mode: Mode
    refuses_records: bool
    job_queries: int
    pauses: bool
    rounds: tuple[int, ...]
    # The round in which the proxy is told to end, and the one in which QEMU goes, if there is one.
    stops_in: int | None
    loses_in: int | None

    @classmethod
    def of(cls, rng: random.Random) -> "Setting":
        waiting_bytes, read_ahead = rng.choice((1 << 20, 200, 0)), rng.choice((1000, 1000, 3, 10))
        requests, steps, steps_ahead = rng.choice((128, 128, 3, 1)), rng.choice((2, 1)), rng.choice((2, 1))
        rounds = tuple(rng.choice((10, 20, 40, 100)) for _ in range(7))
        return cls(
            {
                "proxy.routing.dispatcher.MOST_WAITING_BYTES": waiting_bytes,
                "proxy.routing.room.MOST_WAITING_BYTES": waiting_bytes,
                "proxy.routing.dispatcher.TURN_REQUESTS": requests,
                "proxy.routing.abandonment.TURN_REQUESTS": requests,
                "proxy.routing.dispatcher.TURN_STEPS": steps,
                "proxy.routing.abandonment.TURN_STEPS": steps,
                "proxy.sessions.inbox._MOST_READ_AHEAD": read_ahead,
                "proxy.sessions.inbox._STEPS_AHEAD": steps_ahead,
                "proxy.qmp_json.framing._STEP_ITEMS": rng.choice((64, 64, 4, 1)),
                "proxy.sessions.requests._MOST_SPELLED_TOKENS": MOST_SPELLED_TOKENS,
                "proxy.sessions.session.CHEAP_BYTES": 0,
            },
            commands=rng.choice((1000, 1000, 1, 3)),
            denies=rng.random() < 0.75,
            mode=Mode.REWRITE if rng.random() < 0.8 else Mode.OBSERVE,
            refuses_records=rng.random() < 0.2,
            job_queries=rng.choice((0, 0, 1, 3)),
            pauses=rng.random() < 0.5,
            rounds=rounds,
            stops_in=rng.randrange(len(rounds)) if rng.random() < 0.25 else None,
            loses_in=rng.randrange(len(rounds)) if rng.random() < 0.2 else None,
        )
