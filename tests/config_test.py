from __future__ import annotations

import collections
import dataclasses
import typing

import pytest

from vae_lowlevel.config import Config
from vae_lowlevel.config.fields import Resume
from vae_lowlevel.errors import ConfigError

FIELDS = [field for group in Config.groups().values() for field in dataclasses.fields(group)]


def test_names_are_unique_over_all_groups():
    counts = collections.Counter(field.name for field in FIELDS)
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_setting_says_what_it_is_and_what_its_change_means(field):
    assert field.metadata["help"].endswith(".")
    assert field.metadata["resume"] in typing.get_args(Resume)


def test_flat_values_go_there_and_back():
    config = Config.from_flat({"latent_dim": 3, "seed": 7, "encoder_units": (5, 6)})
    assert (config.model.latent_dim, config.training.seed) == (3, 7)
    assert config.model.encoder_units == (5, 6)
    flat = config.to_flat()
    assert set(flat) == {field.name for field in FIELDS}
    assert Config.from_flat(flat) == config


def test_from_flat_keeps_the_defaults_of_what_is_left_out():
    assert Config.from_flat({}) == Config()


def test_from_flat_refuses_names_it_does_not_know():
    with pytest.raises(ConfigError, match="no such setting: beta, latent_dims"):
        Config.from_flat({"latent_dims": 3, "seed": 1, "beta": 1.0})


def test_replace_changes_what_is_named_and_nothing_else():
    config = Config.from_flat({"seed": 7, "model_dir": "a"})
    replaced = config.replace(kl_weight=4, model_dir="b")
    changed = {
        name: value for name, value in replaced.to_flat().items() if config.to_flat()[name] != value
    }
    assert changed == {"kl_weight": 4.0, "model_dir": "b"}
    assert config.objective.kl_weight == 1.0


def test_replace_checks_too():
    with pytest.raises(ConfigError, match=r"--kl_weight must be at least 0, got -1\.0"):
        Config().replace(kl_weight=-1.0)


def test_settings_cannot_be_assigned():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().model.latent_dim = 2


