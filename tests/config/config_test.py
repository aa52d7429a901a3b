from __future__ import annotations

import collections
import dataclasses
import typing

import pytest

from vae_lowlevel.config import Config, StrategyConfig, digest
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


def test_replace_can_unset():
    config = Config.from_flat({"epochs": 3, "clip_norm": 5.0})
    changed = config.replace(epochs=None, train_steps=20, clip_norm=None)
    assert (changed.training.epochs, changed.training.train_steps) == (None, 20)
    assert changed.optimizer.clip_norm is None


def test_settings_cannot_be_assigned():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().model.latent_dim = 2


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"network": "resnet"},
        {"network": "resnet", "variant": "large", "latent_dim": 3},
        {"network": "mlp"},
        {"dataset": "npz:a.npz"},
    ],
)
def test_only_what_is_given_is_kept(values):
    assert Config.from_flat(values).to_flat() == {**Config().to_flat(), **values}


def test_a_changed_setting_changes_what_follows_from_it():
    small = Config.from_flat({"network": "resnet", "variant": "small"})
    assert small.replace(variant="large").model == (
        Config.from_flat({"network": "resnet", "variant": "large"}).model
    )
    assert small.replace(variant="large").model.sizes.latent_dim == 256
    assert Config().replace(network="resnet").model.sizes.latent_dim == 64
    assert Config().replace(dataset="mnist").model_dir == "runs/mnist"


def test_run_folder_is_named_after_the_data_set_unless_given():
    assert Config.from_flat({"dataset": "mnist"}).model_dir == "runs/mnist"
    assert Config.from_flat({"dataset": "mnist"}).name == "mnist"


@pytest.mark.parametrize(
    ("model_dir", "name"),
    [
        ("some/where/", "where"),
        ("runs/fashion", "fashion"),
        ("runs/fast/fashion/", "fast_fashion"),
        ("/data/runs/old/runs/papers/a", "papers_a"),
        ("gs://bucket/runs/cifar10", "cifar10"),
        ("other/runs", "runs"),
    ],
)
def test_export_is_named_after_the_path_below_runs(model_dir, name):
    assert Config.from_flat({"model_dir": model_dir}).name == name


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
    assert Config.from_flat({"dataset": dataset}).model_dir == f"runs/{name}"


# What the version that wrote resolved values saved, next to what its user gave.
@pytest.mark.parametrize(
    ("saved", "given"),
    [
        ({"latent_dim": 16, "validation_size": 5000, "dataset": "mnist"}, {"dataset": "mnist"}),
        (
            {
                "network": "resnet",
                "variant": "small",
                "latent_dim": 64,
                "resnet_filters": (32, 64),
                "resnet_blocks": (1, 1),
            },
            {"network": "resnet"},
        ),
        (
            {
                "network": "resnet",
                "variant": "large",
                "latent_dim": 7,
                "resnet_filters": (64, 128, 256),
                "resnet_blocks": (3, 3, 3),
            },
            {"network": "resnet", "variant": "large", "latent_dim": 7, "resnet_blocks": (3,)},
        ),
    ],
)
def test_resolved_settings_of_an_old_run_equal_those_of_its_command(saved, given):
    assert Config.from_flat(saved).resolved_flat() == Config.from_flat(given).resolved_flat()


@pytest.mark.parametrize(
    ("one", "other", "differing"),
    [
        ({"latent_dim": 3}, {}, {"latent_dim"}),
        ({"network": "resnet"}, {"network": "resnet", "variant": "micro"}, None),
        ({"dataset": "mnist", "validation_size": 4999}, {"dataset": "mnist"}, {"validation_size"}),
        # A tenth of them may be less: they are not known to be the same images.
        ({"validation_size": 5000}, {}, {"validation_size"}),
    ],
)
def test_resolved_settings_differ_where_the_runs_do(one, other, differing):
    differing = differing or {"latent_dim", "resnet_filters"}
    one, other = Config.from_flat(one).resolved_flat(), Config.from_flat(other).resolved_flat()
    assert {name for name in one if one[name] != other[name]} == differing
    assert "variant" not in one


