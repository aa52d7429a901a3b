import base64
import html.parser
import pathlib

import vae_lowlevel
from vae_lowlevel.pages.metric_meanings import MEANINGS, meaning_of
from vae_lowlevel.pages.report import ReportData, ReportFigure, report_page

PNG = b"\x89PNG any bytes"


class Page(html.parser.HTMLParser):
    """The texts of a page by the element around them, its images, links and open elements."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text):
        super().__init__()
        self.texts, self.images, self.links, self.open, self.problems = {}, [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "img":
            self.images.append(attributes)
        if tag == "a":
            self.links.append(attributes["href"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open.pop() != tag:
            self.problems.append(tag)

    def handle_data(self, data):
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data.strip())


def make_page(**changes):
    values = {
        "title": "beta <4> & more",
        "summary": ["data: shapes"],
        "metrics": {"test": {"elbo": -12.5, "active_units": 3}, "latents": {"psnr": 20.0}},
        "figures": [ReportFigure("samples", 'draws "from" the prior', PNG)],
        "flags": "--dataset=shapes\n--kl_weight=4.0",
        "changed_flags": ["kl_weight"],
        "commands": [("Measure", "python -m x --a='b <c>'")],
        "versions": {"tensorflow": "2.21.0"},
        **changes,
    }
    text = report_page(ReportData(**values))
    return text, Page(text)


def test_every_element_is_closed_and_special_characters_are_texts():
    _, page = make_page()
    assert (page.open, page.problems) == ([], [])
    assert page.texts["h1"] == ["beta <4> & more"]
    assert "python -m x --a='b <c>'" in page.texts["pre"]


def test_metrics_stand_next_to_their_meaning():
    _, page = make_page()
    assert page.texts["caption"] == ["test", "latents"]
    assert page.texts["td"][:4] == ["-12.5000", meaning_of("elbo"), "3", meaning_of("active_units")]


def test_a_figure_is_inlined_with_its_caption():
    _, page = make_page()
    (image,) = page.images
    kind, content = image["src"].split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(content) == PNG
    assert image["alt"] == 'draws "from" the prior'


def test_settings_that_differ_are_marked():
    _, page = make_page()
    assert page.texts["mark"] == ["--kl_weight=4.0"]


def test_the_explorer_is_linked_only_where_there_is_one():
    assert make_page()[1].links == []
    assert make_page(explorer="latent_explorer.html")[1].links == ["latent_explorer.html"]


def test_the_page_needs_no_network_and_fills_each_place_once():
    text, page = make_page(summary=["{{flags}} http"])
    assert "http:" not in text
    assert "https:" not in text
    assert "{{flags}} http" in page.texts["li"]


def test_every_metric_that_is_explained_exists():
    package = pathlib.Path(vae_lowlevel.__file__).parent
    sources = [path.read_text() for path in package.rglob("*.py") if "pages" not in path.parts]
    code = "\n".join(sources)
    # As a text, or as the field of a tuple of terms.
    assert [n for n in MEANINGS if f'"{n}"' not in code and f"    {n}: tf.Tensor" not in code] == []
