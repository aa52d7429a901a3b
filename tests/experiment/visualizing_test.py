"""Figures of tiny runs, by the command line: what is drawn, what is refused."""

import os
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from experiment.tiny_run import run
from PIL import Image

from vae_lowlevel import cli, visualize
from vae_lowlevel.config.visualize import FIGURES as NAMES
from vae_lowlevel.config.visualize import VisualizeOptions
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.experiment import anomaly_figures, visualizing
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_model, load_predictor

SHAPES = {"shapes_examples": 120, "validation_size": 12, "epochs": 1}
KINDS = {
    "plane": {},
    "sparse": {"model": "sparse_autoencoder", "corruption": "mask"},
    "conditional": {"conditional": True, "latent_dim": 3},
}
AT_END = {
    "plane": "reconstructions samples manifold latent traversals curves",
    "sparse": "reconstructions denoising latent curves units codes",
    "conditional": "reconstructions samples classes latent traversals curves",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, settings in KINDS.items():
        run(folder / name, **SHAPES, **settings, figures=True)
    return folder


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("data") / "noise.npz")
    image = np.random.default_rng(0).integers(0, 256, [14, 8, 8, 1]).astype(np.uint8)
    np.savez(path, image=image[:2], test_image=image[2:])
    return f"npz:{path}"


def draw(folder, **options):
    flags = [f"--{name}={value}" for name, value in options.items()]
    words = [f"--model_dir={folder}", *flags, "--tensorflow_log"]
    return cli.main("", VisualizeOptions, visualize.run, words)


def scene_of(folder, **options):
    folder = RunFolder(str(folder))
    config = folder.read_config()
    options = VisualizeOptions(model_dir=folder.path, **options)
    parts = load_dataset(config.data), load_model(folder.path), folder.read_metrics()
    return visualizing._scene(config, folder, *parts, options)


def test_the_names_are_those_of_the_settings_in_their_order():
    assert list(visualizing.FIGURES) == list(NAMES)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_ends_with_the_figures_of_its_model(runs, kind):
    found = {name for name in os.listdir(runs / kind / "figures") if name.endswith(".png")}
    # One is drawn during the training, by its observers.
    assert found - {"progress.png"} == {f"{name}.png" for name in AT_END[kind].split()}


@pytest.mark.long
def test_all_that_applies_is_drawn_in_every_format(runs, noise, capsys):
    assert draw(runs / "plane", ood_dataset=noise, manifold_side=3) == 0
    names = set(AT_END["plane"].split()) | {"interpolations", "class_means"}
    names |= {"anomaly_scores", "anomaly_extremes", "anomaly_maps"}
    figures = runs / "plane" / "figures"
    paths = [figures / f"{name}.{ending}" for name in names for ending in ("png", "svg")]
    paths.append(figures / "traversals.gif")
    assert {str(path) for path in paths} == set(capsys.readouterr().out.split())
    for path in paths:
        if path.suffix == ".svg":
            assert ElementTree.parse(path).getroot().tag.endswith("svg")
        else:
            with Image.open(path) as image:
                assert min(image.size) > 100
                assert getattr(image, "n_frames", 1) == (24 if path.suffix == ".gif" else 1)


@pytest.mark.long
def test_what_is_named_is_drawn_alone(runs, capsys):
    others = f"{runs}/conditional"
    assert draw(runs / "plane", what="rate_distortion,curves", runs=others) == 0
    names = [os.path.basename(line) for line in capsys.readouterr().out.split()]
    assert names == ["rate_distortion.png", "rate_distortion.svg", "curves.png", "curves.svg"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("sparse", {"what": "samples"}, "needs a model with a prior .* --model=sparse_autoencoder"),
        (
            "plane",
            {"what": "units"},
            "needs a sparse autoencoder, but .* has --model=vae; what app",
        ),
        ("plane", {"what": "classes"}, "--what=classes needs --conditional=true"),
        ("conditional", {"what": "manifold"}, "needs two latent dimensions, but .* has 3"),
        ("conditional", {"what": "class_means"}, "needs a model that takes no classes"),
        ("plane", {"what": "denoising"}, "needs a run with --corruption, .* --corruption=none"),
        ("plane", {"what": "rate_distortion"}, "needs --runs=<run folders>"),
        ("plane", {"what": "curve"}, "--what must be all, or some of reconstructions, .* 'curve'"),
        ("plane", {"what": ","}, "--what must be all"),
        (
            "plane",
            {"manifold_side": 1},
            "--manifold_side must be at least 2 and at most 100, got 1",
        ),
        ("plane", {"ood_dataset": "nothing"}, "--ood_dataset: --dataset must be one of"),
        ("plane", {"what": "anomaly_maps", "anomaly_class": "circle"}, "must be one of ellipse"),
        ("plane", {"what": "traversals", "example": 99}, "--example must be below 20"),
    ],
    ids=str,
)
def test_what_does_not_apply_is_refused_when_it_is_named(runs, kind, options, message, capsys):
    before = sorted(os.listdir(runs / kind / "figures"))
    assert draw(runs / kind, **options) == 2
    assert re.search(message, capsys.readouterr().err)
    assert sorted(os.listdir(runs / kind / "figures")) == before


