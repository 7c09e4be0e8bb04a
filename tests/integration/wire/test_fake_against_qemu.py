"""FakeQEMU says what QEMU 7.2 says: the same commands to both, and the transcripts must be equal.

Compared is every message in order, with its members in order. Made equal beforehand are times, sizes, permissions and the
numbers of query-migrate, which the fake does not model.
"""

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import pytest

from shim.qmp import QEMUVersion
from tests.fakes.qemu import Backend, FakeQEMU, Node, disk, two_disks, uefi_vm
from tests.integration.qemu_vm import IDLE_ROM, QEMUVM, make_qcow2, make_raw
from tests.support.raw_client import RawClient, command_bytes

# An HMP line, raw bytes, or a command with its arguments.
Step: TypeAlias = str | bytes | tuple[str, dict[str, Any]]

MODELLED: Final = (7, 2)
NUMBERS: Final = frozenset(
    {"seconds", "microseconds", "date-sec", "date-nsec", "vm-clock-sec", "vm-clock-nsec"}
    | {"actual-size", "virtual-size", "thread-id", "micro"}
)
MIGRATION_NUMBERS: Final = frozenset({"ram", "total-time", "setup-time", "downtime"})
TIMES: Final = re.compile(rb'("(?:micro)?seconds"): \d+')
TABLE_NUMBERS: Final = re.compile(
    r"(?P<size> *[1-9][\d.]* [KM]?i?B)|(?P<date> *\d+-\d+-\d+ \d+:\d+:\d+)|(?P<clock> *\d+:\d+:\d+\.\d+)"
)


def normal(value: Any, key: str = "") -> Any:
    """Return the value without what differs from run to run."""
    match value:
        case dict():
            return {name: normal(item, name) for name, item in value.items() if name not in MIGRATION_NUMBERS}
        case list() if key not in {"perm", "shared-perm"}:
            return [normal(item) for item in value]
        case list():
            return []
        case int() if key in NUMBERS:
            return 0
        case int() if key == "vm-state-size":
            return min(value, 1)
        case str() if key == "package":
            return ""
        case str() if key in {"file", "filename"} and value.startswith("json:"):
            return "json:"
        case str() if key == "return":
            return TABLE_NUMBERS.sub(lambda found: f"<{found.lastgroup}>", value)
    return value


def play(client: RawClient, steps: Sequence[Step]) -> list[str]:
    """Send each step, wait for its reply, and give the whole transcript."""
    client.receive_message()
    for number, step in enumerate(steps):
        if isinstance(step, str):
            step = ("human-monitor-command", {"command-line": step})
        client.send(step if isinstance(step, bytes) else command_bytes(*step, id=f"step-{number}"))
        client.read_until_reply()
    return [json.dumps(normal(json.loads(message))) for message in client.transcript]


@dataclass(frozen=True, slots=True)
class Setup:
    """A machine, as the model's nodes and as QEMU's arguments."""

    nodes: Callable[[], list[Node]]
    args: str
    qcow2: Mapping[str, str] = field(default_factory=dict)  # file name → options of qemu-img create
    raw: Mapping[str, bytes] = field(default_factory=dict)
    backends: Sequence[Backend] | None = None

    def play_fake(self, steps: Sequence[Step], *, run_state: str) -> list[str]:
        async def run() -> list[str]:
            async with FakeQEMU(self.nodes(), backends=self.backends, run_state=run_state) as fake:
                with RawClient.connect(fake.path) as client:
                    return await asyncio.to_thread(play, client, steps)

        return asyncio.run(run())

    def play_real(self, steps: Sequence[Step], *, run_state: str) -> list[str]:
        # A sleeping guest: SeaBIOS would set the disks' write caches while we look.
        firmware = [] if "pflash" in self.args else ["-bios", "idle.rom"]
        vm = QEMUVM([*self.args.split(), *firmware, *(["-S"] if run_state == "prelaunch" else [])])
        vm.path("idle.rom").write_bytes(IDLE_ROM)
        for name, options in self.qcow2.items():
            make_qcow2(vm.path(name), options=options.format(folder=vm.folder))
        for name, content in self.raw.items():
            make_raw(vm.path(name), content=content)
        with vm, vm.connect() as client:
            return play(client, steps)


def blockdev(name: str, driver: str = "qcow2") -> str:
    file = f"-blockdev driver=file,filename={name}.img,node-name={name}-file"
    return f"{file} -blockdev driver={driver},file={name}-file,node-name={name}"


