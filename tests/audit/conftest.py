"""One browser for all tests of the page."""

from collections.abc import Iterator

import pytest
from selenium import webdriver

from tests.support.audit.browser import SharedBrowser


@pytest.fixture(scope="session")
def _shared_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedBrowser]:
    shared = SharedBrowser(lambda: tmp_path_factory.mktemp("profile"))
    shared.as_new()  # here, because a test may leave nothing behind that it has started
    try:
        yield shared
    finally:
        shared.close()


@pytest.fixture
def browser(_shared_browser: SharedBrowser) -> webdriver.Chrome:
    """Return the browser, as if it had just been started."""
    return _shared_browser.as_new()
