"""The metrics are what Prometheus' own parser reads, however strange a name is."""

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from host.settings.admission import Refusal
from proxy.control.exposition import METRICS, Watched, exposition
from proxy.control.status import State, Totals, VMStatus
from proxy.routing.vm_history import DURATION_BOUNDS_S, OTHER, DeprecatedUse, Histogram, History, Outcome
from shim.version import VERSION
from tests.support.processes.vm_statuses import BUSY, OFF


def samples(*vms: Watched) -> dict[str, list[Sample]]:
    """Return what the parser finds, by the name of the family, which for a counter is without its end."""
    families = list(text_string_to_metric_families(b"".join(exposition(vms)).decode()))
    assert len({family.name for family in families}) == len(families)
    assert all(family.documentation and family.type != "unknown" for family in families)
    return {family.name: family.samples for family in families}


def values(found: list[Sample], **labels: str) -> list[float]:
    return [sample.value for sample in found if labels.items() <= sample.labels.items()]


def of(status: VMStatus) -> Watched:
    return Watched(status, History())


def test_each_number_is_there_by_its_labels() -> None:
    found = samples(of(BUSY), of(OFF))
    assert values(found["hmp_proxy_info"], version=VERSION) == [1]
    assert values(found["hmp_proxy_vm_up"]) == [1, 0]
    assert values(found["hmp_proxy_vm_info"], vm="a", qemu="10.0.13", policy="auto", mode="rewrite") == [1]
    assert values(found["hmp_proxy_vm_paused"]) == [1, 0]
    assert values(found["hmp_proxy_command_running_seconds"]) == [75.4, 0]
    totals = ("clients", "clients_waiting", "clients_connected", "clients_cut", "forwarded_commands", "qemu_reconnects")
    assert [values(found[f"hmp_proxy_{name}"], vm="a") for name in totals] == [[2], [1], [4], [1], [34567], [8]]
    assert values(found["hmp_proxy_received_bytes"], vm="a") == [1000, 2_000_000]
    assert values(found["hmp_proxy_received_bytes"], vm="a", **{"from": "qemu"}) == [2_000_000]
    assert values(found["hmp_proxy_queued_bytes"], vm="a") == [5, 6, 7]
    assert [values(found["hmp_proxy_clients_refused"], vm="a", reason=reason) for reason in Refusal] == [[3], [2], [0]]
    outcome = {"command": "savevm", "action": "rewritten", "outcome": "ok"}
    assert values(found["hmp_proxy_commands"], vm="a", **outcome) == [12]
    use = {"tool": "/usr/bin/tool", "command": "savevm", "replacement": "snapshot-save"}
    assert values(found["hmp_proxy_requested_deprecated_commands"], **use) == [1]
    assert values(found["hmp_proxy_deprecated_requests"], **use) == [12]


def test_failures_are_counted_from_0_on() -> None:
    """A counter that begins at 1 has not increased, in Prometheus' sense."""
    outcomes = (
        (Outcome("savevm", "rewritten", "failed"), 1),
        (Outcome("delvm", "passed", "unknown"), 2),
        (Outcome("savevm", "refused", "failed"), 4),
        (Outcome("savevm", "abandoned", "not_begun"), 8),
        (Outcome(OTHER, "passed", "failed"), 16),
        (Outcome("loadvm", "rewritten", "ok"), 32),
    )
    found = samples(of(replace(BUSY, outcomes=outcomes)), of(OFF))
    assert values(found["hmp_proxy_snapshot_failures"]) == [3, 0]


def test_histograms_are_cumulative() -> None:
    history = History()
    for duration_s in (0.001, 3.0, 3.0, 1000.0):
        history.durations.setdefault("savevm", Histogram()).observe(duration_s)
    found = samples(Watched(BUSY, history))
    assert found["hmp_proxy_vm_stopped_seconds"] == []
    times = found["hmp_proxy_command_duration_seconds"]
    buckets = {sample.labels["le"]: sample.value for sample in times if sample.name.endswith("_bucket")}
    assert list(buckets) == [*map(str, DURATION_BOUNDS_S), "+Inf"]
    assert (buckets["0.005"], buckets["2.5"], buckets["5.0"], buckets["300.0"], buckets["+Inf"]) == (1, 1, 3, 3, 4)
    others = {sample.name: sample.value for sample in times if "le" not in sample.labels}
    name = "hmp_proxy_command_duration_seconds"
    assert others == {f"{name}_sum": pytest.approx(1006.001), f"{name}_count": 4}


def test_log_that_vms_share_is_told_once() -> None:
    found = samples(of(BUSY), of(replace(BUSY, name="b")), of(replace(BUSY, audit="/other")))
    lost = found["hmp_proxy_audit_records_lost"]
    assert [(sample.labels["log"], sample.value) for sample in lost] == [("/log", 9), ("/other", 9)]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ('a"b', 'a"b'),
        ("a\\b", r"a\b"),
        ("a\nb", r"a\nb"),
        ("\udcff", r"\udcff"),
        ("\0\x7f", r"\x00\x7f"),
        ("ü} 1\u2028", r"ü} 1\u2028"),
    ],
)
def test_any_name_can_be_read(name: str, read: str) -> None:
    use = ((DeprecatedUse(name, name, name), 2),)
    found = samples(of(replace(BUSY, name=name, audit=name, deprecated=use)))
    assert found["hmp_proxy_vm_up"][0].labels == {"vm": read}
    assert set(found["hmp_proxy_deprecated_requests"][0].labels.values()) == {read}


def test_names_are_as_they_ought_to_be() -> None:
    text = b"".join(exposition([of(BUSY)])).decode()
    kinds = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE"))
    assert tuple(kinds) == METRICS
    assert {name for name, kind in kinds.items() if kind == "counter"} == {name for name in kinds if name.endswith("_total")}
    assert all(name.startswith("hmp_proxy_") for name in kinds)


def test_vm_that_was_handed_over_is_up_if_its_qemu_was_there() -> None:
    """And a log that it shares has lost what the VMs that are still here know of."""
    given = replace(BUSY, state=State.HANDED_OVER)
    found = samples(of(BUSY), of(replace(given, name="b", totals=Totals())), of(replace(given, name="c", qemu=None)))
    assert values(found["hmp_proxy_vm_up"]) == [1, 1, 0]
    assert values(found["hmp_proxy_audit_records_lost"]) == [9]
