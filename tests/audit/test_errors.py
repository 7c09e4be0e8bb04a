"""What `hmp-audit` says of a log, or a page, that does not work."""

import pytest

from audit.errors import DamagedLine, PageError, SourceError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (SourceError("log", "No such file or directory"), "cannot read log: No such file or directory"),
        (PageError("page.html", "Permission denied"), "cannot write page.html: Permission denied"),
    ],
)
def test_texts(error: SourceError | PageError, text: str) -> None:
    assert str(error) == text
    assert error.exit_status == 3


def test_damage_tells_why() -> None:
    error = DamagedLine("it is not JSON")
    assert (str(error), error.reason) == ("it is not JSON", "it is not JSON")
