import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.experiment.loading import load_model
from vae_lowlevel.serving.signatures import ServingModel

SEEDS = np.array([0, 1, 2**32, 2**32 + 1, -1, 5_000_000_000, 7], np.int64)


@pytest.fixture(scope="module")
def model(tiny_run):
    return load_model(tiny_run)


@pytest.fixture(scope="module")
def serving(model):
    return ServingModel(model)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random([5, 12, 12, 1], np.float32)


def test_encode_gives_mean_and_log_variance_of_the_posterior(serving, model, images):
    posterior = model.encode(images)
    encoded = serving.encode(images)
    np.testing.assert_allclose(encoded["z_mean"], posterior.mean(), atol=1e-6)
    np.testing.assert_allclose(np.exp(encoded["z_log_var"]), posterior.variance(), rtol=1e-5)


def test_decode_gives_the_mean_image(serving, model):
    z = np.random.default_rng(1).normal(size=[4, 3]).astype(np.float32)
    image = serving.decode(z)["image"]
    np.testing.assert_allclose(image, model.decode(z).mean(), atol=1e-6)
    assert np.ptp(image.numpy(), axis=0).max() > 0.01  # the image depends on z


def test_reconstruct_decodes_the_posterior_mean(serving, images):
    z_mean = serving.encode(images)["z_mean"]
    wanted = serving.decode(z_mean)["image"]
    np.testing.assert_allclose(serving.reconstruct(images)["image"], wanted, atol=1e-6)


def test_sample_draws_from_the_prior_by_low_and_high_word(serving, model):
    sampled = serving.sample(SEEDS)
    for z, seed in zip(sampled["z"].numpy(), SEEDS.tolist(), strict=True):
        low, high = seed % 2**32, seed // 2**32 % 2**32
        words = np.array([low, high], np.uint32).view(np.int32)
        np.testing.assert_array_equal(z, model.prior().sample(seed=words))
    assert len(np.unique(sampled["z"].numpy(), axis=0)) == len(SEEDS)
    np.testing.assert_allclose(sampled["image"], model.decode(sampled["z"]).mean(), atol=1e-6)


def test_sampled_row_depends_on_its_seed_alone(serving):
    together = serving.sample(SEEDS)
    order = np.array([3, 3, 6, 0, 5, 1, 4, 2, 0, 0, 0])
    reordered = serving.sample(SEEDS[order])
    np.testing.assert_array_equal(reordered["z"], together["z"].numpy()[order])
    np.testing.assert_allclose(reordered["image"], together["image"].numpy()[order], atol=1e-6)
    for row, seed in enumerate(SEEDS):
        alone = serving.sample([seed])
        np.testing.assert_array_equal(alone["z"][0], together["z"][row])
        np.testing.assert_allclose(alone["image"][0], together["image"][row], atol=1e-6)


def test_sampled_z_is_standard_normal(serving):
    z = serving.sample(np.arange(4000))["z"].numpy()
    np.testing.assert_allclose(z.mean(0), 0.0, atol=4 / np.sqrt(4000))
    np.testing.assert_allclose(np.cov(z.T), np.eye(3), atol=0.1)


@pytest.mark.parametrize("network", ["conv", "mlp"])
def test_empty_batch_gives_empty_outputs(serving, network):
    if network == "mlp":
        serving = ServingModel(mlp_model())
    image, z = np.zeros([0, 12, 12, 1], np.float32), np.zeros([0, 3], np.float32)
    assert serving.encode(image)["z_mean"].shape == (0, 3)
    assert serving.encode(image)["z_log_var"].shape == (0, 3)
    assert serving.decode(z)["image"].shape == (0, 12, 12, 1)
    assert serving.reconstruct(image)["image"].shape == (0, 12, 12, 1)
    sampled = serving.sample(np.zeros([0], np.int64))
    assert sampled["z"].shape == (0, 3)
    assert sampled["image"].shape == (0, 12, 12, 1)


def mlp_model(image_shape=(12, 12, 1)):
    from vae_lowlevel import assembly
    from vae_lowlevel.config import ModelConfig

    config = ModelConfig(network="mlp", latent_dim=3, encoder_units=(8,), decoder_units=(8,))
    return assembly.build_model(config, image_shape, seed=0)


