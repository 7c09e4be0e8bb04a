"""What plays beside the drivers: clients that take no snapshots, and what strikes all VMs."""

import random
from typing import Final

from tests.soak import faults
from tests.soak.clients import SHAPES, Visit
from tests.soak.oracle import Violation
from tests.soak.play import NobodyThereError, Play
from tests.soak.scene import Machine
from tests.support.raw_client import ConnectionLostError

__all__ = ["make_record", "strike_all", "visit"]

_BETWEEN_STRIKES_S: Final = (2.0, 12.0)
_RETRY_S: Final = 0.05


def visit(play: Play, machine: Machine, rng: random.Random) -> None:
    """Let one client come that takes no snapshots. Raises Violation."""
    name = rng.choice(list(SHAPES))
    before = play.moment(machine)
    with play.connect(machine) as client:
        coming = Visit(machine, client, rng, play.new_key, play.new_id)
        try:
            SHAPES[name](coming)
        except (ConnectionLostError, ConnectionError) as exc:
            if not play.explains_end(before, machine):
                raise Violation(
                    machine.profile.name, "a connection", f"a client that is {name!r} was cut off: {exc!r}"
                ) from exc
    play.answered.extend(coming.answered)
    play.count(f"visitor: {name}")


def strike_all(play: Play, rng: random.Random, *, ends_proxy: bool) -> None:
    """Wait for a while, and let something strike that all VMs share."""
    proxy = play.scene.proxy
    if play.stop.wait(rng.uniform(*_BETWEEN_STRIKES_S)):
        return
    match rng.choice(("proxy", "proxy", "log moved", "log full")):
        case "proxy" if ends_proxy:
            play.count(faults.end_proxy(proxy, rng))
        case "log full":
            play.count(faults.fill_log(proxy, lambda: make_record(play)))
        case _ if proxy.log.exists():
            play.count(faults.move_log(proxy, rng, play.tally["log moved"]))


def make_record(play: Play) -> None:
    """Have one command of each VM put on record."""
    for machine in play.scene.machines:
        while True:
            try:
                play.ask_for(machine, "info name")
                break
            except NobodyThereError:
                faults.pause(_RETRY_S)  # its driver starts it again