def drive(name: str, options: str) -> str:
    return f"-drive {options},file={name}.img,node-name={name},file.node-name={name}-file"


def data_file() -> list[Node]:
    """Two unused nodes; the second has an external data file: QEMU finds late that it cannot store a snapshot."""
    nodes = [*disk("d0"), *disk("d1")]
    nodes[-1].can_store = False
    return nodes


def backing() -> list[Node]:
    base, over = disk("base", ro=True), disk("over", device="", qdev=VIRTIO_0)
    base[0].ro = False
    over[1].children["backing"] = "base"
    over[1].filename = "json:"
    return [*base, *over]


VIRTIO_0, VIRTIO_1 = (f"/machine/peripheral/v{number}/virtio-backend" for number in (0, 1))


def data_disk() -> list[Node]:
    return [
        *disk("disk0", device="d0", qdev=VIRTIO_0),
        *disk("raw0", "raw", device="r0", qdev=VIRTIO_1),
    ]


def stacked() -> list[Node]:
    """A filter-like raw node on qcow2, and a qcow2 node that nothing uses."""
    return [
        *disk("low"),
        Node("top", "raw", children={"file": "low"}, filename='json:{"driver": "raw"}'),
        *disk("free"),
    ]


CODE: Final = "if=pflash,format=raw,readonly=on"
SETUPS: Final[Mapping[str, Setup]] = {
    "two": Setup(
        two_disks,
        f"{blockdev('d0')} {blockdev('d1')} -device virtio-blk,drive=d0,id=v0 -device virtio-blk,drive=d1,id=v1",
        {"d0.img": "", "d1.img": ""},
    ),
    # The devices in the other order than the nodes: BlockBackends have an order of their own.
    "reversed": Setup(
        lambda: [*disk("d0"), *disk("d1")],
        f"{blockdev('d0')} {blockdev('d1')} -device virtio-blk,drive=d1,id=v1 -device virtio-blk,drive=d0,id=v0",
        {"d0.img": "", "d1.img": ""},
        backends=[Backend("d1", qdev=VIRTIO_1), Backend("d0", qdev=VIRTIO_0)],
    ),
    "uefi": Setup(
        uefi_vm,
        f"{drive('code', CODE)} {drive('vars', 'if=pflash,format=raw')}"
        f" {drive('disk0', 'if=none,id=d0,format=qcow2')} -device virtio-blk,drive=d0,id=v0",
        {"disk0.img": ""},
        {"code.img": IDLE_ROM, "vars.img": b""},
    ),
    "data": Setup(
        data_disk,
        f"{drive('disk0', 'if=none,id=d0,format=qcow2')} {drive('raw0', 'if=none,id=r0,format=raw')}"
        " -device virtio-blk,drive=d0,id=v0 -device virtio-blk,drive=r0,id=v1",
        {"disk0.img": ""},
        {"raw0.img": b""},
    ),
    "stacked": Setup(
        stacked,
        f"{blockdev('low')} -blockdev driver=raw,file=low,node-name=top {blockdev('free')}"
        " -device virtio-blk,drive=top,id=v0 -device ide-cd,id=cd0",
        {"low.img": "", "free.img": ""},
        backends=[Backend("top", qdev=VIRTIO_0), Backend(None, qdev="cd0", removable=True)],
    ),
    "data-file": Setup(data_file, f"{blockdev('d0')} {blockdev('d1')}", {"d0.img": "", "d1.img": "data_file={folder}/d1.raw"}),
    "backing": Setup(
        backing,
        f"{blockdev('base')},read-only=on {blockdev('over')},backing=base -device virtio-blk,drive=over,id=v0",
        {"base.img": "", "over.img": ""},
    ),
    "empty": Setup(list, ""),
}

NEGOTIATE: Final[Step] = ("qmp_capabilities", {})
JOBS: Final[Step] = ("query-jobs", {})
STATUS: Final[Step] = ("query-status", {})
QUERIES: Final[Sequence[Step]] = (
    ("query-block", {}),
    ("query-named-block-nodes", {"flat": True}),
    ("query-named-block-nodes", {}),
    ("x-debug-query-block-graph", {}),
)


def save(tag: str, *devices: str, job: str = "j", vmstate: str | None = None) -> Step:
    where = vmstate if vmstate is not None else devices[0]
    return "snapshot-save", {"job-id": job, "tag": tag, "vmstate": where, "devices": list(devices)}


