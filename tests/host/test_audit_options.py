"""The audit log's options become settings. Their wrong uses are in the tests of the command lines."""

import pytest

from host.config import AuditFailure, AuditSettings
from host.options import Parser, add_section, audit_of
from host.settings import Program, Section
from shim.confidential import Confidential

ALL_OPTIONS = (
    *("--audit", "/log", "--audit-sync", "--audit-failure", "refuse", "--audit-redact", "tags,executables"),
    *("--audit-rotate-mib", "1", "--audit-rotate-hours", "1", "--audit-keep", "3"),
)


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        ((), None),
        (("--audit-failure", "continue", "--audit-keep", "10"), None),
        (("--audit", "-"), AuditSettings("-")),
        (("--audit-sync",), AuditSettings(sync=True)),
        (
            ALL_OPTIONS,
            AuditSettings(
                "/log",
                sync=True,
                failure=AuditFailure.REFUSE,
                redact=frozenset({Confidential.TAGS, Confidential.EXECUTABLES}),
                rotate_bytes=1024 * 1024,
                rotate_age_s=3600,
                keep=3,
            ),
        ),
    ],
    ids=["none", "defaults", "standard output", "nowhere", "all"],
)
def test_options_become_settings(arguments: tuple[str, ...], settings: AuditSettings | None) -> None:
    parser = Parser()
    add_section(parser, Program.PROXY, Section.LOG)
    assert audit_of(parser, parser.parse_args(arguments)) == settings