def test_run_folder_is_named_after_the_data_set_unless_given():
    assert Config.from_flat({"dataset": "mnist"}).run.model_dir == "runs/mnist"
    assert Config.from_flat({"dataset": "mnist"}).name == "mnist"
    assert Config.from_flat({"model_dir": "some/where/"}).name == "where"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 2, "train_steps": 30}, "--epochs=2 and --train_steps=30: give one of the two"),
        (
            {"early_stopping_patience": 3, "validation_size": 0},
            "--early_stopping_patience needs validation images, but --validation_size is 0",
        ),
        (
            {"encoder_filters": (8, 16, 32)},
            "--encoder_filters and --encoder_strides need the same number of entries, "
            "got 3 (8, 16, 32) and 2 (2, 2)",
        ),
        (
            {"decoder_filters": (8,)},
            "--decoder_filters after its first and --decoder_strides need the same number of "
            "entries, got 0 () and 2 (2, 2)",
        ),
        (
            {"conditional": True, "model": "sparse_autoencoder"},
            "--conditional is for --model=vae, got --model=sparse_autoencoder",
        ),
        (
            {"capacity": 3.0, "free_bits": 0.5},
            "--capacity=3.0 and --free_bits=0.5: both set what the KL may cost; give one of the "
            "two",
        ),
        (
            {"model": "sparse_autoencoder", "free_bits": 0.5},
            "--free_bits and --capacity are about the KL, which --model=sparse_autoencoder has "
            "not; leave them out, or use --model=vae",
        ),
        (
            {"corruption": "mask", "corruption_strength": 1.5},
            "--corruption_strength of mask is a part of the pixels and must be at most 1, got 1.5",
        ),
        (
            {"decoder_filters": (), "decoder_strides": ()},
            "--decoder_filters needs at least one number for network conv",
        ),
        (
            {"posterior": "iaf", "kl_estimator": "analytic"},
            "--kl_estimator=analytic: the KL of posterior iaf from prior standard has no closed "
            "form; take --kl_estimator=auto, or --posterior=diagonal or full with "
            "--prior=standard",
        ),
        (
            {"prior": "vamp", "kl_estimator": "analytic"},
            "--kl_estimator=analytic: the KL of posterior diagonal from prior vamp has no closed "
            "form; take --kl_estimator=auto, or --posterior=diagonal or full with "
            "--prior=standard",
        ),
        (
            {"posterior": "iaf", "prior": "vamp"},
            "--prior=vamp needs the density of the posterior at any z, which posterior iaf gives "
            "only one dimension after another: take --posterior=diagonal or full, or another prior",
        ),
        (
            {"posterior": "iaf", "iaf_units": ()},
            "--iaf_units needs at least one number for posterior iaf",
        ),
        (
            {"prior": "flow", "latent_dim": 1},
            "--prior=flow couples two halves of z: --latent_dim must be at least 2, got 1",
        ),
        (
            {"likelihood": "discretized_logistic", "binarize": "static"},
            "--binarize=static leaves black and white pixels, which are not for "
            "--likelihood=discretized_logistic: take --likelihood=bernoulli or --binarize=none",
        ),
        (
            {
                "likelihood": "gaussian",
                "likelihood_scale_kind": "per_pixel",
                "pixel_reduction": "mean",
            },
            "--likelihood_scale_kind=per_pixel with --pixel_reduction=mean: the squared error "
            "would leave the scale untrained; take --pixel_reduction=sum or a fixed scale",
        ),
        (
            {"tf_data_service": "host:5050", "dataset": "records:a", "deterministic": False},
            "--tf_data_service must be grpc://<host>:<port>, got 'host:5050'",
        ),
        (
            {"tf_data_service": "grpc://host:5050", "deterministic": False},
            "--tf_data_service=grpc://host:5050 reads --dataset=records:<glob>, got "
            "--dataset=shapes; write its records with tools/make_records, or leave the service out",
        ),
        (
            {"tf_data_service": "grpc://host:5050", "dataset": "records:a"},
            "--tf_data_service=grpc://host:5050 does not give the data in the same order twice, so "
            "that no run repeats: add --deterministic=false, or leave it out",
        ),
        (
            {"likelihood": "discretized_logistic", "likelihood_scale": 0.001},
            "--likelihood_scale of a learned scale must be in (0.0067, 148.4), got 0.001",
        ),
        (
            {"num_gpus": 2},
            "--num_gpus=2 goes with --distribution_strategy=mirrored or multi_worker_mirrored, got "
            "one_device",
        ),
        (
            {"distribution_strategy": "tpu"},
            "--distribution_strategy=tpu and --tpu=<local or name> go together, got "
            "--distribution_strategy=tpu and --tpu=None",
        ),
        (
            {"tpu": "local"},
            "--distribution_strategy=tpu and --tpu=<local or name> go together, got "
            "--distribution_strategy=one_device and --tpu=local",
        ),
        (
            {"distribution_strategy": "mirrored", "cluster_resolver": "slurm"},
            "--cluster_resolver=slurm goes with --distribution_strategy=multi_worker_mirrored, got "
            "mirrored",
        ),
        (
            {
                "distribution_strategy": "multi_worker_mirrored",
                "cluster_resolver": "kubernetes",
                "num_workers": 3,
            },
            "--kubernetes_service and --cluster_resolver=kubernetes go together, got "
            "--kubernetes_service=None and --cluster_resolver=kubernetes",
        ),
        (
            {"distribution_strategy": "mirrored", "device": "gpu"},
            "--device=gpu is one GPU, but --distribution_strategy is mirrored; choose how many "
            "with --num_gpus",
        ),
        (
            {"distribution_strategy": "multi_worker_mirrored", "overwrite": True},
            "--overwrite: one worker would delete what another has begun; delete runs/shapes "
            "before the workers start",
        ),
        (
            {"distribution_strategy": "tpu", "tpu": "my-tpu", "model_dir": "runs/a"},
            "--model_dir=runs/a: --tpu=my-tpu writes checkpoints from its own machines, so the run "
            "folder must be an address that they reach, such as gs://bucket/runs/mine",
        ),
        (
            {"export_dir": "gs://bucket/exports"},
            "--export_dir=gs://bucket/exports: a version appears by the renaming of a folder, "
            "which takes a disk; give a folder of this machine and copy the version from there",
        ),
        (
            {"accumulate_steps": 2, "capacity": 5.0},
            "--accumulate_steps=2: the loss of --free_bits, --capacity and "
            "--model=sparse_autoencoder takes a mean over the whole batch, which its parts do not "
            "know; leave the flag out",
        ),
        (
            {"profile_steps": "20-10"},
            "--profile_steps must be <first>-<last>, such as 100-120, steps counted from 1, got "
            "'20-10'",
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(values, message):
    with pytest.raises(ConfigError) as caught:
        Config.from_flat(values)
    assert str(caught.value) == message


def test_convolution_settings_do_not_bind_the_mlp():
    config = Config.from_flat({"network": "mlp", "encoder_filters": (8,), "decoder_filters": ()})
    assert config.model.network == "mlp"


def test_convolutions_may_be_none():
    config = Config.from_flat(
        {
            "encoder_filters": (),
            "encoder_strides": (),
            "decoder_filters": (8,),
            "decoder_strides": (),
        }
    )
    assert config.model.decoder_filters == (8,)


@pytest.mark.parametrize(
    ("variant", "filters", "latent_dim"),
    [
        ("micro", (16, 32), 32),
        ("small", (32, 64), 64),
        ("medium", (32, 64, 128), 128),
        ("large", (64, 128, 256), 256),
        ("xlarge", (64, 128, 256, 512), 512),
    ],
)
def test_a_variant_gives_what_is_not_given(variant, filters, latent_dim):
    model = Config.from_flat({"network": "resnet", "variant": variant}).model
    assert (model.resnet_filters, model.latent_dim) == (filters, latent_dim)
    assert len(model.resnet_blocks) == len(filters)
    over = {"latent_dim": 5, "resnet_filters": (8, 9), "resnet_blocks": (3,)}
    model = Config.from_flat({"network": "resnet", "variant": variant, **over}).model
    assert (model.latent_dim, model.resnet_filters, model.resnet_blocks) == (5, (8, 9), (3, 3))


def test_without_a_variant_resnet_is_small_and_others_have_16_dimensions():
    assert Config.from_flat({"network": "resnet"}).model.variant == "small"
    for network in ("conv", "mlp"):
        assert Config.from_flat({"network": network}).model.latent_dim == 16


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"variant": "medium"}, "--variant is a setting of --network=resnet, found --network=conv"),
        ({"network": "mlp", "resnet_blocks": (1,)}, "--resnet_blocks is a setting of"),
        ({"network": "resnet", "resnet_filters": ()}, "--resnet_filters needs at least one"),
        (
            {"network": "resnet", "resnet_filters": (8, 8), "resnet_blocks": (1, 1, 1)},
            "--resnet_filters and --resnet_blocks need the same number of entries, got 2",
        ),
        ({"network": "resnet", "resnet_blocks": ()}, "--resnet_blocks need the same number"),
    ],
)
def test_sizes_of_residual_networks_have_to_fit(values, message):
    with pytest.raises(ConfigError) as caught:
        Config.from_flat(values)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("mnist", "mnist"),
        ("npz:/data/faces.npz", "faces"),
        ("npz:faces.v2.npz", "faces"),
        ("folder:../pets/", "pets"),
        ("folder:.", "folder"),
        ("records:/data/birds/*.tfrecord", "birds"),
        ("records:/data/birds/train-*", "train-"),
    ],
)
def test_run_folder_is_named_after_the_last_part_of_a_path(dataset, name):
    config = Config.from_flat({"dataset": dataset})
    assert config.run.model_dir == f"runs/{name}"


