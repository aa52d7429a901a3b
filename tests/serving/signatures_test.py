import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.loading import load_model
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


def mlp_model():
    from vae_lowlevel import assembly
    from vae_lowlevel.config import ModelConfig

    config = ModelConfig(network="mlp", latent_dim=3, encoder_units=(8,), decoder_units=(8,))
    return assembly.build_model(config, (12, 12, 1), seed=0)


WANTED = {
    "encode": ({"image": [None, 12, 12, 1]}, {"z_mean": [None, 3], "z_log_var": [None, 3]}),
    "decode": ({"z": [None, 3]}, {"image": [None, 12, 12, 1]}),
    "sample": ({"seed": [None]}, {"image": [None, 12, 12, 1], "z": [None, 3]}),
    "reconstruct": ({"image": [None, 12, 12, 1]}, {"image": [None, 12, 12, 1]}),
}


@pytest.mark.parametrize("name", WANTED)
def test_inputs_and_outputs_are_named_with_all_sizes_but_the_batch_known(serving, name):
    concrete = serving.signatures[name].get_concrete_function()
    inputs = {spec.name: spec.shape.as_list() for spec in concrete.structured_input_signature[0]}
    outputs = {key: shape.as_list() for key, shape in concrete.output_shapes.items()}
    assert (inputs, outputs) == WANTED[name]


def test_the_default_is_reconstruct_and_nothing_else_is_offered(serving):
    assert set(serving.signatures) == {*WANTED, "serving_default"}
    assert serving.signatures["serving_default"] is serving.signatures["reconstruct"]


@pytest.mark.parametrize("name", ["encode", "reconstruct"])
def test_images_of_8_bit_values_are_refused(serving, images, name):
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"{name}: image must be in \[0, 1\]"):
        serving.signatures[name](np.round(images * 255.0))


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
        activation="elu",
    )
    return assembly.build_model(config, (12, 12, 1), seed=0)


@pytest.mark.parametrize(
    ("posterior", "prior", "names"),
    [
        ("full", "vamp", {"z_mean", "z_scale_tril"}),
        ("iaf", "mixture", {"z_mean", "z_log_var", "z"}),
        ("iaf", "flow", {"z_mean", "z_log_var", "z"}),
    ],
)
def test_other_posteriors_and_priors_are_served_too(posterior, prior, names, images, tmp_path):
    model = flow_or_full_model(posterior, prior)
    tf.saved_model.save(
        ServingModel(model), str(tmp_path), signatures=ServingModel(model).signatures
    )
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
