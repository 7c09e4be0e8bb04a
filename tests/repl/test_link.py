"""The prompt's connection on a modelled QEMU: order, ends, and what it does not send."""

import asyncio
import json
import math
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from host.net.addresses import UnixAddress
from repl.errors import LostError
from repl.link import Event
from shim.qmp import ErrorReply, Execute, QEMUVersion, ReturnReply
from tests.fakes.qemu import Drop, FakeQEMU, Faults, When
from tests.support.proxy.running_vm_proxy import until
from tests.support.repl.seen_link import Seen, obeying, seeing, served

STATUS: Final = Execute("query-status")
RUNNING: Final = ReturnReply({"running": True, "singlestep": False, "status": "running"})
NOT_SENT: Final = ErrorReply("GenericError", "not sent: QMP cannot carry one of its characters or numbers")

Scene = Callable[[FakeQEMU, Seen], Awaitable[None]]


def played(scene: Scene, fake: FakeQEMU | None = None) -> None:
    """Run a scene with a link that is connected to the fake."""

    async def run() -> None:
        async with fake or FakeQEMU() as qemu, seeing(UnixAddress(qemu.path)) as seen:
            await seen.link.connect()
            await scene(qemu, seen)

    asyncio.run(run())


def test_process_behind_the_socket_is_known() -> None:
    async def scene(qemu: FakeQEMU, seen: Seen) -> None:
        assert seen.link.server_pid == os.getpid()

    played(scene)


# --- Replies and events -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("faults", [Faults(), Faults(coalesces=True), Faults(piece_bytes=3)], ids=["one", "at once", "pieces"])
def test_events_come_before_the_reply_behind_them(faults: Faults) -> None:
    async def scene(qemu: FakeQEMU, seen: Seen) -> None:
        await seen.execute(Execute("stop"))
        await seen.execute(Execute("cont"), Execute("stop"))
        names = [thing.name if isinstance(thing, Event) else thing for thing in seen.things]
        assert names == ["STOP", "reply", "RESUME", "STOP", "reply", "reply"]

    played(scene, FakeQEMU(faults=faults))


def test_library_keeps_no_event() -> None:
    """It would keep each for ever, since nobody iterates over its own queue."""

    async def scene(qemu: FakeQEMU, seen: Seen) -> None:
        for number in range(500):
            await qemu.send_event("BLOCK_JOB_READY", {"number": number})
        await seen.execute(STATUS)
        assert [event.data["number"] for event in seen.things if isinstance(event, Event)] == list(range(500))
        assert seen.link._client is not None
        assert seen.link._client.events.empty()

    played(scene)


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (
            {"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 500_000}},
            Event("STOP", {}, 1.5),
        ),
        ({"event": "X", "data": {"a": [1]}, "timestamp": {"seconds": -1, "microseconds": -1}}, Event("X", {"a": [1]}, None)),
        ({"event": "X"}, Event("X", {}, None)),
    ],
    ids=["with a time", "where the clock cannot be read", "with nothing"],
)
def test_event_has_its_data_and_its_time(message: dict[str, Any], event: Event) -> None:
    async def scene(qemu: FakeQEMU, seen: Seen) -> None:
        await qemu.send_raw(json.dumps(message).encode() + b"\r\n")
        await seen.execute(STATUS)
        assert seen.things == [event, "reply"]

    played(scene)


def test_batch_is_written_in_one_go_and_answered_in_its_order() -> None:
    async def scene(qemu: FakeQEMU, seen: Seen) -> None:
        qemu.hold("stop", When.RECEIVED)
        batch = [Execute("stop"), STATUS, Execute("nosuch"), Execute("cont"), STATUS]
        answers = asyncio.create_task(seen.execute(*batch))
        await qemu.wait_received("query-status", 2)
        qemu.release()
        stopped, *replies = await answers
        assert stopped == ReturnReply({})
        assert replies == [
            ReturnReply({"running": False, "singlestep": False, "status": "paused"}),
            ErrorReply("CommandNotFound", "The command nosuch has not been found"),
            ReturnReply({}),
            RUNNING,
        ]
        assert qemu.commands[1:] == [command.command for command in batch]

    played(scene)


