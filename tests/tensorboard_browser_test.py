"""TensorBoard in a real browser: each tab shows what finished runs have left for it."""

import contextlib
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import urllib.request

import pytest
from experiment.tiny_run import run
from free_ports import free_ports

BROWSER, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
# What a missing program or package is called: the reason for which this is not tested.
MISSING = [name for name, path in (("chromium", BROWSER), ("chromedriver", DRIVER)) if not path]
MISSING += [] if importlib.util.find_spec("selenium") else ["selenium"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}"),
]
SECONDS = 120

# Finds elements behind shadow roots too; TensorBoard's older tabs have such.
FIND = """
const found = [];
(function walk(root) {
  for (const element of root.querySelectorAll('*')) {
    if (element.matches(arguments_selector)) found.push(element);
    if (element.shadowRoot) walk(element.shadowRoot);
  }
})(document);
"""
TEXT = """
function text(root) {
  let all = '';
  for (const node of root.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) all += node.textContent + ' ';
    else if (!['STYLE', 'SCRIPT', 'TEMPLATE'].includes(node.nodeName)) {
      if (node.shadowRoot) all += text(node.shadowRoot);
      all += text(node);
    }
  }
  return all;
}
return text(document.body);
"""


@pytest.fixture(scope="module")
def logdir(tmp_path_factory):
    """Two runs of a sweep, or the folder that an environment variable names."""
    given = os.environ.get("TENSORBOARD_RUNS")
    if given:
        return pathlib.Path(given)
    folder = tmp_path_factory.mktemp("runs")
    for weight in (1.0, 4.0):
        run(folder / f"kl_{weight:g}", kl_weight=weight, epochs=2, gradient_histograms=True)
    return folder


@pytest.fixture(scope="module")
def address(logdir):
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={logdir}", f"--port={port}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([*command, "--host=127.0.0.1"], **quiet)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(SECONDS):
            with contextlib.suppress(OSError):
                # The runs are loaded in the background, each with the last of what it has.
                loaded = json.load(urllib.request.urlopen(f"{url}/data/runs"))
                if sum(name.endswith("test") for name in loaded) == len(list(logdir.iterdir())):
                    break
            time.sleep(1.0)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "window-size=1280,900",
        f"user-data-dir={tmp_path_factory.mktemp('browser')}",
        # The projector draws with WebGL, which a machine without a graphics card computes.
        "enable-unsafe-swiftshader",
    ):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_script_timeout(SECONDS)
    yield driver
    driver.quit()


def find(browser, selector):
    """Returns the elements, behind shadow roots too, that have a size."""
    script = FIND.replace("arguments_selector", repr(selector))
    return browser.execute_script(
        script + "return found.filter(e => e.getBoundingClientRect().width > 0);"
    )


def wait_for(browser, condition, what):
    """Waits until `condition()` returns something true, and returns it."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(1.0)
    raise AssertionError(f"{what} did not appear; the page says: {page(browser)[:2000]}")


def page(browser):
    return " ".join(browser.execute_script(TEXT).split())


def has_words(browser, words):
    def condition():
        text = page(browser)
        return all(word in text for word in words)

    return condition


def keep(browser, name):
    """Keeps a picture of the tab, if a folder for it is given."""
    folder = os.environ.get("TENSORBOARD_SCREENSHOTS")
    if folder:
        time.sleep(3.0)  # Animations.
        browser.save_screenshot(f"{folder}/tensorboard_{name}.png")


# Of each tab: its address, words on it, and what is drawn in it.
TABS = {
    "timeseries": (
        "?tagFilter=elbo|rate$|kl_weight#timeseries",
        ("loss", "schedules", "elbo", "rate"),
        "line-chart svg, line-chart canvas",
    ),
    "scalars": (
        "#scalars&tagFilter=elbo|rate$|kl_weight",
        ("loss/elbo", "schedules/kl_weight", "kl_1/summaries/test"),
        "svg.main, svg",
    ),
    "images": (
        "#images&tagFilter=reconstruction|sample",
        ("images/reconstruction", "images/sample"),
        "img",
    ),
    "histograms": (
        "#histograms&tagFilter=dense_0|z_mean",
        ("latents/z_mean", "gradients/encoder/dense_0"),
        "vz-histogram-timeseries svg, histogram-component svg, svg",
    ),
    "hparams": ("#hparams", ("kl_weight", "loss/elbo"), "table, vaadin-grid"),
    "projector": ("#projector", ("latents of", "Points:", "PCA"), "canvas"),
    "text": ("#text", ("flags", "--kl_weight="), "pre, code"),
}


@pytest.mark.parametrize("tab", TABS)
def test_the_tab_loads_with_content(browser, address, tab):
    place, words, drawn = TABS[tab]
    browser.get("about:blank")
    browser.get(f"{address}/{place}")
    for _ in range(2 if tab == "projector" else 0):
        # A page of its own, within another one.
        frame = wait_for(browser, lambda: find(browser, "iframe"), "the projector's frame")
        browser.switch_to.frame(frame[0])
    wait_for(browser, has_words(browser, words), f"{tab}: {words}")
    assert wait_for(browser, lambda: find(browser, drawn), f"{tab}: {drawn}")
    assert "No dashboards are active" not in page(browser)
    keep(browser, tab)


def test_the_table_of_hyperparameters_compares_the_runs(browser, address, logdir):
    browser.get("about:blank")
    browser.get(f"{address}/#hparams")
    weights = sorted(path.name.removeprefix("kl_") for path in logdir.iterdir())
    ids = [f"kl_{weight} " for weight in weights]
    wait_for(browser, has_words(browser, [*ids, "loss/elbo"]), "a row per run")
