"""Whether a command failed is told from HMP's text. The texts are QEMU 7.2's, as a client gets them."""

import pytest

from shim.hmp.line import HMPLine
from shim.records.audit import has_failed

HINT = 'Try "help savevm" for more information\r\n'


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("savevm t", "Error: No block device supports snapshots\r\n"),
        ("savevm t", "State blocked by non-migratable device '0000:00:03.0/virtio'\r\n"),
        ("loadvm t", "x"),
        ('delvm "a b"', "x"),
        ("savevm a b", f"savevm: extraneous characters at the end of line\r\n{HINT}"),
        ('savevm "a', f"savevm: string expected\r\n{HINT}"),
        (
            "info snapshots x",
            'snapshots: extraneous characters at the end of line\r\nTry "help info snapshots" for more information\r\n',
        ),
        ("nosuch", "unknown command: 'nosuch'\r\n"),
        ("info nosuch", "unknown command: 'info nosuch'\r\n"),
        ("device_del x", "Error: Device 'x' not found\r\n"),
        ("info registers", "invalid CPU index\r\n"),
        ("x", "first\r\nError: second\r\n"),
    ],
)
def test_failure(line: str, text: str) -> None:
    assert has_failed(HMPLine.read(line), text)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("savevm t", ""),
        ("savevm", ""),
        ("loadvm t", ""),
        ('delvm "a b"', ""),
        ("info snapshots", "There is no snapshot available.\r\n"),
        ("info status", "VM status: running\r\n"),
        ("info status", ""),
        ("help savevm", "savevm [tag] -- save a VM snapshot. If no tag is provided, a new snapshot is created\r\n"),
        # These words elsewhere are nothing but words.
        ("info block", "d0: /tmp/Error: x.qcow2 (qcow2)\r\n"),
        ("print 1", "an unknown command: 'x'\r\n"),
    ],
)
def test_no_failure(line: str, text: str) -> None:
    assert not has_failed(HMPLine.read(line), text)