def test_no_commands_have_no_replies() -> None:
    async def scene(qemu: FakeQEMU, seen: Seen) -> None:
        assert await seen.execute() == []

    played(scene)


def test_reply_has_its_time_and_about_its_size() -> None:
    async def scene(qemu: FakeQEMU, seen: Seen) -> None:
        short, long = await seen.link.execute([STATUS, Execute("query-commands")])
        assert 0 < short.received_ns <= long.received_ns
        assert 10 < short.size_bytes < long.size_bytes
        assert isinstance(long.reply, ReturnReply)
        assert long.size_bytes == len(json.dumps(long.reply.value))

    played(scene)


def test_error_is_a_reply_with_its_class_and_all_of_its_text() -> None:
    async def scene(seen: Seen) -> None:
        assert await seen.execute(STATUS) == [ErrorReply("DeviceNotFound", "a\nb")]

    asyncio.run(served(obeying(lambda name: {"error": {"class": "DeviceNotFound", "desc": "a\nb"}}), scene))


def test_reply_may_be_long() -> None:
    """`query-qmp-schema` has 200 KB; asyncio's own limit of a line is 64 KiB."""
    text = "x" * 20_000_000

    async def scene(seen: Seen) -> None:
        assert await seen.execute(STATUS) == [ReturnReply(text)]

    asyncio.run(served(obeying(lambda name: {"return": text}), scene))


def test_version_is_the_greetings() -> None:
    async def scene(qemu: FakeQEMU, seen: Seen) -> None:
        assert seen.link.version == QEMUVersion(9, 1, 2)

    played(scene, FakeQEMU(version=QEMUVersion(9, 1, 2)))


# --- What QMP cannot carry --------------------------------------------------------------------------------------------


def deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "command",
    [
        Execute("human-monitor-command", {"command-line": "savevm \udc80"}),
        Execute("human-monitor-command", {"command-line": "savevm \uffff"}),
        Execute("human-monitor-command", {"command-line": "savevm \ufdd0"}),
        Execute("nosuch\ud800"),
        Execute("query-status", {"\ud800": 1}),
        Execute("query-status", {"number": math.nan}),
        Execute("query-status", {"number": [{"deep": -math.inf}]}),
        Execute("query-status", {"deep": deep(100_000)}),
    ],
    ids=["surrogate", "U+FFFF", "noncharacter", "name", "key", "NaN", "infinity", "depth"],
)
def test_what_qmp_cannot_carry_is_refused_here_and_the_connection_lives_on(command: Execute) -> None:
    """QEMU's error about JSON has no id, and the library would end the connection."""

    async def scene(qemu: FakeQEMU, seen: Seen) -> None:
        assert await seen.execute(STATUS, command, STATUS) == [RUNNING, NOT_SENT, RUNNING]
        assert await seen.execute(STATUS) == [RUNNING]
        assert qemu.commands == ["qmp_capabilities"] + ["query-status"] * 3
        assert seen.losses == []

    played(scene)


# --- A lost connection ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_all_that_wait_learn_of_the_loss_and_it_is_told_once(when: When, nth: int) -> None:
    async def scene(qemu: FakeQEMU, seen: Seen) -> None:
        batches = [seen.link.execute([STATUS, STATUS]), seen.link.execute([STATUS, Execute("stop")])]
        results = await asyncio.gather(*batches, return_exceptions=True)
        # The first has been answered if the connection ended behind it.
        assert [isinstance(result, LostError) for result in results] == [nth < 3 and (nth, when) != (2, When.REPLIED), True]
        await until(lambda: seen.losses)
        assert [str(loss) for loss in seen.losses] == [f"the connection to QEMU at unix:{qemu.path} is lost: QEMU closed it"]
        assert not seen.link.is_connected
        with pytest.raises(LostError, match="it has ended"):
            await seen.link.execute([STATUS])
        await seen.link.close()
        assert len(seen.losses) == 1

    # The fake's own reading ahead must not answer behind the drop: it ends with the connection.
    played(scene, FakeQEMU(faults=Faults(drops=[Drop("query-status", when, nth, dies=True)])))


async def lose(qemu: FakeQEMU, seen: Seen) -> None:
    """End the connection, and see that it is told."""
    told = len(seen.losses)
    qemu.disconnect()
    await until(lambda: len(seen.losses) > told)