def load(tag: str, *devices: str, job: str = "j", vmstate: str | None = None) -> Step:
    where = vmstate if vmstate is not None else devices[0]
    return "snapshot-load", {"job-id": job, "tag": tag, "vmstate": where, "devices": list(devices)}


def delete(tag: str, *devices: str, job: str = "j") -> Step:
    return "snapshot-delete", {"job-id": job, "tag": tag, "devices": list(devices)}


def seen(*jobs: Step, job: str = "j") -> list[Step]:
    """Each job, then its row, then its dismissal."""
    return [step for started in jobs for step in (started, JOBS, ("job-dismiss", {"id": job}))]


BOTH: Final = ("d0", "d1")
DOUBLED: Final = [*seen(save("t", "d1"), save("t", *BOTH)), *QUERIES]

SCENARIOS: Final[Mapping[str, tuple[str, Sequence[Step]]]] = {
    "save": ("two", seen(save("t", *BOTH))),
    "save-same-tag": ("two", seen(save("t", *BOTH), save("t", *BOTH))),
    "save-load-delete": ("two", [*seen(save("t", *BOTH), load("t", *BOTH), delete("t", *BOTH)), *QUERIES]),
    "load-missing-tag": ("two", [*seen(load("no", *BOTH)), STATUS, ("cont", {}), STATUS]),
    "delete-missing-tag": ("two", seen(delete("no", *BOTH))),
    "partial-tag": ("two", [*seen(save("t", "d0"), load("t", *BOTH)), "loadvm t", "info snapshots", "delvm t"]),
    "duplicate": ("two", [*DOUBLED, *seen(load("t", *BOTH)), "info snapshots", "delvm t", "info snapshots"]),
    "duplicate-on-vmstate": (
        "two",
        [*seen(save("t", "d0"), save("t", *BOTH)), "info snapshots", *seen(load("t", *BOTH))],
    ),
    "duplicate-is-not-on-all": ("two", [*seen(save("t", "d1", vmstate="d1"), save("t", *BOTH)), "loadvm t"]),
    "duplicate-device": ("two", [*seen(save("t", "d0", "d0")), *QUERIES, *seen(delete("t", "d0"), delete("t", "d0"))]),
    "duplicate-survives-savevm": ("two", [*seen(save("t", "d1"), save("t", *BOTH)), "savevm t", *QUERIES]),
    "disk-only": ("two", [*seen(save("t", *BOTH, vmstate="d1"), load("t", *BOTH)), STATUS, "loadvm t", "savevm t"]),
    "vmstate-on-second": ("two", seen(save("t", *BOTH, vmstate="d1"), load("t", *BOTH, vmstate="d1"))),
    "vmstate-not-in-devices": ("two", seen(save("t", "d0", vmstate="d1"), load("t", "d0", vmstate="d1"))),
    "unknown-vmstate": ("two", seen(save("t", *BOTH, vmstate="no"), delete("t", "d0"))),
    "unknown-device": ("two", [*seen(save("t", "d0", "no"), load("t", "no"), delete("t", "no")), STATUS]),
    "drive-id-is-no-node": ("uefi", [*seen(save("t", "d0")), *seen(save("t", "disk0", vmstate="d0"))]),
    "no-devices": ("two", seen(save("t", vmstate="d0"), load("t", vmstate="d0"), delete("t"))),
    "protocol-node": ("two", seen(save("t", "d0-file"), delete("t", "d0-file"))),
    "read-only-device": ("uefi", seen(save("t", "code"), delete("t", "code", "disk0"))),
    "empty-tag": ("two", [*seen(save("", *BOTH), load("", *BOTH)), 'savevm ""', 'delvm ""', "info snapshots"]),
    "line-feed-tag": ("two", [*seen(load("a\nb", *BOTH)), 'loadvm "a\\nb"', 'savevm "a\\nb"', "info snapshots"]),
    "long-tag": ("two", [*seen(save("t" * 300, *BOTH), load("t" * 300, *BOTH)), *QUERIES]),
    "unicode-tag": ("two", [*seen(save("é日😀\x7f", *BOTH), load("é", *BOTH)), *QUERIES]),
    "job-ids": (
        "two",
        [save("t", "d0"), save("u", "d0"), ("job-dismiss", {"id": "no"}), ("job-dismiss", {"id": "j"}), JOBS]
        + [save("u", "d0", job=job) for job in ("", "1x", "_x", "a b", "é", "a:b", "a-b.c_d")],
    ),
    "many-jobs": ("two", [save("t", *BOTH, job="a"), save("t", *BOTH, job="b"), delete("t", "d1", job="c"), JOBS]),
    "arguments": (
        "two",
        [
            ("snapshot-save", {}),
            ("snapshot-save", {"job-id": "j", "tag": 5, "vmstate": "d0", "devices": ["d0"]}),
            ("snapshot-save", {"job-id": "j", "tag": "t", "vmstate": "d0", "devices": ["d0", 4], "x": 1}),
            ("snapshot-save", {"job-id": "j", "tag": "t", "vmstate": "d0", "devices": "d0"}),
            ("snapshot-delete", {"job-id": "j", "tag": "t", "vmstate": "d0", "devices": ["d0"]}),
            ("job-dismiss", {}),
            ("query-status", {"x": 1}),
            ("query-named-block-nodes", {"flat": 1}),
            ("no-such-command", {}),
            ("human-monitor-command", {}),
            ("human-monitor-command", {"command-line": None}),
            ("human-monitor-command", {"command-line": "loadvm t", "cpu-index": 1}),
            ("human-monitor-command", {"command-line": "loadvm t", "cpu-index": True}),
            ("human-monitor-command", {"command-line": "loadvm t", "cpu-index": 0}),
        ],
    ),
    "hmp": ("two", ["savevm t", "savevm t", "loadvm t", "info snapshots", "delvm t", "delvm t", "loadvm t", STATUS]),
    "hmp-lines": (
        "two",
        [
            *("savevm a b", "loadvm", "delvm ", 'savevm "x', 'savevm "a"b', 'savevm "bad\\t"', "SAVEVM x", "", " \n"),
            *("info snapshots x", "info nosuch", "info/snapshots", " savev x", "savevm/x", 'savevm un"ter'),
            "info snapshots",
        ],
    ),
    "hmp-raw-data-disk": (
        "data",
        ["savevm t", "loadvm t", "delvm t", STATUS, *seen(save("t", "disk0", "raw0")), *QUERIES],
    ),
    "hmp-uefi": ("uefi", ["savevm t", "loadvm t", "delvm t", "info snapshots", *QUERIES]),
    "uefi-by-job": (
        "uefi",
        [*seen(save("t", "disk0"), load("t", "disk0")), "info snapshots", *seen(delete("t", "disk0"))],
    ),
    "hmp-order-of-devices": (
        "reversed",
        ["savevm t", *QUERIES, "info snapshots", *seen(save("u", "d1")), "info snapshots"],
    ),
    "hmp-stacked": ("stacked", ["savevm t", "loadvm t", "info snapshots", *QUERIES, "delvm t"]),
    "create-fails": ("data-file", ["savevm t", *seen(save("t", *BOTH)), STATUS]),
    "hmp-backing": ("backing", ["savevm t", "loadvm t", "info snapshots", *QUERIES, *seen(save("u", "over", "base"))]),
    "hmp-no-disks": ("empty", ["savevm t", "loadvm t", "delvm t", "info snapshots", STATUS, *QUERIES]),
    "run-state": ("two", [STATUS, ("stop", {}), ("stop", {}), STATUS, "savevm t", "loadvm t", "loadvm no", STATUS]),
    "restore-vm": (
        "two",
        ["savevm t", "loadvm no", STATUS, ("stop", {}), "savevm u", "loadvm t", STATUS, ("cont", {})],
    ),
    "other-queries": (
        "two",
        [(f"query-{name}", {}) for name in ("name", "version", "cpus-fast", "migrate", "block-jobs", "yank")]
        + ["savevm t", ("query-migrate", {})],
    ),
}

