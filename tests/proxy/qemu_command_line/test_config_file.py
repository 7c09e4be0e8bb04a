"""Files for -readconfig: groups with keys and values."""

import pytest

from proxy.qemu_command_line.config_file import Group, read, write


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("", []),
        ('[mon]\n  chardev = "c"\n', [Group("mon", None, {"chardev": "c"})]),
        (
            '# a comment\n\n[chardev "c"]\n  backend = "null"\n[mon "m"]\nchardev="c"\n',
            [Group("chardev", "c", {"backend": "null"}), Group("mon", "m", {'chardev="c"': ""})],
        ),
        ('[mon]\n\tchardev =   "c" and more\n', [Group("mon", None, {"chardev": "c"})]),
        ('[mon]\n  chardev = ""\n', [Group("mon", None, {"chardev": ""})]),
        ("[mon]\n  chardev\n", [Group("mon", None, {"chardev": ""})]),
        ('[mon]\n  mode = "readline"\n  mode = "control"', [Group("mon", None, {"mode": "control"})]),
        ('[chardev   "c"\n[mon', [Group("chardev", "c"), Group("mon", None)]),
    ],
)
def test_file_has_groups(text: str, groups: list[Group]) -> None:
    assert read(text) == groups


@pytest.mark.parametrize("text", ['chardev = "c"\n', "[mon]\n   \n", "[]\n", "[\n"])
def test_file_may_be_wrong(text: str) -> None:
    assert read(text) is None


def test_what_is_written_is_read() -> None:
    groups = [Group("chardev", "c", {"backend": "socket", "fd": "5"}), Group("mon", None, {"chardev": "c"})]
    assert write(*groups) == '[chardev "c"]\n  backend = "socket"\n  fd = "5"\n[mon]\n  chardev = "c"\n'
    assert read(write(*groups)) == groups
