"""How works end for their clients, and what is on record of it."""

from proxy.routing.answering import Answering
from proxy.routing.pending import PendingReplies
from proxy.routing.plan_runner import LOST
from proxy.routing.recorder import Recorder
from shim.records.audit import Action
from tests.fakes.block import Snapshot
from tests.support.routing.plan_bench import Bench, replies
from tests.support.routing.pure_router import a_monitor


def test_pretty_answer() -> None:
    bench = Bench(pretty=True)
    session = bench.add("delvm t")
    bench.answer()
    assert session.data_to_send() == b'{\r\n    "return": "",\r\n    "id": 1\r\n}\r\n'


def test_failure_is_a_return_in_hmps_words() -> None:
    bench = Bench()
    session = bench.add("loadvm none")
    bench.answer()
    text = "Error: Snapshot 'none' does not exist in one or more devices\r\n"
    assert replies(session) == {"return": text, "id": 1}
    assert bench.outcomes() == [("loadvm none", Action.REWRITTEN)]


def test_refusal_sends_no_job() -> None:
    bench = Bench()
    for _ in range(2):
        bench.qemu.vm.graph["d0"].snapshots.append(Snapshot("9", "t", 1))
    bench.qemu.vm.graph["d1"].snapshots.append(Snapshot("9", "t"))
    session = bench.add("loadvm t")
    bench.answer()
    assert bench.outcomes() == [("loadvm t", Action.REFUSED)]
    assert replies(session)["return"].startswith("Error: ")
    assert len(bench.written) == 1


def test_question_of_nobody_is_not_on_record() -> None:
    bench = Bench()
    clock = bench.clock.clock()
    recorder = Recorder(a_monitor(), clock)
    Answering(recorder, PendingReplies(bench.outbox), bench.outbox, clock).record_lost(bench.maker.recovery(), LOST)
    assert bench.records == []
