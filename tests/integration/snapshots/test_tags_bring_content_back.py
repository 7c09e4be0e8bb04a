"""Every tag that HMP knows brings back the content that it was given to, and nameless snapshots can all be loaded.

Natively two nameless savevm in one second make two snapshots of one name, and so do two of a tag that is too long; and a tag
that is a number is taken for the id of another snapshot (QEMU 5.2 to 11.1).
"""

import re
from typing import Final

import pytest

from tests.integration.command_lines import BIOS, disk
from tests.integration.machines import Machine, machine
from tests.integration.outcomes import Images
from tests.support.raw_client import RawClient

pytestmark = pytest.mark.versions

DISKS: Final = f"{BIOS} {disk('d0')} {disk('d1')}"
TWO: Final = {"d0.qcow2": "", "d1.qcow2": ""}
EMPTY: Final[Images] = {"d0.qcow2": [], "d1.qcow2": []}

# What HMP is told, and what the snapshot is called.
TAGS: Final = {
    '""': "",
    '"a b"': "a b",
    r'"\n"': "\n",
    r'"\r"': "\r",
    r'"\\"': "\\",
    r'"\'"': "'",
    r'"\""': '"',
    r'"a\nb\r\\\'\"c"': "a\nb\r\\'\"c",
    "'s'": "'s'",
    'q"x': 'q"x',
    r"back\nslash": r"back\nslash",
    "é日😀": "é日😀",
    "0": "0",
    "-x": "-x",
    "%s": "%s",
    "/x": "/x",
    "\x01\x7f\u00a0": "\x01\x7f\u00a0",
    "a" * 255: "a" * 255,
    "é" * 127 + "x": "é" * 127 + "x",
}


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
def test_tag_brings_its_content_back(paused: bool) -> None:
    """All in one VM, so that none takes another's place."""
    with machine(DISKS + (" -S" if paused else ""), TWO) as vm, vm.proxied() as (client, _):
        for pattern, (spelled, name) in enumerate(TAGS.items(), start=1):
            vm.write(pattern, "d0", "d1")
            assert client.hmp(f"savevm {spelled}") == ""
            assert vm.tags("d0.qcow2")[-1] == vm.tags("d1.qcow2")[-1] == name
        assert vm.tags("d0.qcow2") == list(TAGS.values())
        for pattern, spelled in enumerate(TAGS, start=1):
            assert client.hmp(f"loadvm {spelled}") == ""
            assert vm.patterns("d0", "d1") == [pattern, pattern]
        for spelled in TAGS:
            assert client.hmp(f"delvm {spelled}") == ""
        assert vm.images == EMPTY


@pytest.mark.needs_snapshot_jobs
def test_nameless_snapshots_can_all_be_loaded() -> None:
    """Also those of one second. Of HMP's only the first could be loaded."""
    with machine(f"{DISKS} -S", TWO) as vm, vm.proxied() as (client, _):
        for pattern in (0xAA, 0xBB, 0xCC):
            vm.write(pattern, "d0", "d1")
            assert client.hmp("savevm") == ""
        names = [snapshot["name"] for snapshot in client.returned("query-block")[0]["inserted"]["image"]["snapshots"]]
        assert len(set(names)) == 3
        for name, pattern in zip(names, (0xAA, 0xBB, 0xCC), strict=True):
            assert client.hmp(f"loadvm {name}") == ""
            assert vm.patterns("d0", "d1") == [pattern, pattern]


@pytest.mark.parametrize("way", ["native", "proxied"])
def test_too_long_tag_is_cut_as_hmp_cuts_it(way: str) -> None:
    """It is found by what is left of it only."""
    cut, whole = "a" * 255, "a" * 256
    with machine(DISKS, TWO) as vm, vm.asked(way) as client:
        vm.write(0xAA, "d0", "d1")
        assert client.hmp(f"savevm {whole}") == ""
        assert vm.images == {"d0.qcow2": [(cut, True)], "d1.qcow2": [(cut, False)]}
        assert client.hmp(f"delvm {whole}") == ""
        assert re.fullmatch(f"Error: .*'{whole}'.*\r\n", client.hmp(f"loadvm {whole}"))
        vm.write(0xBB, "d0", "d1")
        assert client.hmp(f"loadvm {cut}") == ""
        assert vm.patterns("d0", "d1") == [0xAA, 0xAA]


@pytest.mark.needs_snapshot_jobs
def test_too_long_tag_saved_twice_is_not_loaded() -> None:
    """HMP would load the older content, and say that all is well."""
    cut, whole = "a" * 255, "a" * 256
    with machine(DISKS, TWO) as vm, vm.proxied() as (client, _):
        for pattern in (0xAA, 0xBB):
            vm.write(pattern, "d0", "d1")
            assert client.hmp(f"savevm {whole}") == ""
        assert vm.tags("d0.qcow2") == [cut, cut]
        assert f" has 2 snapshots named '{cut}'" in client.hmp(f"loadvm {cut}")
        assert vm.run_state == "running"
        assert vm.patterns("d0", "d1") == [0xBB, 0xBB]
        vm.write(0xCC, "d0", "d1")
        assert client.hmp(f"savevm {cut}") == ""
        assert client.hmp(f"loadvm {cut}") == ""
        assert vm.patterns("d0", "d1") == [0xCC, 0xCC]


def save_numbers(vm: Machine, client: RawClient) -> None:
    """Return the disks snapshots whose ids are 2, 3 and 4 and whose tags are 2, 1 and 3."""
    for pattern, tag in enumerate("1213", start=1):
        vm.write(pattern, "d0", "d1")
        assert client.hmp(f"savevm {tag}") == ""
    assert vm.tags("d0.qcow2") == ["2", "1", "3"]


def test_natively_a_number_loads_the_snapshot_of_that_id() -> None:
    """This is what must not happen: QEMU says that all is well, and brings back what was not asked for."""
    with machine(DISKS, TWO) as vm, vm.native() as client:
        save_numbers(vm, client)
        assert client.hmp("loadvm 3") == ""
        assert vm.patterns("d0", "d1") == [3, 3]


@pytest.mark.needs_snapshot_jobs
def test_number_that_is_the_id_of_another_is_not_loaded() -> None:
    """What the text says then helps."""
    with machine(DISKS, TWO) as vm, vm.proxied() as (client, _):
        save_numbers(vm, client)
        for tag, pattern in (("2", 2), ("1", 3)):
            assert client.hmp(f"loadvm {tag}") == ""
            assert vm.patterns("d0", "d1") == [pattern, pattern]
        text = client.hmp("loadvm 3")
        assert text.startswith("Error: on 'd0' 3 is also the id of the snapshot '1', and loading would silently take that one")
        assert vm.run_state == "running"
        assert vm.patterns("d0", "d1") == [3, 3]
        way = re.search(r"savevm 4, QMP snapshot-load with tag '4', vmstate '(.*)' and devices \['(.*)', '(.*)'\]", text)
        assert way is not None
        assert client.hmp("savevm 4") == ""
        load = {"job-id": "by-id", "tag": "4", "vmstate": way[1], "devices": [way[2], way[3]]}
        assert client.returned("snapshot-load", load) == {}
        client.read_until_event("JOB_STATUS_CHANGE", id="by-id", status="concluded")
        assert vm.patterns("d0", "d1") == [4, 4]
        assert client.hmp("delvm 4") == ""
        assert vm.tags("d0.qcow2") == ["2", "1", "3"]
        assert client.hmp("delvm 1") == ""
        assert client.hmp("loadvm 3") == ""
        assert vm.patterns("d0", "d1") == [4, 4]
