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
    "figures": False,
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


@pytest.mark.long
def test_a_temporary_run_goes_with_its_vae(images, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    vae = build().fit(images, epochs=1)
    assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.rglob("metrics.json"))
    assert not list(tmp_path.rglob("data.npz"))
    del vae
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
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


@pytest.mark.long
def test_an_untrained_export_finds_no_anomalies(images, tmp_path, unchecked):
    export = build().save(str(tmp_path / "exports" / "mine"))
    assert not np.any(load(export).score(images).is_anomaly)


@pytest.fixture(scope="module")
def conditional(images):
    label = draw_shapes(200, 12, 0).label
    return build(conditional=True).fit(images, label, epochs=5), label


@pytest.mark.long
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
    drawn = plot(np.zeros([5, 4, 6, 3], np.float32), str(tmp_path / "grid.png"))
    picture = tf.io.decode_png(tf.io.read_file(str(tmp_path / "grid.png")))
    assert picture.shape == (2 * 6 - 2, 3 * 8 - 2, 3)
    np.testing.assert_array_equal(np.asarray(drawn), picture)


def test_plot_accepts_grey_images_without_channels_and_8_bit_pixels():
    pixels = np.arange(48, dtype=np.uint8).reshape(2, 4, 6)
    picture = np.asarray(plot(pixels))
    np.testing.assert_array_equal(picture[:, :6], pixels[0])
    np.testing.assert_array_equal(np.asarray(plot(pixels[..., None] / 255.0)), picture)


@pytest.mark.parametrize("images", ["samples.png", np.zeros([4, 6]), np.zeros([2, 4, 6, 2]), []])
def test_plot_says_what_it_needs(images):
    with pytest.raises(ValueError, match=r"plot\(images, path\) needs images \[N, H, W, 1 or 3\]"):
        plot(images)


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


def test_predict_returns_what_users_of_other_libraries_expect(trained, images):
    vae, _ = trained
    outputs = vae(images[:3])
    assert set(outputs) == {"reconstruction", "z_mean", "z_log_var", "z"}
    np.testing.assert_allclose(outputs["reconstruction"], vae.reconstruct(images[:3]), atol=1e-6)
    mean, log_var = vae.encode(images[:3])
    np.testing.assert_array_equal(mean, outputs["z_mean"])
    np.testing.assert_array_equal(log_var, outputs["z_log_var"])


def test_only_independent_gaussians_unpack_into_mean_and_log_variance(images):
    with pytest.raises(ValueError, match="use the attributes z_mean, z_scale_tril"):
        _, _ = build(posterior="full").encode(images[:1])


def test_one_object_scores_and_interpolates_before_and_after_loading(trained, images):
    vae, folder = trained
    loaded = load(str(folder))
    assert isinstance(loaded, VAE)
    np.testing.assert_allclose(
        loaded.interpolate(images[:2], images[2:4], 5), vae.interpolate(images[:2], images[2:4], 5)
    )
    np.testing.assert_allclose(loaded.score(images[:4]).elbo, vae.score(images[:4]).elbo)
    ends = vae.interpolate(images[:2], images[2:4], 5, path="spherical")[:, [0, -1]]
    np.testing.assert_allclose(ends[:, 0], vae.reconstruct(images[:2]), atol=1e-5)
    np.testing.assert_allclose(ends[:, 1], vae.reconstruct(images[2:4]), atol=1e-5)
    assert loaded.history == vae.history
    assert loaded.config == vae.config.replace(epochs=5)


def test_a_loaded_run_can_be_trained_again(trained, images):
    _, folder = trained
    loaded = load(str(folder)).fit(images, epochs=1, verbose=False)
    assert len(loaded.history["loss"]) == 1


def test_samples_differ_unless_there_is_a_seed_and_cool_down_to_the_mean(trained):
    vae, _ = trained
    assert np.abs(vae.sample(4) - vae.sample(4)).max() > 1e-3
    np.testing.assert_array_equal(vae.sample(4, seed=3), vae.sample(4, seed=3))
    coldest = vae.sample(2, seed=3, temperature=0.0)
    np.testing.assert_allclose(coldest, vae.decode(np.zeros([2, 3], np.float32)), atol=1e-5)
    z = vae.sample_latents(4, seed=3)
    np.testing.assert_allclose(vae.sample_latents(4, seed=3, temperature=0.5), z / 2, atol=1e-6)
    with pytest.raises(ValueError, match="temperature must be finite and at least 0, got -1"):
        vae.sample(2, temperature=-1.0)


def test_history_and_callbacks_agree_with_the_run(images, tmp_path):
    seen = []
    vae = build().fit(
        images,
        epochs=3,
        model_dir=str(tmp_path / "run"),
        callbacks=[lambda epoch, metrics: seen.append((epoch, metrics))],
    )
    records = json.loads((tmp_path / "run" / "metrics.json").read_text())["history"]
    assert vae.history["epoch"] == [1, 2, 3]
    assert vae.history["loss"] == [record["train"]["loss"] for record in records]
    assert vae.history["val_elbo"] == [record["validation"]["elbo"] for record in records]
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    assert [metrics["val_loss"] for _, metrics in seen] == vae.history["val_loss"]


