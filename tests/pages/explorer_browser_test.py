"""The latent explorer in Chromium: what a user does, and the pictures, compared with Python's."""

import dataclasses
import functools
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from pages.in_browser import needs_browser, pixels_of, resize, started_browser
from pages.made_page import CLASS_NAMES, make_page

from vae_lowlevel.config.flags import read_flagfile

FLAGS = pathlib.Path(__file__).parents[2] / "flags"

pytestmark = needs_browser
# All together take half a minute; the others show that pages work.
slow = pytest.mark.slow

PAGES = {
    "plane": {"posterior": "full", "network": "conv"},
    "sliders": {"conditional": True, "latent_dim": 4, "network": "conv", "image_shape": (8, 6, 3)},
    "sparse": {"model": "sparse_autoencoder", "latent_dim": 5},
}


@pytest.fixture(scope="module")
def page_of(tmp_path_factory):
    return functools.cache(lambda name: make_page(tmp_path_factory.mktemp(name), **PAGES[name]))


@pytest.fixture(scope="module")
def browser():
    with started_browser() as browser:
        yield browser


class Page:
    """An open page and the model that it shows."""

    def __init__(self, browser, made):
        self.browser, self.made = browser, made
        self.data = made.data

    def find(self, selector):
        return self.browser.find_element("css selector", selector)

    def find_all(self, selector):
        return self.browser.find_elements("css selector", selector)

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    @property
    def z(self):
        return np.array(self.run("return Array.from(explorer.state.z)"), np.float32)

    @property
    def label(self):
        return self.run("return explorer.state.label")

    @property
    def picture(self):
        return pixels_of(self.browser)

    @property
    def expected(self):
        """Python's picture at the page's z and label, float [H, W, C] in [0, 255]."""
        label = tf.constant([self.label])
        picture = self.made.model.conditioned_on(label).decode(self.z[None]).mean()
        return 255.0 * picture.numpy()[0]

    def assert_shows_what_python_decodes(self):
        picture, expected = self.picture, self.expected
        assert np.ptp(expected) > 20
        assert picture.shape == (8, 6, 4)
        assert np.all(picture[..., 3] == 255)
        # Grey pixels have their value in all three channels.
        assert np.abs(picture[..., :3] - expected).max() <= 1.0

    def collect(self, button, count):
        """Presses a button and returns z after each time."""
        script = """
        const [id, count] = arguments, all = [];
        for (let i = 0; i < count; i++) {
          document.getElementById(id).click();
          all.push(Array.from(explorer.state.z));
        }
        return all;
        """
        return np.array(self.run(script, button, count))

    def position(self, selector="#overlay .handle-dot"):
        """The place of a circle, in pixels of the plane."""
        circle = self.find(selector)
        return np.array([float(circle.get_attribute(name)) for name in ("cx", "cy")])


@pytest.fixture
def open_page(browser, page_of):
    def open_named(name):
        resize(browser, 1280, 1000)
        made = page_of(name)
        browser.get(pathlib.Path(made.path).as_uri())
        return Page(browser, made)

    yield open_named
    # Whatever a test did, no page may complain.
    assert browser.get_log("browser") == []


@pytest.fixture
def plane(open_page):
    return open_page("plane")


@pytest.fixture
def sliders(open_page):
    return open_page("sliders")


@pytest.mark.parametrize("name", [pytest.param(name, marks=slow) for name in PAGES])
def test_a_page_begins_with_its_first_image(open_page, name):
    page = open_page(name)
    np.testing.assert_array_equal(page.z, page.data["image_z"][0])
    page.assert_shows_what_python_decodes()
    original = pixels_of(page.browser, "original")[..., :3]
    np.testing.assert_array_equal(original, np.broadcast_to(page.data["images"][0], (8, 6, 3)))
    assert page.run("return performance.getEntriesByType('resource').length") == 0
    assert not page.find("#failure").is_displayed()


def test_dragging_the_point_changes_the_picture(plane):
    from selenium.webdriver import ActionChains

    before = plane.picture
    start, box = plane.position(), plane.find("#plane").rect
    aim = np.array([0.8, 0.3]) * box["width"]
    offset = start - box["width"] / 2
    chain = ActionChains(plane.browser, duration=50)
    chain.move_to_element_with_offset(plane.find("#plane"), *offset.round())
    chain.click_and_hold().move_by_offset(*(aim - start).round()).release().perform()
    assert np.abs(plane.position() - aim).max() < 3
    assert np.abs(plane.picture - before.astype(int)).max() > 10
    plane.assert_shows_what_python_decodes()
    # Once released, the point stays.
    z = plane.z
    ActionChains(plane.browser, duration=50).move_by_offset(-40, 40).perform()
    np.testing.assert_array_equal(plane.z, z)


@slow
def test_the_axes_point_to_the_right_and_upwards(plane):
    positions = {}
    for z in ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5)):
        plane.run("explorer.show(arguments[0])", z)
        positions[z] = plane.position()
    right, up = (positions[z] - positions[0.0, 0.0] for z in ((0.5, 0.0), (0.0, 0.5)))
    np.testing.assert_allclose(right, [-up[1], 0.0], atol=1e-3)
    assert right[0] > 5
    assert up[0] == 0


