"""A real browser for the tests of pages."""

import contextlib
import importlib.util
import shutil
import tempfile

import numpy as np
import pytest

BROWSER, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
MISSING = [name for name, path in (("chromium", BROWSER), ("chromedriver", DRIVER)) if not path]
MISSING += [] if importlib.util.find_spec("selenium") else ["selenium"]
needs_browser = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")

OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# Two frames later everything that was planned for the next one is drawn.
NEXT_FRAME = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done));"
# Of a copy: the browser would warn of canvases that are read often.
PIXELS = """
const {width, height} = document.getElementById(arguments[0]);
const context = new OffscreenCanvas(width, height).getContext('2d', {willReadFrequently: true});
context.drawImage(document.getElementById(arguments[0]), 0, 0);
return [height, width, Array.from(context.getImageData(0, 0, width, height).data)];
"""


@contextlib.contextmanager
def started_browser(width=1280, height=1000):
    """Starts Chromium with a window of this size, and ends it."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for option in (*OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        browser = webdriver.Chrome(options=options, service=Service(DRIVER))
        try:
            resize(browser, width, height)
            yield browser
        finally:
            browser.quit()


def resize(browser, width, height):
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def pixels_of(browser, name="picture"):
    """Returns the pixels of a canvas, uint8 [H, W, 4], after the next frame."""
    browser.execute_async_script(NEXT_FRAME)
    height, width, values = browser.execute_script(PIXELS, name)
    return np.array(values, np.uint8).reshape(height, width, 4)
