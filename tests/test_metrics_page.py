"""The metrics against what is written about them: the tables of docs/operating.md, the dashboard and the rules for alerts."""

import json
import re
from typing import Any, Final

import pytest

from proxy.control.exposition import METRICS, Watched, exposition
from proxy.control.status import State, VMStatus
from proxy.routing.vm_history import History
from tests.support.checkout import ROOT

_PAGE: Final = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
_DASHBOARD: Final = (ROOT / "docs" / "grafana-dashboard.json").read_text(encoding="utf-8")
_RULES: Final = (ROOT / "docs" / "alert-rules.yaml").read_text(encoding="utf-8")
_METRIC: Final = re.compile(r"\bhmp_proxy_\w+")
_OF_HISTOGRAMS: Final = re.compile(r"(_seconds)_(?:bucket|sum|count)$")


def named(text: str) -> set[str]:
    return {_OF_HISTOGRAMS.sub(r"\1", name) for name in _METRIC.findall(text)}


def expressions(panels: list[dict[str, Any]]) -> list[str]:
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_page_has_every_metric() -> None:
    rows = re.findall(r"(?m)^\| `(hmp_proxy_\w+)` \|", _PAGE)
    assert sorted(rows) == sorted(METRICS)


@pytest.mark.parametrize("text", [_PAGE, _DASHBOARD, _RULES], ids=["page", "dashboard", "rules"])
def test_metrics_that_are_named_exist(text: str) -> None:
    assert named(text) - set(METRICS) == set()


def test_dashboard_shows_every_metric() -> None:
    dashboard = json.loads(_DASHBOARD)
    shown = named(" ".join(expressions(dashboard["panels"])))
    assert set(METRICS) - shown == {"hmp_proxy_commands_total", "hmp_proxy_deprecated_requests_total"} - shown
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_dashboard_tells_hosts_apart() -> None:
    """VMs of two hosts may have the same name, and so may their logs."""
    by = [re.findall(r"\bby \(([^)]*)\)", expression) for expression in expressions(json.loads(_DASHBOARD)["panels"])]
    labels = [set(names.split(", ")) for found in by for names in found]
    assert [names for names in labels if names & {"vm", "log"} and "instance" not in names] == []


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(_DASHBOARD)["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


@pytest.mark.parametrize("text", [*expressions(json.loads(_DASHBOARD)["panels"]), *re.findall(r"(?m)^ +expr: (.*)$", _RULES)])
def test_brackets_of_expressions_are_closed(text: str) -> None:
    """Only Prometheus' own promtool reads them whole."""
    left = re.sub(r'"[^"]*"', "", text)
    while (shorter := re.sub(r"\([^(){}\[\]]*\)|\{[^(){}\[\]]*\}|\[[^(){}\[\]]*\]", "", left)) != left:
        left = shorter
    assert not set(left) & set("(){}[]\"'")


@pytest.mark.parametrize("expression", re.findall(r"(?m)^ +expr: (.*)$", _RULES))
def test_alerts_notice_the_first_of_its_kind(expression: str) -> None:
    """increase() does not count the first value of a series: that has to be 0, or a second condition has to look for it."""
    vm = VMStatus("a", "unix:/q", State.SERVED, audit="/log")
    lines = b"".join(exposition([Watched(vm, History())])).decode().splitlines()
    for name in re.findall(r"increase\((\w+)", expression):
        begins_at_0 = any(line.startswith(f"{name}{{") and line.endswith(" 0.0") for line in lines)
        assert begins_at_0 or re.search(rf"{name}(\{{[^}}]*\}})? unless last_over_time\({name}", expression), name


def test_page_says_what_to_do_about_every_alert() -> None:
    alerts = re.findall(r"(?m)^      - alert: (\w+)$", _RULES)
    assert re.findall(r"(?m)^\| `(HMPProxy\w+)` \|", _PAGE) == alerts
    assert (
        len(re.findall(r"(?m)^        expr: \S", _RULES))
        == len(re.findall(r"(?m)^          summary: \"", _RULES))
        == len(alerts)
    )
