"""A browser that hangs fails one test, and not those after it."""

import os
import signal
from pathlib import Path

import pytest
from urllib3.exceptions import HTTPError

from tests.support.audit.browser import SharedBrowser, config_of


def test_browser_that_hangs_is_replaced(tmp_path_factory: pytest.TempPathFactory) -> None:
    shared = SharedBrowser(lambda: tmp_path_factory.mktemp("profile"))
    try:
        browser = shared.as_new()
        driver = browser.service.process
        config_of(browser).timeout = 1
        os.kill(driver.pid, signal.SIGSTOP)
        with pytest.raises(HTTPError):
            _ = browser.title
        other = shared.as_new()
        assert other is not browser
        assert other.title == "New Tab"
        assert driver.poll() is not None
        assert not Path(f"/proc/{driver.pid}").exists()
    finally:
        shared.close()