NEGOTIATION: Final[Sequence[Step]] = (
    ("query-name", {}),
    b"{}\n",
    b"[]\n",
    b'"x"\n',
    b'{"execute":5}\n',
    b'{"execute":"qmp_capabilities","arguments":{"enable":["nope"]}}',
    b'{"execute":"qmp_capabilities","id":{"b":1,"a":null}}',
    ("qmp_capabilities", {}),
    ("no-such", {}),
    b'{"execute":"query-name","bogus":1,"id":5}\n',
    b'{"exec-oob":"query-yank","id":5}\n',
    b'{"execute":"query-name","arguments":[],"id":[1.0, 1e3, "\\u00e9"]}\n',
    b"{'execute':\n 'query-name',\r\n 'id': 'it\\'s \"x\"'}",
    b'{"arguments":{},"id":null}\n',
)
OOB: Final[Sequence[Step]] = (
    ("qmp_capabilities", {"enable": ["oob"]}),
    b'{"exec-oob":"query-yank","id":5}\n',
    b'{"exec-oob":"query-name","id":5}\n',
    b'{"execute":"query-name","exec-oob":"query-yank","id":5}\n',
)


@pytest.fixture(autouse=True)
def _modelled_version(qemu_version: QEMUVersion) -> None:
    if qemu_version[:2] != MODELLED:
        pytest.skip(f"the fake models QEMU 7.2; this is {qemu_version}")


