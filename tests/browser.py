"""A real Chromium, without a window, driven through its own driver; both are Debian's."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service


class NoBrowserError(RuntimeError):
    """Chromium or its driver is missing; a test that needs it fails and says what to install."""


@contextlib.contextmanager
def chromium(*, scripts: bool = True) -> Iterator[webdriver.Chrome]:
    """A browser with a profile of its own, and without JavaScript if that is asked for."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        raise NoBrowserError("chromium or its driver is missing: scripts/system-packages.sh test")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    with tempfile.TemporaryDirectory(prefix="browser-") as profile:
        for argument in (
            "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
            "--force-device-scale-factor=1", f"--user-data-dir={Path(profile) / 'profile'}", "--lang=en",
        ):  # fmt: skip
            options.add_argument(argument)
        if not scripts:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        browser = webdriver.Chrome(options=options, service=Service(driver))
        try:
            browser.set_page_load_timeout(60)
            yield browser
        finally:
            browser.quit()


def size(browser: webdriver.Chrome, width: int, height: int = 900) -> None:
    """Give the page a size in CSS pixels, however small, as a phone or a desktop has it."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
    )


def dark(browser: webdriver.Chrome, *, on: bool) -> None:
    """Ask pages for their dark or their light form."""
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]},
    )
