"""Fixtures for tests against a real QEMU."""

import re
import subprocess
from collections.abc import Iterator

import pytest

from shim.qmp import QEMUVersion
from tests.integration.machines import Machine
from tests.integration.prompt.sitting import restore, two_disks
from tests.integration.qemu_vm import QEMUVM, qemu_binary, version


@pytest.fixture(scope="package", autouse=True)
def _programs_run_as_for_people() -> Iterator[None]:
    """Without asyncio's debug mode, which the unit tests have: it takes a fifth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONASYNCIODEBUG", raising=False)
        yield


@pytest.fixture(scope="session")
def qemu_version() -> QEMUVersion:
    """The version of the QEMU under test."""
    with QEMUVM() as vm:
        return version(vm)


@pytest.fixture(scope="module")
def started() -> Iterator[Machine]:
    """A VM with two disks that all tests of a file share."""
    with two_disks() as running:
        yield running


@pytest.fixture
def vm(started: Machine) -> Machine:
    """The VM of the file, running and without snapshots."""
    restore(started)
    return started


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_snapshot_jobs: about what no proxy can do before QEMU 6.0")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take only the tests that are about the QEMU under test; test_qemu_without_jobs.py is about the others."""
    needing = [item for item in items if item.get_closest_marker("needs_snapshot_jobs")]
    if needing and not _has_snapshot_jobs():
        config.hook.pytest_deselected(items=needing)
        items[:] = [item for item in items if item not in needing]


def _has_snapshot_jobs() -> bool:
    said = subprocess.run([qemu_binary(), "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"version (\d+)\.", said)
    assert found is not None, said
    return int(found[1]) >= 6
