"""How the prompt waits for what a plan waits for."""

import asyncio
from collections.abc import Callable

import pytest

from host.intents import IntentStore
from repl import plan_driver
from repl.plan_driver import PlanDriver
from repl.recorder import Recorder
from shim.client import Client
from shim.decisions.decision import Decision, Pass, pass_on
from shim.decisions.plan_run import PlanRun
from shim.hmp.line import HMPLine
from shim.qmp import Execute, ReturnReply
from shim.records.audit import Action, Trace
from tests.fakes.qemu import FakeQEMU, VMFaults, two_disks
from tests.support.proxy.running_vm_proxy import until
from tests.support.raw_client import DEADLINE_S
from tests.support.repl.executing import Bench, played
from tests.support.routing.pure_router import NOW


def a_run(decision: Decision) -> PlanRun:
    return PlanRun(decision, Trace(NOW, 0, Client(), None), is_command=True)


def a_driver(bench: Bench, on_failure: Callable[[Exception], None]) -> PlanDriver:
    recorder = Recorder(Client(), None, lambda exc: pytest.fail(str(exc)), vm_name="vm1")
    return PlanDriver(bench.link, recorder, IntentStore("unix:/qmp", None), on_failure)


def test_command_that_is_passed_goes_out_as_it_is_made() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        driver = a_driver(bench, lambda failure: pytest.fail(str(failure)))
        result = await driver.play(a_run(pass_on(Pass(Action.PASSED, "why"))), lambda: Execute("query-name"))
        assert (result.reply, qemu.commands[-1]) == (ReturnReply({}), "query-name")

    played(scene, FakeQEMU())


def test_failure_of_ours_is_told_once_and_the_command_passed() -> None:
    def failing() -> Decision:
        raise ValueError("ours")
        yield

    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        failures: list[Exception] = []
        result = await a_driver(bench, failures.append).play(a_run(failing()), lambda: Execute("query-name"))
        assert [str(failure) for failure in failures] == ["ours"]
        assert result.reply == ReturnReply({})

    played(scene, FakeQEMU())


@pytest.mark.parametrize("announces", [True, False], ids=["announced", "silent"])
def test_job_that_goes_on_is_waited_for(monkeypatch: pytest.MonkeyPatch, announces: bool) -> None:
    """No QEMU was seen to do so."""
    monkeypatch.setattr(plan_driver, "_POLL_S", DEADLINE_S * 2 if announces else 0.005)
    asked = 10**6

    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        saving = asyncio.create_task(bench.executor.hmp(HMPLine.read("savevm t")))
        await until(lambda: any(job.queries_left < asked for job in qemu.vm.jobs.rows))
        assert not saving.done()
        await qemu.finish_jobs()
        assert (await saving).text == ""
        assert qemu.vm.jobs.rows == []

    played(scene, FakeQEMU(two_disks(), vm_faults=VMFaults(running_queries=asked, announces_late=announces)))