@pytest.mark.long
def test_runs_that_do_not_compare_are_refused(runs, tmp_path, capsys):
    assert draw(runs / "plane", what="rate_distortion", runs=f"{runs}/sparse") == 1
    assert "expected the test metrics rate and distortion" in capsys.readouterr().err
    flags = (runs / "plane" / "flags.cfg").read_text().splitlines()[1:]
    changed = "\n".join(flags).replace("--likelihood=bernoulli", "--likelihood=gaussian")
    (tmp_path / "flags.cfg").write_text(changed + "\n")
    assert draw(runs / "plane", what="rate_distortion", runs=tmp_path) == 2
    assert re.search("has --likelihood=gaussian, but .* has bernoulli", capsys.readouterr().err)


def test_curves_need_a_finished_run(tiny_run, capsys):
    assert draw(tiny_run, what="curves") == 2
    assert "needs a finished run, but" in capsys.readouterr().err


@pytest.mark.long
def test_the_curves_are_those_of_the_run(runs):
    scene = scene_of(runs / "plane")
    figure = visualizing.FIGURES["curves"].draw(scene)
    (axes,) = (axes for axes in figure.axes if axes.get_title(loc="left") == "distortion")
    history = scene.folder.read_metrics()["history"]
    for line, split in zip(axes.lines, ("train", "validation"), strict=False):
        assert list(line.get_ydata()) == [record[split]["distortion"] for record in history]


@pytest.mark.long
def test_the_threshold_is_the_quantile_of_the_kept_scores(runs, noise):
    scene = scene_of(runs / "plane", ood_dataset=noise, anomaly_quantile=0.75)
    axes = anomaly_figures.draw_scores(scene).axes[0]
    with np.load(runs / "plane" / "anomaly_scores.npz") as kept:
        threshold = np.quantile(kept["score"], 0.75)
    (line,) = axes.lines
    np.testing.assert_allclose(line.get_xdata(), threshold, rtol=1e-6)
    assert len(axes.containers) == 2


@pytest.mark.long
def test_scores_of_a_conditional_model_are_for_unknown_classes(runs):
    scene = scene_of(runs / "conditional", anomaly_quantile=0.5)
    axes = anomaly_figures.draw_scores(scene).axes[0]
    validation, predictor = scene.dataset.validation, load_predictor(str(runs / "conditional"))
    score = predictor.score(validation.image, -1).anomaly_score
    np.testing.assert_allclose(axes.lines[0].get_xdata(), np.quantile(score, 0.5), rtol=1e-5)
    assert "those for an unknown class" in axes.get_title(loc="left").replace("\n", " ")


@pytest.mark.long
def test_extremes_have_the_highest_and_the_lowest_scores(runs):
    scene = scene_of(runs / "plane")
    figure = anomaly_figures.draw_extremes(scene)
    score = load_predictor(str(runs / "plane")).score(scene.test.image).anomaly_score
    names = scene.class_names_of(scene.test.label)
    for axes, row in zip(figure.axes, (np.argmax(score), np.argmin(score)), strict=True):
        first = axes.xaxis.get_ticklabels()[0].get_text()
        assert first == f"{names[row]}\n{score[row]:.1f}"


@pytest.mark.long
def test_the_legend_of_the_latents_names_the_classes(runs):
    scene = scene_of(runs / "plane")
    figure = visualizing.FIGURES["latent"].draw(scene)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    present = sorted(set(scene.test.label))
    assert texts[: len(present)] == [scene.dataset.class_names[number] for number in present]
    assert len(texts) == len(present) + 1