def test_loss_while_nothing_waits_is_told() -> None:
    async def scene(qemu: FakeQEMU, seen: Seen) -> None:
        await lose(qemu, seen)
        assert not seen.link.is_connected

    played(scene)


@pytest.mark.parametrize(
    "said",
    [b"garbage\r\n", b"5\r\n", b'{"event": "X", "timestamp": 5}\r\n', b'{"error": {"class": "GenericError", "desc": "?"}}\r\n'],
)
def test_what_is_no_qmp_ends_the_connection(said: bytes) -> None:
    async def scene(qemu: FakeQEMU, seen: Seen) -> None:
        qemu.hold("query-status", When.RECEIVED)
        waiting = asyncio.create_task(seen.link.execute([STATUS]))
        await qemu.reached("query-status")
        await qemu.send_raw(said)
        with pytest.raises(LostError):
            await waiting
        await until(lambda: seen.losses)
        qemu.release()

    played(scene)


def test_connects_again_after_a_loss() -> None:
    async def scene(qemu: FakeQEMU, seen: Seen) -> None:
        for _ in range(2):
            await lose(qemu, seen)
            await seen.link.connect()
            assert await seen.execute(STATUS) == [RUNNING]
        assert len(seen.losses) == 2

    played(scene)


def test_connecting_while_connected_makes_a_new_connection_and_tells_no_loss() -> None:
    async def scene(qemu: FakeQEMU, seen: Seen) -> None:
        await seen.link.connect()
        assert await seen.execute(STATUS) == [RUNNING]
        assert (qemu.client_count, seen.losses) == (2, [])

    played(scene)


@pytest.mark.parametrize(
    "stale",
    [{"return": {"of": "another"}}, {"error": {"class": "GenericError", "desc": "of another"}}],
    ids=["return", "error"],
)
@pytest.mark.parametrize("id", [{}, {"id": "__qmp#00000"}, {"id": 7}], ids=["no id", "our next id", "another id"])
def test_reply_that_was_owed_to_an_earlier_client_reaches_nobody(stale: dict[str, Any], id: dict[str, Any]) -> None:
    """QEMU gives it to the next client, between its greeting and the answer to qmp_capabilities."""

    async def run() -> None:
        async with FakeQEMU() as qemu, seeing(UnixAddress(qemu.path)) as seen:
            qemu._stale += json.dumps(stale | id).encode() + b"\r\n"
            await seen.link.connect()
            assert await seen.execute(STATUS, Execute("query-jobs")) == [RUNNING, ReturnReply([])]

    asyncio.run(run())


# --- Closing and cancelling -------------------------------------------------------------------------------------------


def test_close_tells_no_loss_and_a_second_one_does_nothing() -> None:
    async def scene(qemu: FakeQEMU, seen: Seen) -> None:
        await seen.link.close()
        await seen.link.close()
        await qemu.wait_gone()
        assert not seen.link.is_connected
        assert seen.things == []

    played(scene)


def test_close_without_a_connection_does_nothing() -> None:
    async def run() -> None:
        async with seeing(UnixAddress("/nowhere")) as seen:
            await seen.link.close()

    asyncio.run(run())


def test_close_ends_what_waits() -> None:
    async def scene(qemu: FakeQEMU, seen: Seen) -> None:
        qemu.hold("query-status")
        waiting = asyncio.create_task(seen.link.execute([STATUS]))
        await qemu.reached("query-status")
        await seen.link.close()
        with pytest.raises(LostError):
            await waiting
        assert seen.things == []

    played(scene)


def test_late_reply_to_a_cancelled_command_is_dropped_and_the_connection_goes_on() -> None:
    async def scene(qemu: FakeQEMU, seen: Seen) -> None:
        qemu.hold("stop")
        waiting = asyncio.create_task(seen.link.execute([Execute("stop"), Execute("nosuch"), STATUS]))
        await qemu.reached("stop")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        behind = asyncio.create_task(seen.execute(Execute("cont"), STATUS))
        qemu.release()
        assert await behind == [ReturnReply({}), RUNNING]
        # What had been written was done.
        assert seen.events == ["STOP", "RESUME"]
        assert seen.losses == []

    played(scene)
