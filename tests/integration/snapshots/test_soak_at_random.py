"""The soak on real VMs: a short one, and what it does about what it must find."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from shim.plans.jobs import JOB_PREFIX
from tests.soak import __main__ as program
from tests.soak.drivers import Driver
from tests.soak.oracle import Answer, Asked, Command, Verb, Violation
from tests.soak.play import Play
from tests.soak.scene import DEADLINE_S, PROFILES, Machine, Scene

pytestmark = pytest.mark.needs_snapshot_jobs

SEED: Final = os.environ["HMPSHIM_FAULT_SEED"]
MINUTES: Final = "0.7"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: a socket's has an end."""
    made = Path(tempfile.mkdtemp(prefix="soak", dir="/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def driver(folder: Path) -> Iterator[Driver]:
    """A driver of a VM with two disks, and the tag `a` on them."""
    scene = Scene(folder, PROFILES[1:2])
    with scene:
        driver = Driver(Play("1", scene), scene.machines[0])
        driver.write()
        command = Command(Verb.SAVE, "a", driver.play.new_key("savevm a"))
        driver.play.ask_for(driver.machine, command.key)
        driver.judge.ask([[Asked(command, Answer.DONE)]])
        driver.see([])
        yield driver
    scene.remove()


def test_nothing_is_lost_in_a_short_soak(capsys: pytest.CaptureFixture[str]) -> None:
    """A longer one, and this one again: ./run soak MINUTES --seed SEED."""
    status = program.main([MINUTES, "--seed", SEED])
    said = capsys.readouterr()
    assert status == 0, said.out + said.err
    assert "all as it must be" in said.out


def test_lost_snapshot_is_found(driver: Driver) -> None:
    delete(driver.machine, "a")
    with pytest.raises(Violation, match="a: 1}"):
        driver.see([])


def test_snapshot_with_another_content_is_found(driver: Driver) -> None:
    delete(driver.machine, "a")
    driver.machine.observer.hmp('qemu-io d1 "write -q -P 77 0 64k"')
    save(driver.machine, "a")
    driver.machine.observer.hmp('qemu-io d1 "write -q -P 1 0 64k"')
    driver.see([])  # it looks as before
    with pytest.raises(Violation, match="content=77"):
        driver.look_closely()


def test_content_that_was_not_loaded_is_found(driver: Driver) -> None:
    driver.write()
    driver.judge.ask([[Asked(Command(Verb.LOAD, "a", "loadvm a"), Answer.DONE)]])
    with pytest.raises(Violation, match="now: 1"):
        driver.see([])


def test_job_that_is_left_is_found(driver: Driver) -> None:
    driver.check_jobs()
    save(driver.machine, "b", job_id=f"{JOB_PREFIX}left", is_dismissed=False)
    with pytest.raises(Violation, match="hmpshim-left"):
        driver.check_jobs()


def crash(driver: Driver, number: signal.Signals) -> None:
    assert driver.machine.vm.process is not None
    driver.machine.vm.process.send_signal(number)
    driver.machine.vm.process.wait(DEADLINE_S)


@pytest.mark.parametrize(("number", "major"), [(signal.SIGABRT, 7), (signal.SIGSEGV, 8), (signal.SIGSEGV, 11)])
def test_crash_of_qemu_is_found(driver: Driver, number: signal.Signals, major: int) -> None:
    driver.machine.qemu_major = major
    crash(driver, number)
    with pytest.raises(Violation, match=f"exit status -{number.value}"):
        driver.episode()


def test_crash_of_qemu_7s_own_counts_as_a_kill(driver: Driver) -> None:
    driver.machine.qemu_major = 7
    crash(driver, signal.SIGSEGV)
    driver.episode()
    assert driver.play.tally["QEMU crashed by itself"] == 1


def save(vm: Machine, tag: str, *, job_id: str = "own", is_dismissed: bool = True) -> None:
    """Save behind everybody's back."""
    vm.observer.returned("snapshot-save", {"job-id": job_id, "tag": tag, "vmstate": "n0", "devices": vm.profile.nodes})
    vm.observer.read_until_event("JOB_STATUS_CHANGE", id=job_id, status="concluded")
    if is_dismissed:
        vm.observer.returned("job-dismiss", {"id": job_id})


def delete(vm: Machine, tag: str) -> None:
    """Delete behind everybody's back."""
    assert vm.observer.hmp(f"delvm {tag}") == ""