@pytest.mark.parametrize("dataset", ["", "svhn", "npz", "npz:", "mnist:/data", ":x", "Folder:x"])
def test_a_data_set_that_is_none_is_refused_with_the_list_of_those_that_are(dataset):
    with pytest.raises(ConfigError) as caught:
        Config.from_flat({"dataset": dataset})
    assert f"got {dataset!r}" in str(caught.value)
    for source in ("cifar10", "shapes", "folder:<path>", "npz:<path>", "records:<glob>"):
        assert source in str(caught.value)


@pytest.mark.parametrize(
    ("values", "kind", "scale"),
    [
        ({"likelihood": "gaussian"}, "fixed", 1.0),
        ({"likelihood": "gaussian", "likelihood_scale_kind": "learned"}, "learned", 0.1),
        ({"likelihood": "gaussian", "likelihood_scale": 0.001}, "fixed", 0.001),
        ({"likelihood": "discretized_logistic"}, "learned", 0.1),
        ({"likelihood": "discretized_logistic", "likelihood_scale": 0.03}, "learned", 0.03),
        (
            {"likelihood": "discretized_logistic", "likelihood_scale_kind": "fixed"},
            "fixed",
            1.0,
        ),
    ],
)
def test_scale_of_a_pixel_follows_the_likelihood_unless_given(values, kind, scale):
    model = Config.from_flat(values).model
    assert (model.scale_kind, model.initial_scale) == (kind, scale)