@slow
def test_keys_move_the_point(plane):
    from selenium.webdriver import Keys

    field = plane.find("#plane")
    field.send_keys(Keys.HOME)
    np.testing.assert_array_equal(plane.z, [0, 0])
    field.send_keys(Keys.ARROW_RIGHT)
    step = plane.z[0]
    assert step > 0
    assert plane.z[1] == 0
    field.send_keys(Keys.ARROW_UP, Keys.ARROW_LEFT)
    np.testing.assert_allclose(plane.z, [0, step], atol=1e-6)
    field.send_keys(Keys.ARROW_DOWN, Keys.SHIFT, Keys.ARROW_RIGHT)
    np.testing.assert_allclose(plane.z, [5 * step, 0], atol=1e-6)
    plane.assert_shows_what_python_decodes()


@slow
def test_numbers_can_be_typed(plane):
    for name, text in (("z0", "-1.25"), ("z1", "0.75")):
        field = plane.find(f"#{name}")
        field.clear()
        field.send_keys(text)
    np.testing.assert_array_equal(plane.z, [-1.25, 0.75])
    plane.assert_shows_what_python_decodes()


@slow
def test_the_ellipses_are_one_and_two_deviations_of_the_posterior(plane):
    plane.find_all(".thumbnail")[4].click()
    # Pixels -> z, from two places of the point.
    plane.run("explorer.show([0, 0])")
    origin = plane.position()
    plane.run("explorer.show([1, 1])")
    pixels_per_unit = plane.position() - origin
    scale, loc = plane.data["posteriors"]["scale"][4], plane.data["image_z"][4]
    assert abs(scale[1, 0]) > 0.5 * scale[1, 1]
    for name, deviations in ((".ellipse:not(.outer)", 1.0), (".ellipse.outer", 2.0)):
        text = plane.find(name).get_attribute("points")
        corners = np.array([[float(v) for v in pair.split(",")] for pair in text.split()])
        z = (corners - origin) / pixels_per_unit
        distance = np.linalg.norm(np.linalg.solve(scale, (z - loc).T), axis=0)
        np.testing.assert_allclose(distance, deviations, rtol=0.03)


@slow
def test_the_prior_is_drawn(plane):
    z = plane.collect("random", 1500)
    assert np.abs(z.mean(0)).max() < 0.13
    np.testing.assert_allclose(np.cov(z.T), np.eye(2), atol=0.17)
    plane.assert_shows_what_python_decodes()


@slow
@pytest.mark.parametrize("name", ["plane", "sliders"])
def test_the_posterior_of_the_chosen_image_is_drawn(open_page, name):
    page = open_page(name)
    page.find_all(".thumbnail")[3].click()
    z = page.collect("resample", 1500)
    scale = page.data["posteriors"]["scale"][3]
    scale = np.diag(scale) if scale.ndim == 1 else scale
    noise = np.linalg.solve(scale, (z - page.data["image_z"][3]).T)
    assert np.abs(noise.mean(1)).max() < 0.13
    np.testing.assert_allclose(np.cov(noise), np.eye(len(noise)), atol=0.17)
    page.assert_shows_what_python_decodes()
    page.find("#mean").click()
    np.testing.assert_array_equal(page.z, page.data["image_z"][3])


@slow
@pytest.mark.parametrize("name", ["plane", "sliders", "sparse"])
def test_the_way_from_a_to_b_is_straight(open_page, name):
    page = open_page(name)
    page.find_all(".thumbnail")[2].click()
    page.find("input[name=choose][value=b]").click()
    page.find_all(".thumbnail")[5].click()
    a, b = page.data["image_z"][[2, 5]]
    np.testing.assert_array_equal(page.z, a)  # Choosing B does not leave A.
    page.run(
        "const slider = document.getElementById('interpolate'); slider.value = 0.25;"
        "slider.dispatchEvent(new Event('input'))"
    )
    np.testing.assert_allclose(page.z, 0.75 * a + 0.25 * b, atol=1e-6)
    page.assert_shows_what_python_decodes()
    assert [button.get_attribute("data-role") for button in page.find_all("[data-role]")] == [
        *("A", "B")
    ]


@slow
def test_the_way_is_played_to_its_end(sliders):
    from selenium.webdriver.support.ui import WebDriverWait

    sliders.find("#play").click()
    assert sliders.find("#play").text == "Stop"
    WebDriverWait(sliders.browser, 20).until(lambda _: sliders.find("#play").text != "Stop")
    np.testing.assert_allclose(sliders.z, sliders.data["image_z"][1], atol=1e-6)
    assert sliders.run("return explorer.state.frames") > 3
    sliders.assert_shows_what_python_decodes()


