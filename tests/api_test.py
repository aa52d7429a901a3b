from __future__ import annotations

import gc
import json
import os
import threading

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import VAE, Config, load, plot
from vae_lowlevel.data.shapes import draw_shapes
from vae_lowlevel.errors import ConfigError, RunError
from vae_lowlevel.experiment.folder import RunFolder

IMAGE_SHAPE = (12, 12, 1)
SMALL = {
    "network": "mlp",
    "encoder_units": (32,),
    "decoder_units": (32,),
    "latent_dim": 3,
    "batch_size": 20,
    "learning_rate": 0.01,
    "jit_compile": "false",
}


@pytest.fixture(scope="module")
def images():
    return draw_shapes(200, 12, 0).image


def build(**flags):
    return VAE(Config.from_flat({**SMALL, **flags}), IMAGE_SHAPE)


@pytest.fixture(scope="module")
def trained(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "mine"
    return build().fit(images, epochs=5, model_dir=str(folder)), folder


def test_quick_start(tmp_path, images, unchecked):
    vae = VAE.from_variant(
        "micro",
        image_shape=(12, 12, 1),
        latent_dim=3,
        kl_weight=0.5,
        resnet_filters=(8,),
        batch_size=20,
    )
    vae.fit(images, epochs=1)
    vae.plot(str(tmp_path / "samples.png"))
    loaded = load(vae.save(str(tmp_path / "exports" / "mine")))

    picture = tf.io.decode_png(tf.io.read_file(str(tmp_path / "samples.png"))).numpy()
    assert picture.shape == (4 * 14 - 2, 4 * 14 - 2, 1)
    assert sorted(os.listdir(tmp_path / "exports" / "mine"))[0] == "1"
    np.testing.assert_allclose(
        loaded.reconstruct(images[:3]), vae.reconstruct(images[:3]), atol=1e-5
    )
    np.testing.assert_allclose(loaded.sample(3, seed=1), vae.sample(3, seed=1), atol=1e-5)


def test_a_variant_and_the_flags_over_it_make_the_model():
    vae = VAE.from_variant("micro", image_shape=IMAGE_SHAPE, latent_dim=3, kl_weight=0.005)
    assert vae.config.objective.kl_weight == 0.005
    assert (vae.config.model.network, vae.config.model.variant) == ("resnet", "micro")
    assert (vae.model.latent_dim, vae.model.image_shape) == (3, IMAGE_SHAPE)
    assert vae.encode(np.zeros([2, 12, 12], np.uint8)).z_mean.shape == (2, 3)


def test_training_brings_images_and_reconstructions_together(trained, images):
    def error(vae):
        return np.mean((vae.reconstruct(images) - images / np.float32(255)) ** 2)

    black = np.mean((images / 255) ** 2)
    vae, _ = trained
    assert error(vae) < 0.8 * error(build())
    assert error(vae) < black


def test_the_run_folder_is_that_of_the_command_line(trained, images):
    vae, folder = trained
    config = RunFolder(str(folder)).read_config()
    assert config.data.dataset == f"npz:{folder}/data.npz"
    assert config.data.validation_size is None
    assert config.training.epochs == 5
    run = load(str(folder))
    np.testing.assert_allclose(run.reconstruct(images[:4]), vae.reconstruct(images[:4]), atol=1e-6)


def test_the_same_call_resumes_and_other_images_are_refused(trained, images, capsys):
    _, folder = trained
    build().fit(images, epochs=5, model_dir=str(folder))
    assert "is finished" in capsys.readouterr().out
    with pytest.raises(RunError, match=r"data\.npz: expected the images and labels of this call"):
        build().fit(images[::-1], epochs=5, model_dir=str(folder))
    with pytest.raises(ConfigError, match=r"--kl_weight: was 1\.0, now 2\.0"):
        build(kl_weight=2.0).fit(images, epochs=5, model_dir=str(folder))


def test_floats_are_the_same_images_as_their_bytes(trained, images, tmp_path):
    _, folder = trained
    floats = images[..., 0].astype(np.float64) / 255.0
    build().fit(floats, epochs=5, model_dir=str(folder))  # refused, were they others
    with np.load(folder / "data.npz") as kept:
        np.testing.assert_array_equal(kept["image"], images)


def test_a_temporary_run_goes_with_its_vae(images, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    vae = build().fit(images, epochs=1)
    assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.rglob("metrics.json"))
    assert not list(tmp_path.rglob("data.npz"))
    del vae
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_an_export_has_the_model_card_and_the_threshold_of_its_run(
    trained, images, tmp_path, unchecked
):
    vae, folder = trained
    export = vae.save(str(tmp_path / "exports" / "mine"))
    card = (tmp_path / "exports" / "mine" / "1" / "MODEL_CARD.md").read_text()
    test = json.loads((folder / "metrics.json").read_text())["test"]
    assert f"| elbo | {test['elbo']:.4f} |" in card
    with np.load(folder / "anomaly_scores.npz") as kept:
        threshold = np.quantile(kept["score"], 0.99)
    scores = load(export).score(images)
    assert 0 < np.sum(scores.is_anomaly) < len(images)
    np.testing.assert_array_equal(scores.is_anomaly, scores.anomaly_score > threshold)


def test_an_untrained_export_finds_no_anomalies(images, tmp_path, unchecked):
    export = build().save(str(tmp_path / "exports" / "mine"))
    assert not np.any(load(export).score(images).is_anomaly)


@pytest.fixture(scope="module")
def conditional(images):
    label = draw_shapes(200, 12, 0).label
    return build(conditional=True).fit(images, label, epochs=5), label


def test_a_conditional_vae_draws_the_class_it_is_asked_for(
    conditional, images, tmp_path, unchecked
):
    vae, label = conditional
    drawn = [vae.sample(4, seed=1, label=number) for number in range(3)]
    for number in range(3):
        np.testing.assert_allclose(
            vae.sample(4, seed=1, label=np.full(4, number)), drawn[number], atol=1e-6
        )
        assert np.abs(drawn[number] - drawn[number - 1]).max() > 1e-3
    given = vae.reconstruct(images[:9], label[:9])
    np.testing.assert_allclose(
        vae.decode(vae.encode(images[:9], label[:9]).z_mean, label[:9]), given, atol=1e-5
    )
    loaded = load(vae.save(str(tmp_path / "exports" / "mine")))
    np.testing.assert_allclose(loaded.reconstruct(images[:9], label[:9]), given, atol=1e-5)
    vae.plot(str(tmp_path / "grid.png"), label=1)
    assert (tmp_path / "grid.png").is_file()


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (2**40, "label: expected labels from 0 to .* found 0 to 1099511627776"),
        (-7, "label: expected labels from 0 to .* found -7 to 0"),
        (975_000, "label: expected class numbers from 0 on .* found the label 975000"),
        (0.5, "label: expected labels of integers .* found float64"),
    ],
)
def test_labels_are_checked_before_anything_is_written(tmp_path, images, label, message):
    labels = np.zeros(len(images), np.asarray(label).dtype)
    labels[3] = label
    with pytest.raises(ValueError, match=message):
        build(conditional=True).fit(images, labels, model_dir=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_conditional_vae_asks_for_labels(conditional, images):
    vae, label = conditional
    with pytest.raises(ValueError, match=r"label must be in \[-1, 2\*\*31\).* got 4294967296"):
        vae.sample(3, label=2**32)  # 0 as int32
    with pytest.raises(ValueError, match=r"\[-1, 2\] .*got") as caught:
        vae.sample(3, label=11)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="it needs a label"):
        vae.sample(3)
    with pytest.raises(ValueError, match=r"call fit\(image, label\) first"):
        build(conditional=True).sample(3, label=0)
    for missing in (None, np.full_like(label, -1)):
        with pytest.raises(ValueError, match="give fit the class of each image"):
            build(conditional=True).fit(images, missing)
    with pytest.raises(ValueError, match="takes no label"):
        build().sample(3, label=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: VAE.from_variant("micro", image_shape=IMAGE_SHAPE, lateng_dim=3),
            "no such setting: lateng_dim",
        ),
        (lambda: build(model_dir="runs/x", pad_to=16), "pad_to, model_dir: fit sets these"),
        (lambda: VAE.from_variant("tiny", image_shape=IMAGE_SHAPE), "--variant must be one of"),
        (lambda: VAE.from_variant("xlarge", image_shape=(8, 8, 1)), "found 8 x 8"),
        (lambda: build().fit(np.zeros([50, 12, 12], np.uint8), validation_size=40), "batch_size"),
    ],
)
def test_wrong_settings_are_refused(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((np.zeros([3, 8, 8, 1], np.uint8),), r"\[N, 12, 12, 1\] or \[N, 12, 12\], got \[3, 8"),
        ((np.full([3, 12, 12, 1], 255.0),), r"must be in \[0, 1\]"),
        ((np.zeros([3, 12, 12, 1]), np.zeros(2, int)), r"integers \[3\], found int64 \[2\]"),
        ((np.zeros([3, 12, 12, 1]), np.zeros(3)), r"integers \[3\], found float64"),
    ],
)
def test_wrong_arrays_are_refused(arrays, message):
    with pytest.raises(ValueError, match=message):
        build().fit(*arrays)


