"""What advice knows beside the block graph, of the answers of QEMU 11.1 and of one that tells nothing."""

from typing import Any, Final

from shim.advice.vm_facts import FACT_QUERIES, BlockJob, VMFacts, read_vm_facts
from shim.qmp import ErrorReply, Reply, ReturnReply

JOB: Final[dict[str, Any]] = {"device": "mir", "type": "mirror", "ready": True, "status": "ready", "len": 1, "offset": 1}
ANSWERS: Final[dict[str, Any]] = {
    "query-status": {"status": "running", "running": True},
    "query-migrate": {"blocked-reasons": ["the later one", "the first"]},
    "query-migrate-capabilities": [{"capability": "multifd", "state": True}, {"capability": "xbzrle", "state": False}],
    "query-block-jobs": [JOB],
    "query-block-exports": [
        {"node-name": "n0", "id": "e0", "type": "nbd", "shutting-down": False},
        {"node-name": "n0", "id": "e1", "type": "nbd", "shutting-down": False},
    ],
    "query-memory-size-summary": {"base-memory": 1024, "plugged-memory": 512},
    "/machine/peripheral": [{"name": "type", "type": "string"}, {"name": "iv", "type": "child<ivshmem-plain>"}],
    "/machine/peripheral-anon": [{"name": "device[0]", "type": "child<nvme>"}],
}


def replies(answers: dict[str, Any]) -> list[Reply]:
    names = [str(query.arguments.get("path", query.command)) for query in FACT_QUERIES]
    return [ReturnReply(answers[name]) if name in answers else ErrorReply("CommandNotFound", "no") for name in names]


def test_facts() -> None:
    assert read_vm_facts(replies(ANSWERS)) == VMFacts(
        run_state="running",
        blocked_reasons=("the first", "the later one"),
        capabilities=frozenset({"multifd"}),
        jobs={"mir": BlockJob("mirror", is_ready=True)},
        exports={"n0": ("e0", "e1")},
        devices={"iv": "ivshmem-plain", "/machine/peripheral-anon/device[0]": "nvme"},
        ram_bytes=1536,
    )


def test_qemu_that_tells_nothing() -> None:
    assert read_vm_facts(replies({})) == VMFacts()


def test_kind_of_a_job() -> None:
    assert read_vm_facts(replies(ANSWERS)).kind_of_job("mir") == "mirror "
    assert VMFacts().kind_of_job("mir") == ""
