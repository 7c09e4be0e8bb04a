"""A name of QEMU is known by the program's own name alone."""

import pytest

from proxy.wrapping.qemu_name import is_name_of_qemu


@pytest.mark.parametrize(
    ("program", "is_qemu"),
    [
        ("qemu-system-x86_64", True),
        ("/usr/local/bin/qemu-system-arm", True),
        ("/usr/bin/hmp-proxy", False),
        ("/opt/qemu-system-x86_64/hmp-proxy", False),
        ("/checkout/proxy/__main__.py", False),
    ],
)
def test_name_of_qemu(program: str, is_qemu: bool) -> None:
    assert is_name_of_qemu(program) == is_qemu
