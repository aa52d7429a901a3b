import csv
import json

import numpy as np
import pytest
import tensorflow as tf
from experiment.tiny_run import run
from google.protobuf import text_format
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from tensorboard.util import tensor_util

from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.experiment import results, tensorboard
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_model
from vae_lowlevel.experiment.tensorboard import (
    MOST_PIXELS,
    draw_sprite,
    write_final_summaries,
    write_projector,
)
from vae_lowlevel.training.summaries import _GROUP_OF
from vae_lowlevel.types import Dataset, Examples


@pytest.fixture(scope="module")
def finished(tmp_path_factory, without_replay):
    """A run with an export, whose summaries were written twice; without figures."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    exports = str(folder.parent / "exports")
    values = {"kl_weight": 2.5, "encoder_units": (6, 5), "epochs": 1, "export_dir": exports}
    with without_replay(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "draw_run", lambda *_: None)
        patch.setattr(results, "write_report", lambda *_: None)
        config, metrics = run(folder, **values)
    write_final_summaries(
        config,
        RunFolder(str(folder)),
        load_dataset(config.data),
        load_model(str(folder)),
        3,
        metrics["test"],
        metrics["export"],
    )
    return folder, config, metrics


@pytest.fixture(scope="module")
def events(finished):
    found = EventAccumulator(str(finished[0] / "summaries/test"))
    return found.Reload()


def test_the_test_metrics_are_at_the_step_of_their_weights(finished, events):
    _, _, metrics = finished
    numbers = {k: v for k, v in metrics["test"].items() if isinstance(v, (int, float))}
    for name, value in numbers.items():
        # Once, though they were written twice.
        (event,) = events.Tensors(f"{_GROUP_OF.get(name, 'terms')}/{name}")
        assert event.step == 3
        np.testing.assert_allclose(tensor_util.make_ndarray(event.tensor_proto), value, rtol=1e-6)
    assert {"elbo", "ssim", "active_units"} <= set(numbers)


def test_the_hyperparameters_are_those_of_the_run(finished, events):
    folder, config, _ = finished
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    info = metadata.parse_session_start_info_plugin_data(content)
    found = {name: getattr(v, v.WhichOneof("kind")) for name, v in info.hparams.items()}
    assert found["kl_weight"] == 2.5
    assert found["encoder_units"] == "6,5"
    assert found["network"] == "mlp"
    assert found["deterministic"] is True
    unset = {name for name, value in config.to_flat().items() if value is None}
    assert unset & set(found) == set()
    folders = {"model_dir", "export_dir", "overwrite", "tensorflow_log"}
    assert set(config.to_flat()) - set(found) == unset | folders
    assert info.group_name.startswith(folder.name)


def test_flags_and_model_card_are_text(events):
    def text(tag):
        (event,) = events.Tensors(tag)
        return tensor_util.make_ndarray(event.tensor_proto).item().decode()

    assert "    --kl_weight=2.5" in text("flags").splitlines()
    card = text("model_card")
    assert "## Signatures" in card
    assert "![" not in card


def test_the_projector_has_the_latents_of_the_test_images(finished):
    folder, config, _ = finished
    test = load_dataset(config.data).test
    place = folder / "summaries/test"
    (embedding,) = text_format.Parse(
        (place / "projector_config.pbtxt").read_text(), ProjectorConfig()
    ).embeddings
    z = np.loadtxt(place / embedding.tensor_path, delimiter="\t", ndmin=2)
    assert list(embedding.tensor_shape) == [*z.shape]
    wanted = load_model(str(folder)).embed(test.image / np.float32(255.0))
    np.testing.assert_allclose(z, wanted, rtol=1e-4, atol=1e-5)
    with open(place / embedding.metadata_path) as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    dataset = load_dataset(config.data)
    assert [row["label"] for row in rows] == [dataset.class_names[i] for i in test.label]
    factors = np.array([[row[name] for name in dataset.factor_names] for row in rows], float)
    np.testing.assert_allclose(factors, test.factors, rtol=1e-3, atol=1e-6)
    # The thumbnail of a point is its image.
    width, height = embedding.sprite.single_image_dim
    sprite = tf.io.decode_png((place / embedding.sprite.image_path).read_bytes()).numpy()
    columns = sprite.shape[1] // width
    for row, image in enumerate(test.image):
        y, x = row // columns * height, row % columns * width
        np.testing.assert_array_equal(sprite[y : y + height, x : x + width], image)


@pytest.mark.parametrize(
    ("shape", "thumbnail"),
    [
        ((5, 4, 6, 3), (4, 6)),
        ((2, 128, 64, 1), (64, 32)),
        ((1, 3, 300, 1), (1, 64)),
        # 2000 points make 45 columns.
        ((2000, 28, 28, 1), (28, 28)),
    ],
)
def test_a_sprite_has_all_thumbnails_in_a_square(shape, thumbnail):
    sprite, size = draw_sprite(np.full(shape, 200, np.uint8))
    assert size == thumbnail
    side = int(np.ceil(np.sqrt(shape[0])))
    assert sprite.shape == (side * thumbnail[0], side * thumbnail[1], shape[-1])
    assert max(sprite.shape) <= MOST_PIXELS
    assert sprite[0, 0, 0] == 200


def test_a_sprite_is_no_larger_than_a_texture(monkeypatch):
    monkeypatch.setattr(tensorboard, "MOST_PIXELS", 100)
    sprite, size = draw_sprite(np.full([101, 12, 12, 1], 200, np.uint8))
    # 11 columns of 9 pixels.
    assert size == (9, 9)
    assert sprite.shape == (99, 99, 1)
    assert set(np.unique(sprite)) == {0, 200}


def test_names_with_tabs_and_a_single_dimension_and_no_labels(tmp_path):
    examples = Examples(np.zeros([3, 4, 4, 1], np.uint8), np.array([0, -1, 1], np.int32))
    dataset = Dataset(examples, examples, examples, class_names=("a\tb\nc", "d"))
    write_projector(str(tmp_path), np.array([[1.5], [2.0], [-3.0]]), examples, dataset)
    assert (tmp_path / "tensors.tsv").read_text() == "1.5\t0\n2\t0\n-3\t0\n"
    lines = (tmp_path / "metadata.tsv").read_text().splitlines()
    assert lines == ["label\timage", "a b c\t0", "unknown\t1", "d\t2"]


def test_vectors_have_no_thumbnails(tmp_path):
    examples = Examples(np.zeros([3, 1, 4, 1], np.float32), np.full([3], -1, np.int32))
    dataset = Dataset(examples, examples, examples)
    write_projector(str(tmp_path), np.zeros([3, 2]), examples, dataset)
    assert "sprite" not in (tmp_path / "projector_config.pbtxt").read_text()
    assert not (tmp_path / "sprite.png").exists()


def test_metrics_have_the_kl_of_each_unit(finished):
    _, _, metrics = finished
    rates = [unit["kl"] for unit in metrics["test"]["latents"]]
    np.testing.assert_allclose(sum(rates), metrics["test"]["rate"], rtol=1e-5)
    assert json.dumps(rates)