IMAGE = [None, 12, 12, 1]
SCORES = {key: [None] for key in ["elbo", "distortion", "rate", "anomaly_score", "is_anomaly"]}
ENCODING = {"z_mean": [None, 3], "z_log_var": [None, 3]}
WANTED = {
    "encode": ({"image": IMAGE}, ENCODING),
    "decode": ({"z": [None, 3]}, {"image": IMAGE}),
    "sample": ({"seed": [None]}, {"image": IMAGE, "z": [None, 3]}),
    "sample_with_temperature": (
        {"seed": [None], "temperature": [None]},
        {"image": IMAGE, "z": [None, 3]},
    ),
    "reconstruct": ({"image": IMAGE}, {"image": IMAGE}),
    "score": ({"image": IMAGE}, SCORES),
    "interpolate": ({"image_a": IMAGE, "image_b": IMAGE}, {"image": [None, 8, 12, 12, 1]}),
    "encode_bytes": ({"image_bytes": [None]}, ENCODING),
    "reconstruct_bytes": ({"image_bytes": [None]}, {"image": IMAGE}),
    "score_bytes": ({"image_bytes": [None]}, SCORES),
}


@pytest.mark.parametrize("name", WANTED)
def test_inputs_and_outputs_are_named_with_all_sizes_but_the_batch_known(serving, name):
    concrete = serving.signatures[name].get_concrete_function()
    inputs = {spec.name: spec.shape.as_list() for spec in serving.signatures[name].input_signature}
    outputs = {key: shape.as_list() for key, shape in concrete.output_shapes.items()}
    assert (inputs, outputs) == WANTED[name]


def test_the_default_is_reconstruct_and_nothing_else_is_offered(serving):
    assert set(serving.signatures) == {*WANTED, "serving_default"}
    assert serving.signatures["serving_default"] is serving.signatures["reconstruct"]


@pytest.mark.parametrize("name", ["encode", "reconstruct"])
def test_images_of_8_bit_values_are_refused(serving, images, name):
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"{name}: image must be in \[0, 1\]"):
        serving.signatures[name](np.round(images * 255.0))


