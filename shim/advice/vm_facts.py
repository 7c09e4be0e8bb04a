"""What advice needs to know about a VM besides its block graph, because it names a job, an export or a device to act on.

No plan asks for these facts: no command depends on them, so nobody who types one has to wait for them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shim.qmp import JSON, Execute, Reply, ReturnReply

__all__ = ["FACT_QUERIES", "BlockJob", "VMFacts", "read_vm_facts"]

_PERIPHERALS = ("/machine/peripheral", "/machine/peripheral-anon")
# In QOM, a device is a property whose type is "child<TYPE>".
_CHILD = "child<"

# `read_vm_facts` reads their replies in this order. An error, as from a QEMU that lacks one, counts as an empty reply.
FACT_QUERIES = (
    Execute("query-status"),
    Execute("query-migrate"),
    Execute("query-migrate-capabilities"),
    Execute("query-block-jobs"),
    Execute("query-block-exports"),
    Execute("query-memory-size-summary"),
    *(Execute("qom-list", {"path": path}) for path in _PERIPHERALS),
)


@dataclass(frozen=True, slots=True)
class BlockJob:
    """kind: a value of QAPI's JobType. is_ready: the job waits to be completed."""

    kind: str
    is_ready: bool = False


@dataclass(frozen=True, slots=True)
class VMFacts:
    """Facts about a VM; a fact that QEMU did not answer keeps its default.

    blocked_reasons: why the VM cannot be migrated, in HMP's order. capabilities: the migration capabilities that are on. jobs:
    by id. exports: node name to the ids of its exports. devices: what `device_del` takes, to its type. ram_bytes: None if
    unknown.
    """

    run_state: str = ""
    blocked_reasons: tuple[str, ...] = ()
    capabilities: frozenset[str] = frozenset()
    jobs: Mapping[str, BlockJob] = field(default_factory=dict)
    exports: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    devices: Mapping[str, str] = field(default_factory=dict)
    ram_bytes: int | None = None

    def kind_of_job(self, job: str) -> str:
        """Return what kind of job it is, as a word before the noun; "" if that is not known."""
        return f"{self.jobs[job].kind} " if job in self.jobs else ""


def read_vm_facts(replies: Sequence[Reply]) -> VMFacts:
    """Read the replies to FACT_QUERIES, given in the same order."""
    values = [reply.value if isinstance(reply, ReturnReply) else None for reply in replies]
    status, migration, capabilities, jobs, exports, memory, *devices = values
    found: dict[str, tuple[str, ...]] = {}
    for export in exports or ():
        found[export["node-name"]] = (*found.get(export["node-name"], ()), export["id"])
    return VMFacts(
        run_state=(status or {}).get("status", ""),
        # QEMU lists the reasons in reverse order.
        blocked_reasons=tuple(reversed((migration or {}).get("blocked-reasons", ()))),
        capabilities=frozenset(entry["capability"] for entry in capabilities or () if entry["state"]),
        jobs={job["device"]: BlockJob(job["type"], job["ready"]) for job in jobs or ()},
        exports=found,
        devices=_devices(devices),
        ram_bytes=None if memory is None else memory["base-memory"] + memory.get("plugged-memory", 0),
    )


def _devices(listed: Sequence[JSON]) -> dict[str, str]:
    """Return the devices that can be unplugged, by id or, without one, by QOM path; `device_del` takes both."""
    found: dict[str, str] = {}
    for path, entries in zip(_PERIPHERALS, listed, strict=True):
        for entry in entries or ():
            if entry["type"].startswith(_CHILD):
                name = entry["name"] if path == _PERIPHERALS[0] else f"{path}/{entry['name']}"
                found[name] = entry["type"].removeprefix(_CHILD).removesuffix(">")
    return found
