"""Findings as SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"), which code hosts show next to the lines."""

import json
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import quote

from audit.forms.notices import RULES, Notice
from audit.reporting.keys import Key
from shim.qmp import JSON
from shim.version import VERSION

__all__ = ["as_sarif"]

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def as_sarif(notices: Iterable[Notice], is_known: Callable[[Key], bool] | None = None) -> str:
    """Return one indented JSON object. is_known: whether a baseline has a finding (section 3.27.24); None for no baseline."""
    results = [_result(notice, is_known) for notice in notices]
    rules = [
        {"id": name, "shortDescription": {"text": rule.title}, "help": {"text": rule.help}} for name, rule in RULES.items()
    ]
    driver = {"name": "hmp-audit", "semanticVersion": VERSION, "rules": rules}
    # Columns are counted in characters, as Python counts them.
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _result(notice: Notice, is_known: Callable[[Key], bool] | None) -> dict[str, JSON]:
    text = ". ".join(filter(None, (notice.text, notice.remedy)))
    result: dict[str, JSON] = {
        "ruleId": notice.rule,
        "ruleIndex": list(RULES).index(notice.rule),
        "level": notice.level.value,
        "message": {"text": text},
        "locations": [_location(notice)],
        "partialFingerprints": {"hmpAudit/v1": notice.fingerprint},
        "occurrenceCount": notice.count,
    }
    if is_known is not None:
        result["baselineState"] = "unchanged" if is_known(notice.key) else "new"
    facts = (("first", notice.first), ("last", notice.last), ("hosts", list(notice.hosts)), ("paths", list(notice.paths)))
    properties = {name: value for name, value in facts if value}
    return result | ({"properties": properties} if properties else {})


def _location(notice: Notice) -> dict[str, JSON]:
    place = notice.place
    if place is None:
        name = f"{notice.subject} ({notice.owner})" if notice.owner else notice.subject
        return {"logicalLocations": [{"name": notice.subject, "fullyQualifiedName": name, "kind": "module"}]}
    region = {"startLine": place.line, "startColumn": place.column, "snippet": {"text": place.source}}
    return {"physicalLocation": {"artifactLocation": {"uri": quote(place.path)}, "region": region}}