def test_score_is_the_bound_at_the_posterior_mean(serving, model, images):
    posterior = model.encode(images)
    mean, variance = posterior.mean().numpy(), posterior.variance().numpy()
    probability = model.decode(mean).mean().numpy().astype(np.float64)
    cross_entropy = -images * np.log(probability) - (1 - images) * np.log(1 - probability)
    rate = 0.5 * np.sum(mean**2 + variance - 1.0 - np.log(variance), -1)
    found = {key: value.numpy() for key, value in serving.score(images).items()}
    np.testing.assert_allclose(found["distortion"], cross_entropy.sum((1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(found["rate"], rate, rtol=1e-4)
    np.testing.assert_allclose(found["elbo"], -found["distortion"] - found["rate"], rtol=1e-6)
    np.testing.assert_array_equal(found["anomaly_score"], -found["elbo"])


def test_an_anomaly_scores_above_the_threshold(serving, model, images):
    scores = serving.score(images)["anomaly_score"].numpy()
    assert not serving.score(images)["is_anomaly"].numpy().any()
    threshold = np.sort(scores)[2] + 0.01
    found = ServingModel(model, anomaly_threshold=threshold).score(images)["is_anomaly"]
    assert found.dtype == tf.bool
    np.testing.assert_array_equal(found, scores > threshold)
    assert np.sum(found) == 2


@pytest.mark.long
def test_the_threshold_can_be_set_after_measuring_with_the_model_that_is_saved(
    model, images, tmp_path
):
    serving = ServingModel(model)
    scores = serving.score(images)["anomaly_score"].numpy()
    serving.anomaly_threshold.assign(np.sort(scores)[2] + 0.01)
    np.testing.assert_array_equal(
        serving.score(images)["is_anomaly"], scores > serving.anomaly_threshold.numpy()
    )
    serving.save(str(tmp_path))
    saved = tf.saved_model.load(str(tmp_path))
    assert saved.anomaly_threshold.numpy() == serving.anomaly_threshold.numpy()
    assert np.sum(saved.score(images)["is_anomaly"]) == 2


def test_an_image_scores_the_same_in_any_batch(serving, images):
    together = serving.score(images)["elbo"]
    alone = [serving.score(image[None])["elbo"][0] for image in images]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_temperature_scales_the_draw(serving):
    z = serving.sample(SEEDS)["z"].numpy()
    temperature = np.array([1.0, 0.0, 0.5, 2.0, 1.0, 0.1, 1.0], np.float32)
    found = serving.sample_with_temperature(SEEDS, temperature)
    np.testing.assert_allclose(found["z"], temperature[:, None] * z, rtol=1e-6)
    np.testing.assert_allclose(found["image"], serving.decode(found["z"])["image"], atol=1e-6)
    np.testing.assert_array_equal(found["z"].numpy()[temperature == 1], z[temperature == 1])


def test_interpolation_is_a_straight_line_between_posterior_means(model, images):
    serving = ServingModel(model, interpolation_steps=5)
    found = serving.interpolate(images[:2], images[2:4])["image"].numpy()
    assert found.shape == (2, 5, 12, 12, 1)
    start, end = (model.encode(batch).mean().numpy() for batch in (images[:2], images[2:4]))
    for step in range(5):
        z = start + step / 4 * (end - start)
        np.testing.assert_allclose(found[:, step], model.decode(z).mean(), atol=1e-5)
    empty = images[:0]
    assert serving.interpolate(empty, empty)["image"].shape == (0, 5, 12, 12, 1)


@pytest.mark.parametrize("name", ["encode", "reconstruct", "score"])
def test_pictures_give_what_their_pixels_give(serving, images, name):
    pixels = np.round(images * 255.0).astype(np.uint8)
    pictures = [tf.io.encode_png(image).numpy() for image in pixels]
    found = serving.signatures[f"{name}_bytes"](pictures)
    wanted = serving.signatures[name](pixels / np.float32(255.0))
    assert found.keys() == wanted.keys()
    for key in found:
        np.testing.assert_allclose(found[key], wanted[key], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("channels", "is_offered"), [(1, True), (2, False), (3, True), (4, False)])
def test_pictures_are_offered_where_both_formats_have_the_channels(channels, is_offered):
    serving = ServingModel(mlp_model((4, 4, channels)))
    assert ("encode_bytes" in serving.signatures) == is_offered


@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [
        (
            "sample_with_temperature",
            {"seed": [1, 2], "temperature": [1.0]},
            r"seed and temperature must have equally many rows, got\] \[2 1\]",
        ),
        (
            "sample_with_temperature",
            {"seed": [1], "temperature": [-0.5]},
            r"temperature must be finite and at least 0, got values from\] \[-0.5\]",
        ),
        ("decode", {"z": [[0.0, np.nan, 0.0]]}, "z must be finite"),
        ("encode_bytes", {"image_bytes": [b"GIF89a"]}, "is not a PNG or JPEG picture"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_by_name(serving, name, inputs, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"{name}: .*{message}"):
        serving.signatures[name](**inputs)


@pytest.mark.long
def test_networks_compiled_by_xla_give_the_same_and_still_refuse(model, serving, images):
    compiled = ServingModel(model, jit_compile=True)
    for name in ("encode", "reconstruct", "score"):
        for key, value in compiled.signatures[name](images).items():
            wanted = serving.signatures[name](images)[key]
            np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(compiled.sample(SEEDS)["z"], serving.sample(SEEDS)["z"])
    with pytest.raises(tf.errors.InvalidArgumentError, match="encode: image must be in"):
        compiled.encode(images + 1.0)


def flow_or_full_model(posterior, prior):
    from vae_lowlevel import assembly
    from vae_lowlevel.config import ModelConfig

    config = ModelConfig(
        network="mlp",
        latent_dim=3,
        encoder_units=(8,),
        decoder_units=(8,),
        posterior=posterior,
        prior=prior,
        prior_components=5,
        prior_flow_steps=2,
        activation="elu",
    )
    return assembly.build_model(config, (12, 12, 1), seed=0)


@pytest.mark.parametrize(
    ("posterior", "prior", "names"),
    [
        ("full", "vamp", {"z_mean", "z_scale_tril"}),
        *(
            pytest.param("iaf", prior, {"z_mean", "z_log_var", "z"}, marks=pytest.mark.long)
            for prior in ("mixture", "flow")
        ),
    ],
)
def test_other_posteriors_and_priors_are_served_too(posterior, prior, names, images, tmp_path):
    model = flow_or_full_model(posterior, prior)
    serving = ServingModel(model)
    serving.save(str(tmp_path))
    signatures = tf.saved_model.load(str(tmp_path)).signatures
    encoded = signatures["encode"](image=tf.constant(images))
    assert set(encoded) == names
    for name, value in model.describe(images).items():
        np.testing.assert_allclose(encoded[name], value, rtol=1e-4, atol=1e-5)
    point = encoded.get("z", encoded["z_mean"])
    wanted = signatures["decode"](z=point)["image"]
    reconstructed = signatures["reconstruct"](image=tf.constant(images))["image"]
    np.testing.assert_allclose(reconstructed, wanted, atol=1e-5)
    together = signatures["sample"](seed=tf.constant(SEEDS))["z"].numpy()
    alone = signatures["sample"](seed=tf.constant(SEEDS[3:4]))["z"].numpy()
    np.testing.assert_array_equal(alone[0], together[3])
    words = SEEDS.view(np.int32).reshape(-1, 2)
    drawn = np.stack([model.prior().sample(seed=row) for row in words])
    np.testing.assert_allclose(together, drawn, rtol=1e-4, atol=1e-5)
    assert signatures["encode"](image=tf.zeros([0, 12, 12, 1]))["z_mean"].shape == (0, 3)


TINY = {"network": "mlp", "latent_dim": 3, "encoder_units": (8,), "decoder_units": (8,)}
CLASSES = 4
LABELS = np.array([0, 3, -1, 1, 2], np.int32)
Z = np.random.default_rng(1).normal(size=[5, 3]).astype(np.float32)


@pytest.fixture(scope="module")
def conditional():
    from vae_lowlevel import assembly
    from vae_lowlevel.config import ModelConfig

    config = ModelConfig(conditional=True, **TINY)
    return ServingModel(assembly.build_model(config, (12, 12, 1), seed=0, num_classes=CLASSES))


@pytest.fixture(scope="module")
def sparse():
    from vae_lowlevel import assembly
    from vae_lowlevel.config import ModelConfig

    config = ModelConfig(model="sparse_autoencoder", **TINY)
    return ServingModel(assembly.build_model(config, (12, 12, 1), seed=0))


def test_conditional_signatures_have_the_input_label_last(conditional):
    for name, other in [("encode", "image"), ("decode", "z"), ("sample", "seed")]:
        concrete = conditional.signatures[name].get_concrete_function()
        specs = concrete.structured_input_signature[0]
        assert [spec.name for spec in specs] == [other, "label"]
        assert (specs[1].shape.as_list(), specs[1].dtype) == ([None], tf.int32)


def test_conditional_signatures_give_what_the_model_gives_for_the_labels(conditional, images):
    model = conditional.model.conditioned_on(LABELS)
    posterior = model.encode(images)
    encoded = conditional.encode(image=images, label=LABELS)
    np.testing.assert_allclose(encoded["z_mean"], posterior.mean(), atol=1e-5)
    np.testing.assert_allclose(
        conditional.decode(z=Z, label=LABELS)["image"], model.decode(Z).mean(), atol=1e-5
    )
    np.testing.assert_allclose(
        conditional.reconstruct(image=images, label=LABELS)["image"],
        model.reconstruct(images),
        atol=1e-5,
    )
    sampled = conditional.sample(seed=SEEDS[:5], label=LABELS)
    wanted = model.decode(sampled["z"]).mean()
    np.testing.assert_allclose(sampled["image"], wanted, atol=1e-5)
    other = conditional.sample(seed=SEEDS[:5], label=(LABELS + 1) % CLASSES)
    np.testing.assert_array_equal(other["z"], sampled["z"])
    assert np.all(np.abs(other["image"] - sampled["image"]).max((1, 2, 3)) > 1e-3)


def test_conditional_signatures_answer_an_empty_batch(conditional):
    none = np.zeros([0], np.int32)
    assert conditional.decode(z=Z[:0], label=none)["image"].shape == (0, 12, 12, 1)
    assert conditional.sample(seed=SEEDS[:0], label=none)["image"].shape == (0, 12, 12, 1)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([0, 1, 2, 3, 4], r"decode: label must be in \[-1, 3\] \(-1: unknown\), got\]? \[0 1 2"),
        ([0, 1, -2, 3, 0], r"decode: label must be in \[-1, 3\]"),
        ([0, 1], "decode: "),
    ],
)
def test_wrong_labels_and_too_few_labels_are_refused(conditional, label, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        conditional.decode(z=Z, label=np.array(label, np.int32))


def test_sparse_autoencoder_serves_its_code_and_no_samples(sparse, images):
    assert not [name for name in sparse.signatures if "sample" in name]
    assert {"encode", "decode", "reconstruct", "score"} <= set(sparse.signatures)
    scores = sparse.score(images)
    assert set(scores) == {"distortion", "anomaly_score", "is_anomaly"}
    distortion = -sparse.model.decode(sparse.model.encode(images)).log_prob(images)
    np.testing.assert_allclose(scores["distortion"], distortion, rtol=1e-5)
    code = sparse.encode(images)["code"]
    np.testing.assert_allclose(code, sparse.model.encode(images), atol=1e-6)
    image = sparse.decode(code)["image"]
    np.testing.assert_allclose(image, sparse.reconstruct(images)["image"], atol=1e-6)


@pytest.mark.long
def test_saving_traces_nothing_again(model, tmp_path, monkeypatch):
    serving = ServingModel(model)
    for function in serving.signatures.values():
        function.get_concrete_function()
    traced = []
    true_embed = type(model).embed
    monkeypatch.setattr(type(model), "embed", lambda *args: traced.append(1) or true_embed(*args))
    serving.save(str(tmp_path))
    assert not traced
    ServingModel(model).reconstruct.get_concrete_function()
    assert traced
