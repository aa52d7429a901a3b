"""What the latent explorer of a run holds, compared with the model and the data."""

import dataclasses
import itertools
import os
import re

import numpy as np
import pytest
import tensorflow as tf
from pages.made_page import CLASS_NAMES, make_dataset, make_page

from vae_lowlevel.config import Config
from vae_lowlevel.errors import ConfigError, DataError
from vae_lowlevel.experiment import exploring
from vae_lowlevel.experiment.exploring import write_explorer
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.types import to_unit

FULL, SPARSE = {"posterior": "full"}, {"model": "sparse_autoencoder", "latent_dim": 5}
PAGES = {
    "plane": {},
    "full": FULL,
    "flow": {"posterior": "iaf"},
    "vamp": {"prior": "vamp", "latent_dim": 3},
    "sparse": SPARSE,
    "tanh": {**SPARSE, "latent_activation": "tanh"},
    "conditional": {"conditional": True, "latent_dim": 4, "unknown": True},
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    return {
        name: make_page(tmp_path_factory.mktemp(name), **flags) for name, flags in PAGES.items()
    }


def posterior_of(made, rows=slice(None)):
    test = made.dataset.test[rows]
    conditioned = made.model.conditioned_on(tf.constant(test.label))
    return conditioned, conditioned.encode(to_unit(test.image))


def chosen_rows(made):
    """The rows of the images that can be chosen, found by their pixels."""
    stored = [image.tobytes() for image in made.dataset.test.image]
    return np.array([stored.index(image.tobytes()) for image in made.data["images"]])


@pytest.mark.parametrize("name", ["plane", "full"])
def test_the_points_are_the_posterior_means_of_the_test_images(pages, name):
    made = pages[name]
    _, posterior = posterior_of(made)
    np.testing.assert_allclose(made.data["points"], posterior.mean(), atol=1e-6)
    np.testing.assert_array_equal(made.data["point_labels"], made.dataset.test.label)


def test_the_points_are_at_most_so_many_of_the_test_images(tmp_path, monkeypatch):
    monkeypatch.setattr(exploring, "MOST_POINTS", 12)
    made = make_page(tmp_path)
    _, posterior = posterior_of(made)
    distance = np.abs(made.data["points"][:, None] - posterior.mean().numpy()).max(-1)
    assert distance.shape == (12, 90)
    assert distance.min(1).max() < 1e-6
    rows = distance.argmin(1)
    np.testing.assert_array_equal(made.data["point_labels"], made.dataset.test.label[rows])
    assert len(set(rows)) == 12


@pytest.mark.parametrize("name", PAGES)
def test_images_come_with_their_labels_and_latents(pages, name):
    made = pages[name]
    rows = chosen_rows(made)
    test = made.dataset.test
    np.testing.assert_array_equal(made.data["image_labels"], test.label[rows])
    # Compiled, as for the page: a graph divides by 255 in another way.
    embed = tf.function(lambda x, label: made.model.conditioned_on(label).embed(to_unit(x)))
    z = embed(tf.constant(test.image), tf.constant(test.label)).numpy()
    np.testing.assert_allclose(made.data["image_z"], z[rows], atol=1e-6)
    assert made.data["class_names"] == list(CLASS_NAMES)


def test_the_classes_take_turns(pages):
    labels = pages["plane"].data["image_labels"]
    assert labels.tolist() == [0, 1, 2] * 8


def test_of_few_images_all_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr(exploring, "MOST_POINTS", 5)
    assert len(make_page(tmp_path).data["images"]) == 5


def test_the_scales_of_a_diagonal_posterior(pages):
    for name in ("plane", "conditional", "vamp"):
        made = pages[name]
        _, posterior = posterior_of(made, chosen_rows(made))
        scale = made.data["posteriors"]["scale"]
        assert np.ptp(scale) > 0.01
        np.testing.assert_allclose(scale, posterior.stddev(), rtol=1e-5)


def test_the_scales_of_a_full_posterior_give_its_covariance(pages):
    made = pages["full"]
    _, posterior = posterior_of(made, chosen_rows(made))
    scale = made.data["posteriors"]["scale"]
    assert np.abs(scale[:, 1, 0]).max() > 0.01
    np.testing.assert_allclose(scale @ scale.swapaxes(1, 2), posterior.covariance(), rtol=1e-4)


def test_the_draws_of_a_flow_posterior_have_its_mean_and_deviation(pages):
    made = pages["flow"]
    conditioned, posterior = posterior_of(made, chosen_rows(made))
    draws = made.data["posteriors"]["draws"]
    count = draws.shape[1]
    assert draws.shape == (24, 64, 2)
    noise = tf.random.stateless_normal([4000, 24, 2], [5, 6])
    many = conditioned.sample_and_log_prob(posterior, noise)[0].numpy()
    error = many.std(0) / np.sqrt(count)
    # 48 means: the largest of so many normal deviations is seldom above 4.
    assert np.abs((draws.mean(1) - many.mean(0)) / error).max() < 4.5
    np.testing.assert_allclose(np.mean(draws.std(1) / many.std(0)), 1.0, atol=0.06)


@pytest.mark.parametrize("name", ["plane", "conditional"])
def test_units_are_sorted_by_their_kl(pages, name):
    made = pages[name]
    _, posterior = posterior_of(made)
    loc, variance = posterior.mean().numpy(), np.square(posterior.stddev().numpy())
    kl = 0.5 * np.mean(np.square(loc) + variance - 1.0 - np.log(variance), 0)
    units = made.data["units"]
    assert [unit["number"] for unit in units] == np.argsort(-kl).tolist()
    np.testing.assert_allclose([unit["value"] for unit in units], np.sort(kl)[::-1], rtol=1e-4)
    assert made.data["unit_measure"] == "KL from the prior, in nats"
    actives = {unit["number"]: unit["is_active"] for unit in units}
    assert [actives[j] for j in range(loc.shape[1])] == (loc.var(0) > 0.01).tolist()


def test_units_without_a_kl_are_sorted_by_variance(pages):
    made = pages["vamp"]
    _, posterior = posterior_of(made)
    variance = posterior.mean().numpy().var(0)
    found = [(unit["number"], unit["value"]) for unit in made.data["units"]]
    assert [number for number, _ in found] == np.argsort(-variance).tolist()
    np.testing.assert_allclose([value for _, value in found], np.sort(variance)[::-1], rtol=1e-4)
    assert "variance" in made.data["unit_measure"]


@pytest.mark.parametrize(("name", "activity"), [("sparse", 0.0), ("tanh", 1.0)])
def test_the_sliders_of_a_code_end_at_its_largest_value(pages, name, activity):
    made = pages[name]
    code = made.model.encode(to_unit(made.dataset.test.image)).numpy()
    # The activity of a tanh code is (1 + code) / 2.
    mean = ((activity + code) / (1.0 + activity)).mean(0)
    units = made.data["units"]
    numbers = [unit["number"] for unit in units]
    assert numbers == np.argsort(-mean).tolist()
    np.testing.assert_allclose([unit["value"] for unit in units], mean[numbers], rtol=1e-5)
    np.testing.assert_allclose([unit["high"] for unit in units], code.max(0)[numbers], rtol=1e-5)
    low = np.minimum(code.min(0), 0.0)[numbers]
    np.testing.assert_allclose([unit["low"] for unit in units], low, rtol=1e-5)
    assert made.data["prior"] is made.data["posteriors"] is None


def test_histograms_count_the_test_images(pages):
    for name in ("conditional", "sparse"):
        made = pages[name]
        test = made.dataset.test
        z = made.model.conditioned_on(tf.constant(test.label)).embed(to_unit(test.image)).numpy()
        for unit in made.data["units"]:
            edges = np.linspace(unit["low"], unit["high"], 25)
            column = z[:, unit["number"]]
            expected = [np.sum((a <= column) & (column < b)) for a, b in itertools.pairwise(edges)]
            # The last interval has its end too; at an edge, rounding may choose the other side.
            assert abs(sum(unit["histogram"]) - sum(expected)) <= 1
            assert np.abs(np.cumsum(unit["histogram"]) - np.cumsum(expected)).max() <= 1


def test_sliders_reach_what_can_be_chosen(pages):
    for name in ("conditional", "vamp"):
        made = pages[name]
        for unit in made.data["units"]:
            column = made.data["image_z"][:, unit["number"]]
            assert unit["low"] <= column.min()
            assert column.max() <= unit["high"]


def test_the_standard_prior_is_drawn_in_the_page(pages):
    prior = pages["conditional"].data["prior"]
    np.testing.assert_array_equal(prior["loc"], np.zeros(4))
    np.testing.assert_array_equal(prior["scale"], np.ones(4))
    assert prior["draws"] is None
    # Its sliders reach three deviations.
    for unit in pages["conditional"].data["units"]:
        assert unit["low"] <= -3.0
        assert unit["high"] >= 3.0


def test_another_prior_is_drawn_beforehand(pages):
    made = pages["vamp"]
    prior = made.data["prior"]
    assert prior["loc"] is prior["scale"] is None
    many = made.model.prior().sample(20000, seed=[3, 4]).numpy()
    assert prior["draws"].shape == (2000, 3)
    error = many.std(0) / np.sqrt(2000)
    assert np.abs((prior["draws"].mean(0) - many.mean(0)) / error).max() < 4.5
    np.testing.assert_allclose(prior["draws"].std(0), many.std(0), rtol=0.1)


def test_only_two_latents_make_a_plane(pages):
    assert {name for name, made in pages.items() if made.data["points"] is not None} == {
        *("plane", "full", "flow")
    }


def test_a_conditional_model_needs_a_label(pages):
    assert [made.data["is_conditional"] for made in pages.values()] == [False] * 6 + [True]
    assert list(pages["conditional"].data["program"]["inputs"]) == ["z", "label"]


def test_nothing_is_loaded_from_elsewhere(pages):
    for made in pages.values():
        # The data are base64 and the names of classes.
        text = re.sub(r'id="data">.*?</script>', "", made.text, flags=re.DOTALL)
        found = set(re.findall(r"\w+://[^\s\"']*", text))
        assert found == {"http://www.w3.org/2000/svg"}
        assert re.findall(r'(?:src|href)="([^"]*)"', text) == ["data:,"]
        assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|WebSocket|import\(", text)
        assert "default-src 'none'" in text


def test_names_are_texts_and_not_tags(pages):
    text = pages["plane"].text
    assert text.count("</script>") == 2
    assert "<b>" not in text
    assert "a &lt;b&gt; run" in text
    assert "{{" not in re.sub(r'id="data">.*?</script>', "", text, flags=re.DOTALL)


def test_the_path_is_returned_and_its_folder_made(pages):
    assert os.path.basename(os.path.dirname(pages["plane"].path)) == "new"


def write(tmp_path, dataset, image_shape):
    made = make_page(tmp_path / "other", image_shape=(4, 4, 1))
    made.model.image_shape = image_shape
    config = Config.from_flat({"model_dir": str(tmp_path)})
    return write_explorer(
        config, RunFolder(str(tmp_path)), dataset, made.model, str(tmp_path / "x")
    )


def test_what_is_no_picture_is_refused(tmp_path):
    for shape in ((4, 4, 2), (4, 4, 4)):
        with pytest.raises(ConfigError, match=r"\[4, 4, \d\]: write the report without --explorer"):
            write(tmp_path, make_dataset((4, 4, 2)), shape)
    assert not (tmp_path / "x").exists()


def test_no_test_images_are_an_error(tmp_path):
    dataset = make_dataset((4, 4, 1))
    with pytest.raises(DataError, match="the test split has none"):
        write(tmp_path, dataclasses.replace(dataset, test=dataset.test[:0]), (4, 4, 1))