@pytest.mark.parametrize("run_state", ["running", "prelaunch"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_fake_says_what_qemu_says(name: str, run_state: str) -> None:
    setup_name, steps = SCENARIOS[name]
    setup = SETUPS[setup_name]
    steps = [NEGOTIATE, *steps, ("query-name", {})]
    assert setup.play_fake(steps, run_state=run_state) == setup.play_real(steps, run_state=run_state)


@pytest.mark.parametrize("steps", [NEGOTIATION, OOB], ids=["in-band", "out-of-band"])
def test_fake_negotiates_as_qemu(steps: Sequence[Step]) -> None:
    setup = SETUPS["empty"]
    assert setup.play_fake(steps, run_state="running") == setup.play_real(steps, run_state="running")


SPELT: Final[list[Any]] = [
    *("".join(map(chr, range(1, 128))), "\0\x80\x9f\xa0é\u07ff\u0800\u2028\ufffd", "\U00010000😀\U0010fffd", "<&>/\\u00e9"),
    *(0, -1, 2**63 - 1, -(2**63), 2**64 - 1, 1.5, -0.1, 1e300, 5e-324, 1.0, True, False, None),
    *([], {}, [[]], {"k": {}}, {"z": [1, {"b": None, "a": ""}], "é\n": [True], "": 0}),
]


@pytest.mark.parametrize("pretty", [False, True])
def test_fake_spells_as_qemu(pretty: bool) -> None:
    """The bytes, not the values: escapes, numbers, blanks, the order of members, and the lines of QEMU's pretty mode."""

    def talk(client: RawClient) -> list[bytes]:
        client.negotiate()
        client.execute("query-name", None, {"z": [], "a": [1, {}]})
        for value in SPELT:
            client.execute("nosuch", None, value)
        client.execute("stop")
        return [TIMES.sub(rb"\1: 0", message) for message in client.transcript[1:]]

    async def run() -> list[bytes]:
        async with FakeQEMU(pretty=pretty) as fake:
            with RawClient.connect(fake.path, pretty=pretty) as client:
                return await asyncio.to_thread(talk, client)

    with QEMUVM(pretty=pretty) as vm, vm.connect() as client:
        real = talk(client)
    assert asyncio.run(run()) == real


def lose_client(path: str, again: Callable[[], RawClient]) -> list[str]:
    """Leave while a savevm runs, come back, and give what the second client receives."""
    with RawClient.connect(path) as client:
        client.negotiate()
        client.send(command_bytes("human-monitor-command", {"command-line": "savevm t"}, id="OLD"))
        client.read_until_event("STOP")
    with again() as client:
        client.receive_message()
        client.send(command_bytes("qmp_capabilities", id="NEW"))
        client.read_until_reply()
        if len(client.transcript) == 2 and b"OLD" in client.transcript[-1]:
            client.read_until_reply()
        return [message.decode() for message in client.transcript[1:]]


def test_fake_gives_a_stale_reply_to_the_next_client_as_qemu() -> None:
    async def run() -> list[str]:
        async with FakeQEMU(two_disks()) as fake:
            fake.hold("human-monitor-command")
            second = asyncio.to_thread(lose_client, fake.path, lambda: RawClient.connect(fake.path))
            task = asyncio.create_task(second)
            await fake.reached("human-monitor-command")
            await fake.wait_gone()
            fake.release()
            return await task

    vm = QEMUVM(drive("disk0", "if=none,id=d0,format=qcow2").split())
    make_qcow2(vm.path("disk0.img"))
    modelled = asyncio.run(run())
    assert "OLD" in modelled[0]
    with vm:
        # On a busy machine QEMU may have answered before the client is gone.
        assert modelled in (lose_client(vm.qmp_path, vm.connect) for _ in range(10))