def test_any_config_makes_a_vae():
    config = Config.from_flat({"network": "mlp", "latent_dim": 2, "encoder_units": (4,)})
    assert VAE(config, (5, 6, 3)).sample(2).shape == (2, 5, 6, 3)


def test_plot_lays_images_out_in_a_square(tmp_path):
    plot(str(tmp_path / "grid.png"), np.zeros([5, 4, 6, 3], np.float32))
    picture = tf.io.decode_png(tf.io.read_file(str(tmp_path / "grid.png")))
    assert picture.shape == (2 * 6 - 2, 3 * 8 - 2, 3)


def test_a_fit_that_was_refused_does_not_block_its_folder(tmp_path, images):
    folder = str(tmp_path / "run")
    with pytest.raises(ConfigError, match="--batch_size=900 must be at most"):
        build(batch_size=900).fit(images, epochs=1, model_dir=folder)
    build().fit(images, epochs=1, model_dir=folder)
    assert (tmp_path / "run" / "metrics.json").is_file()


def test_images_of_the_user_are_not_replaced(tmp_path, images):
    (tmp_path / "data.npz").write_bytes(b"mine")
    with pytest.raises(RunError, match=r"data\.npz: expected the images and labels of this call"):
        build().fit(images, epochs=1, model_dir=str(tmp_path))
    assert (tmp_path / "data.npz").read_bytes() == b"mine"


def test_fit_works_in_another_thread_than_the_main_one(images):
    fitted = []
    thread = threading.Thread(target=lambda: fitted.append(build().fit(images, epochs=1)))
    thread.start()
    thread.join()
    assert len(fitted) == 1
