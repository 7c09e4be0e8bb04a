"""Fixtures for tests against a real QEMU."""

import pytest

from shim.qmp import QEMUVersion
from tests.integration.qemu_vm import QEMUVM, version


@pytest.fixture(scope="session")
def qemu_version() -> QEMUVersion:
    """The version of the QEMU under test."""
    with QEMUVM() as vm:
        return version(vm)