def test_an_error_of_a_callback_reaches_the_caller(images):
    def fail(epoch, metrics):
        raise ZeroDivisionError(f"epoch {epoch}")

    with pytest.raises(ZeroDivisionError, match="epoch 1"):
        build().fit(images, epochs=2, callbacks=[fail], verbose=False)


@pytest.mark.long
def test_a_process_of_many_short_fits_is_not_warned_of_retracing(images, caplog):
    logger = tf.get_logger()
    logger.addHandler(caplog.handler)
    try:
        for _ in range(6):
            build().fit(images[:40], epochs=1, verbose=False)
    finally:
        logger.removeHandler(caplog.handler)
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.long
def test_a_quiet_fit_prints_nothing_and_a_second_one_says_that_it_starts_again(images, capsys):
    vae = build().fit(images, epochs=1, verbose=False)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")
    vae.fit(images, epochs=1)
    assert "starts again from the first weights" in capsys.readouterr().out


def test_summary_prints_the_layers(capsys):
    vae = build()
    vae.summary()
    parameters = sum(np.prod(variable.shape) for variable in vae.model.trainable_variables)
    assert f"{parameters:,}" in capsys.readouterr().out


@pytest.mark.long
def test_labels_of_8_bits_are_learned(images):
    label = draw_shapes(200, 12, 0).label.astype(np.uint8)
    vae = build(conditional=True).fit(images, label, epochs=1, verbose=False)
    assert vae.sample(2, label=np.uint8(1)).shape == (2, 12, 12, 1)
    assert vae.encode(images[:3], label[:3].tolist()).z_mean.shape == (3, 3)


def test_lists_are_accepted_and_other_integers_explained(trained, images):
    vae, _ = trained
    floats = (images[:2, ..., 0] / 255.0).tolist()
    np.testing.assert_allclose(vae.encode(floats).z_mean, vae.encode(images[:2]).z_mean, atol=1e-5)
    with pytest.raises(ValueError, match=r"got int64; .* use image\.astype\(numpy\.uint8\)"):
        vae.encode(images[:2].astype(np.int64))
    with pytest.raises(ValueError, match="must have one shape, got a list of different ones"):
        vae.encode([[[0.5]], [[0.5, 0.5]]])


@pytest.mark.parametrize(
    ("given", "full"), [((12, 12), (12, 12, 1)), ((9,), (1, 9, 1)), ((5, 6, 3), (5, 6, 3))]
)
def test_short_image_shapes(given, full):
    vae = VAE(Config.from_flat({**SMALL, "likelihood": "gaussian"}), given)
    assert vae.image_shape == full
    with pytest.raises(ConfigError, match=r"must be \(H, W, C\), \(H, W\) or \(D,\)"):
        VAE(Config.from_flat(SMALL), (*given, 0))


def linear_vectors(count=1000):
    """Rows of a table with two degrees of freedom, each column in [0, 1]."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(count, 2)) @ random.normal(size=(2, 6))
    return (rows - rows.min(0)) / (rows.max(0) - rows.min(0))


@pytest.mark.long
def test_vectors_are_learned_without_rounding(tmp_path):
    rows = linear_vectors()
    settings = {**SMALL, "likelihood": "gaussian", "likelihood_scale_kind": "learned"}
    vae = VAE(Config.from_flat({**settings, "latent_dim": 2}), (6,))
    vae.fit(rows, epochs=8, model_dir=str(tmp_path / "run"), verbose=False)
    errors = np.mean((vae.reconstruct(rows) - rows) ** 2)
    assert errors < 0.3 * rows.var(0).mean()
    with np.load(tmp_path / "run" / "data.npz") as kept:
        np.testing.assert_allclose(kept["image"].reshape(-1, 6), rows, rtol=1e-6)
    assert vae.sample(3).shape == (3, 6)
    assert vae.interpolate(rows[:1], rows[1:2], steps=4).shape == (1, 4, 6)


def test_vectors_need_a_model_for_vectors():
    with pytest.raises(ConfigError, match=r"vectors .* need --network=mlp, got 'conv'"):
        VAE(Config(), (6,))
    with pytest.raises(
        ConfigError, match=r"vectors .* need --likelihood=gaussian, got 'bernoulli'"
    ):
        VAE(Config.from_flat(SMALL), (6,))
    vae = VAE(Config.from_flat({**SMALL, "likelihood": "gaussian"}), (6,))
    with pytest.raises(ValueError, match=r"scale each column: .* got values from 0\.0 to 3\.0"):
        vae.encode(3 * linear_vectors(5))
