"""`python -m demo.report_picture docs/hmp-audit.png`: the README's picture of the HTML report, taken by a browser.

The report is the tests' sample, because a real one would take weeks to have something to show. The picture contains the words
that it shows, as PNG text: two browsers do not paint the same bytes, but a test can compare the words with today's page.
"""

import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from struct import pack, unpack_from
from typing import Final
from zlib import crc32

from audit.page.document import render_html
from demo.errors import DemoError
from tests.support.audit.sample_report import sample_report

__all__ = ["main", "read_words", "shown_words"]

_GENERATED: Final = "2026-11-24 08:00 UTC"
_WINDOW: Final = "1300,1250"
_OPTIONS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--force-device-scale-factor=1", f"--window-size={_WINDOW}"),
)
_TIMEOUT_S: Final = 60
# PNG, Third Edition, "5.2 PNG signature" and "11.3.3.4 iTXt International textual data": keyword, then four empty fields.
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_HEADER_END: Final = len(_SIGNATURE) + 25
_WORDS_BEGIN: Final = b"Description" + bytes(5)


def main() -> int:
    """Take the picture, write it to the file that the command line names, and return the exit status."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m demo.report_picture FILE.png\n")
        return 2
    try:
        page = render_html(sample_report(), generated=_GENERATED)
        Path(sys.argv[1]).write_bytes(_with_words(_photograph(page), shown_words()))
    except (DemoError, OSError) as exc:
        sys.stderr.write(f"demo: {exc}\n")
        return 1
    return 0


def _photograph(page: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="hmpshim-") as name:
        source, picture = Path(name, "report.html"), Path(name, "report.png")
        source.write_text(page, encoding="utf-8")
        command = ["chromium", *_OPTIONS, f"--user-data-dir={name}/profile", f"--screenshot={picture}", source.as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
        except FileNotFoundError as exc:
            raise DemoError("there is no chromium; install Debian's package of that name") from exc
        except subprocess.TimeoutExpired as exc:
            raise DemoError(f"chromium took no picture within {_TIMEOUT_S} s") from exc
        if not picture.exists():
            raise DemoError(f"chromium took no picture: {done.stderr.strip()}")
        return picture.read_bytes()


class _Words(HTMLParser):
    """Collects the text of a page's body above its first chart."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._is_shown = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body":
            self._is_shown = True
        elif tag == "section" and ("id", "use") in attrs:
            self._is_shown = False

    def handle_data(self, data: str) -> None:
        if self._is_shown and data.strip():
            self.found.append(data.strip())


def shown_words() -> str:
    """Return the text of the page above its first chart, all of which the picture shows: heading, headline and tiles."""
    words = _Words()
    words.feed(render_html(sample_report(), generated=_GENERATED))
    return "\n".join(words.found)


def _with_words(png: bytes, words: str) -> bytes:
    body = b"iTXt" + _WORDS_BEGIN + words.encode()
    chunk = pack(">I", len(body) - 4) + body + pack(">I", crc32(body))
    return png[:_HEADER_END] + chunk + png[_HEADER_END:]


def read_words(png: bytes) -> str:
    """Return the words that a picture contains. Raises ValueError if it contains none."""
    position = len(_SIGNATURE)
    while position < len(png):
        (length,) = unpack_from(">I", png, position)
        chunk = png[position + 4 : position + 8 + length]
        if chunk.startswith(b"iTXt" + _WORDS_BEGIN):
            return chunk.removeprefix(b"iTXt" + _WORDS_BEGIN).decode()
        position += length + 12
    raise ValueError("the picture carries no words")


if __name__ == "__main__":
    sys.exit(main())