@pytest.mark.parametrize(
    ("values", "criterion"),
    [
        ({}, "elbo"),
        ({"kl_schedule": "linear"}, "elbo"),
        ({"kl_weight": 4.0}, "loss"),
        ({"kl_weight": 0.0}, "loss"),
        ({"free_bits": 0.5}, "loss"),
        ({"capacity": 3.0}, "loss"),
        ({"capacity": 0.0}, "loss"),
        ({"pixel_reduction": "mean"}, "loss"),
        ({"model": "sparse_autoencoder"}, "loss"),
        ({"kl_weight": 4.0, "best_by": "elbo"}, "elbo"),
        ({"best_by": "loss"}, "loss"),
    ],
)
def test_best_weights_are_chosen_by_the_loss_where_its_terms_are_weighed(values, criterion):
    assert Config.from_flat(values).best_criterion == criterion


@pytest.mark.parametrize(
    ("values", "has_batch_means"),
    [
        ({}, False),
        ({"kl_weight": 4.0}, False),
        ({"free_bits": 0.5}, True),
        ({"capacity": 0.0}, True),
        ({"model": "sparse_autoencoder"}, True),
    ],
)
def test_losses_that_need_the_whole_batch_are_known(values, has_batch_means):
    assert Config.from_flat(values).has_batch_means == has_batch_means


@pytest.mark.parametrize(
    "strategy",
    [
        {"distribution_strategy": "mirrored", "num_gpus": 2},
        {"distribution_strategy": "tpu", "tpu": "my-tpu", "model_dir": "gs://bucket/run"},
        {
            "distribution_strategy": "multi_worker_mirrored",
            "cluster_resolver": "kubernetes",
            "num_workers": 2,
            "kubernetes_service": "workers",
        },
    ],
    ids=lambda strategy: strategy["distribution_strategy"],
)
def test_a_run_of_many_devices_is_evaluated_on_one(strategy):
    trained = Config.from_flat({"latent_dim": 3, "seed": 5, **strategy})
    config = trained.on_one_device("gpu", 1)
    assert (config.training.device, config.training.device_index) == ("gpu", 1)
    assert config.strategy == StrategyConfig()
    changed = {"device", "device_index", *(f.name for f in dataclasses.fields(StrategyConfig))}
    before, after = trained.to_flat(), config.to_flat()
    assert {name for name in after if after[name] != before[name]} <= changed


def test_a_remote_tpu_needs_a_run_folder_that_it_reaches_when_training_starts():
    values = {"distribution_strategy": "tpu", "tpu": "my-tpu", "model_dir": "gs://bucket/runs/a"}
    config = Config.from_flat(values)
    config.check_run_folder()
    # Reading a copy of the run needs no TPU.
    copy = config.replace(model_dir="runs/a")
    with pytest.raises(ConfigError, match=r"--model_dir=runs/a: --tpu=my-tpu .* gs://"):
        copy.check_run_folder()
    Config.from_flat({**values, "tpu": "local", "model_dir": "runs/a"}).check_run_folder()


def test_workers_share_all_settings_but_places():
    mine = Config.from_flat({"network": "resnet", "data_dir": "a", "model_dir": "b"})
    other = Config.from_flat({"network": "resnet", "export_dir": "c", "tensorflow_log": True})
    assert mine.worker_settings() == other.worker_settings()
    assert digest(mine.worker_settings()) == digest(other.worker_settings())
    for changed in (
        {"seed": 1},
        {"checkpoint_every": 7},
        {"batch_size": 64},
        {"profile_steps": "1-2"},
        {"intra_op_threads": 3},
    ):
        settings = mine.replace(**changed).worker_settings()
        assert digest(settings) != digest(mine.worker_settings())
    assert int(float(digest("x"))) == digest("x") == 0x4755BD1B0177
