"""A real Chromium, driven by its chromedriver."""

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.command import Command
from selenium.webdriver.remote.remote_connection import RemoteConnection
from urllib3.exceptions import HTTPError

from tests.support.raw_client import DEADLINE_S

__all__ = ["SharedBrowser", "browser_log", "config_of", "prefer", "press", "resize", "show"]

OPTIONS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1280,900"),
)
# Below this width the emulated window is a phone's, which has no scrollbar that takes room.
_PHONE_PX: Final = 500


class SharedBrowser:
    """One browser for many tests, and another one after a test in which it hung. Call `close` at the end."""

    def __init__(self, make_folder: Callable[[], Path]) -> None:
        self._make_folder = make_folder
        self._browser: webdriver.Chrome | None = None
        self._profile = Path()

    def as_new(self) -> webdriver.Chrome:
        """Return the browser as if it had just been started. Skips the test where there is none."""
        if self._browser is not None:
            try:
                _take_back(self._browser)
            except (WebDriverException, HTTPError):
                self._kill()
        if self._browser is None:
            self._profile = self._make_folder()
            self._browser = _started_browser(self._profile)
        return self._browser

    def close(self) -> None:
        """End it."""
        if self._browser is not None:
            try:
                self._browser.quit()
            except (WebDriverException, HTTPError):
                self._kill()

    def _kill(self) -> None:
        """End chromedriver, and the browser that it has started, which would outlive it and has a profile of its own."""
        assert self._browser is not None, "it was started"
        driver, self._browser = self._browser.service.process, None
        with driver:  # its end closes the pipe to it, too
            driver.kill()
        mark = f"--user-data-dir={self._profile}".encode()
        for told in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(ProcessLookupError, FileNotFoundError):
                if mark in told.read_bytes().split(b"\0"):
                    os.kill(int(told.parent.name), signal.SIGKILL)


def _started_browser(profile: Path) -> webdriver.Chrome:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("there is no browser: install Debian's packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for option in (*OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Without a connection that is kept, each question has the limit of the moment.
    browser = webdriver.Chrome(options=options, service=Service(driver), keep_alive=False)
    config = config_of(browser)
    config.timeout = int(DEADLINE_S)
    config.init_args_for_pool_manager = {"init_args_for_pool_manager": {"retries": False}}
    return browser


def config_of(browser: webdriver.Chrome) -> ClientConfig:
    """Return how chromedriver is asked."""
    executor = browser.command_executor
    assert isinstance(executor, RemoteConnection), "it is no address"
    config: ClientConfig = executor.client_config
    return config


def _take_back(browser: webdriver.Chrome) -> None:
    """Take back what a test has emulated, and read the logs empty."""
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    for kind in ("browser", "performance"):
        browser_log(browser, kind)


def show(browser: webdriver.Chrome, folder: Path, name: str = "sample") -> str:
    url = folder.joinpath(f"{name}.html").as_uri()
    browser.get(url)
    return url


def browser_log(browser: webdriver.Chrome, kind: str) -> list[dict[str, Any]]:
    """Take what is new in a log. Selenium's own function for it has no types."""
    entries: list[dict[str, Any]] = browser.execute(Command.GET_LOG, {"type": kind})["value"]
    return entries


def prefer(browser: webdriver.Chrome, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})


def resize(browser: webdriver.Chrome, width: int, height: int = 740) -> None:
    """Give the page a window of this size."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < _PHONE_PX}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def press(browser: webdriver.Chrome, key: str) -> None:
    """Press a key, such as Tab, as the keyboard would."""
    for kind in ("rawKeyDown", "keyUp"):
        browser.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": 9})
