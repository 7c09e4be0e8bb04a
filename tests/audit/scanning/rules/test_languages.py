"""Which language a file is in."""

import pytest

from audit.scanning.rules.languages import Language, language_of_file


@pytest.mark.parametrize(
    ("path", "beginning", "language"),
    [
        ("a/b.py", "", Language.PYTHON),
        ("b.SH", "", Language.SHELL),
        ("unit.service.j2", "", Language.LINES),
        ("run.sh.in", "", Language.SHELL),
        ("Makefile", "", Language.LINES),
        ("ci/Dockerfile.test", "", Language.LINES),
        ("Jenkinsfile", "", Language.SCRIPT),
        ("SConstruct", "", Language.PYTHON),
        (".gitlab-ci.yml", "", Language.LINES),
        ("267", "#!/usr/bin/env bash\n", Language.SHELL),
        ("tool", "#!/usr/bin/env -S python3 -u\n", Language.PYTHON),
        ("tool", "#!/usr/bin/perl -w", Language.PERL),
        ("tool", "#!/usr/bin/env A=b node", Language.SCRIPT),
        ("tool", "#!/usr/bin/make -f", Language.LINES),
        ("tool", "#!/bin/unknown", None),
        ("tool", "#!", None),
        ("tool", "text", None),
        ("README.md", "", None),
        ("fix.patch", "", None),
        (".in", "", None),
    ],
)
def test_language(path: str, beginning: str, language: Language | None) -> None:
    assert language_of_file(path, beginning.encode()) is language