@slow
def test_a_slider_moves_one_unit(sliders):
    from selenium.webdriver import Keys

    unit = sliders.data["units"][1]
    slider = sliders.find(f"#unit-{unit['number']}")
    before, picture = sliders.z, sliders.picture
    slider.send_keys(Keys.SHIFT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    after = sliders.z
    others = np.arange(4) != unit["number"]
    np.testing.assert_array_equal(after[others], before[others])
    moved = after[unit["number"]] - before[unit["number"]]
    expected = 10 * (unit["high"] - unit["low"]) / 60
    np.testing.assert_allclose(moved, expected, rtol=1e-4)
    assert np.abs(sliders.picture - picture.astype(int)).max() > 3
    sliders.assert_shows_what_python_decodes()
    # With the mouse: to the middle.
    slider.click()
    middle = (unit["low"] + unit["high"]) / 2
    assert abs(sliders.z[unit["number"]] - middle) < 0.03 * (unit["high"] - unit["low"])


@slow
def test_sliders_follow_z_and_are_sorted(sliders):
    z = sliders.data["image_z"][7]
    sliders.find_all(".thumbnail")[7].click()
    numbers = [int(s.get_attribute("id")[5:]) for s in sliders.find_all("input[id^=unit-]")]
    values = [float(s.get_attribute("value")) for s in sliders.find_all("input[id^=unit-]")]
    assert numbers == [unit["number"] for unit in sliders.data["units"]]
    np.testing.assert_allclose(values, z[numbers], atol=1e-5)


def test_the_class_changes_the_picture(sliders):
    from selenium.webdriver.support.ui import Select

    select = Select(sliders.find("#class"))
    assert [option.text for option in select.options] == list(CLASS_NAMES)
    z, pictures = sliders.z, []
    for label in (2, 0, 1):
        select.select_by_index(label)
        assert sliders.label == label
        sliders.assert_shows_what_python_decodes()
        pictures.append(sliders.picture)
    np.testing.assert_array_equal(sliders.z, z)
    assert np.abs(pictures[0] - pictures[1].astype(int)).max() > 10
    # An image comes with its class.
    sliders.find_all(".thumbnail")[5].click()
    assert sliders.label == sliders.data["image_labels"][5]


@slow
def test_a_sparse_code_has_no_prior_and_begins_at_0(open_page):
    page = open_page("sparse")
    for name in ("random", "resample", "class"):
        assert not page.find(f"#{name}").is_displayed()
    page.find("#reset").click()
    np.testing.assert_array_equal(page.z, np.zeros(5))
    page.assert_shows_what_python_decodes()


@slow
def test_a_class_can_be_shown_alone(plane):
    names = [button.text for button in plane.find_all("#legend button")]
    assert names == list(CLASS_NAMES)
    drawn = "return document.getElementById('scatter').toDataURL()"
    before = plane.run(drawn)
    button = plane.find("#legend button")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert plane.run(drawn) != before
    button.click()
    assert plane.run(drawn) == before


@slow
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [400, 1280])
def test_a_page_fits_its_window(open_page, name, width):
    page = open_page(name)
    resize(page.browser, width, 900)
    pixels_of(page.browser)
    assert page.run("return document.documentElement.scrollWidth") <= width
    outside = """
    return [...document.querySelectorAll('main *')].filter((element) => {
      const box = element.getBoundingClientRect();
      return box.width > 0 && !element.closest('svg') && (box.left < 0 || box.right > innerWidth);
    }).length"""
    assert page.run(outside) == 0


@slow
@pytest.mark.parametrize("name", PAGES)
def test_everything_that_can_be_used_has_a_name(open_page, name):
    page = open_page(name)
    for element in page.find_all("button, input, select, [tabindex], [role=img]"):
        if element.is_displayed():
            assert element.accessible_name, element.get_attribute("outerHTML")


@slow
def test_a_page_that_cannot_work_says_so(browser, page_of, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page_of("sparse").text.replace('"kernel": "MatMul"', '"kernel": "Unknown"'))
    browser.get(path.as_uri())
    assert "there is no kernel Unknown" in browser.find_element("id", "failure").text
    (entry,) = browser.get_log("browser")
    assert "Unknown" in entry["message"]


@slow
@pytest.mark.parametrize("flagfile", ["fashion", "fashion_2d", "mnist_2d", "fashion_resnet_small"])
def test_a_picture_takes_less_than_50_ms(browser, tmp_path, flagfile):
    """The fastest of 30; not measured while other programs use all processors."""
    if os.getloadavg()[0] > os.cpu_count():
        pytest.skip("the processors are busy")
    config = read_flagfile(str(FLAGS / f"{flagfile}.cfg"))
    flags = {**dataclasses.asdict(config.model), "precision": "float32"}
    size = config.data.pad_to or 28
    made = make_page(tmp_path, image_shape=(size, size, 1), **flags)
    browser.get(pathlib.Path(made.path).as_uri())
    script = """
    const done = arguments[0], times = [];
    const next = () => {
      times.push(explorer.state.milliseconds);
      if (times.length > 30) return done(times);
      document.getElementById('random').click();
      requestAnimationFrame(() => requestAnimationFrame(next));
    };
    requestAnimationFrame(() => requestAnimationFrame(next));"""
    times = browser.execute_async_script(script)
    print(
        f"{flagfile}: first {times[0]:.1f}, median {np.median(times):.1f}, min {min(times):.1f} ms"
    )
    assert min(times) < 50.0
