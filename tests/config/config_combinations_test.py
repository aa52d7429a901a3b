from __future__ import annotations

import pytest

from vae_lowlevel.config import Config
from vae_lowlevel.errors import ConfigError


# Parts of the message: the flags, their values, and what to do.
@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"epochs": 2, "train_steps": 30}, ["--epochs=2", "--train_steps=30", "one of the two"]),
        (
            {"early_stopping_patience": 3, "validation_size": 0},
            ["--early_stopping_patience needs validation images", "--validation_size is 0"],
        ),
        (
            {"capacity": 3.0, "free_bits": 0.5},
            ["--capacity=3.0", "--free_bits=0.5", "give one of the two"],
        ),
        (
            {"model": "sparse_autoencoder", "free_bits": 0.5},
            [
                "--free_bits and --capacity",
                "--model=sparse_autoencoder has no KL",
                "leave them out",
            ],
        ),
        (
            {"model": "sparse_autoencoder", "capacity": 0.0},
            [
                "--free_bits and --capacity",
                "--model=sparse_autoencoder has no KL",
                "leave them out",
            ],
        ),
        (
            {"model": "sparse_autoencoder", "best_by": "elbo"},
            ["--best_by=elbo", "--model=sparse_autoencoder has no ELBO", "--best_by=loss or auto"],
        ),
        (
            {"corruption": "mask", "corruption_strength": 1.5},
            ["--corruption_strength of mask", "at most 1, got 1.5"],
        ),
        (
            {"posterior": "iaf", "kl_estimator": "analytic"},
            [
                *("--kl_estimator=analytic", "--posterior=iaf", "--prior=standard"),
                *("use --kl_estimator=auto", "--posterior=diagonal or full"),
            ],
        ),
        (
            {"prior": "vamp", "kl_estimator": "analytic"},
            ["--kl_estimator=analytic", "--posterior=diagonal", "--prior=vamp", "--prior=standard"],
        ),
        (
            {"model": "ladder", "kl_estimator": "analytic"},
            ["--kl_estimator=analytic", "--model=ladder has no closed form", "or --model=vae"],
        ),
        (
            {"model": "ladder", "objective": "dreg", "num_samples": 5},
            ["--objective=dreg", "--model=ladder depend on each other", "elbo or iwae"],
        ),
        (
            {"model": "ladder", "objective": "tcvae"},
            ["--objective=tcvae", "--model=ladder depend on each other", "elbo or iwae"],
        ),
        (
            {"likelihood": "discretized_logistic", "binarize": "static"},
            [
                *("--binarize=static", "--likelihood=discretized_logistic"),
                "use --likelihood=bernoulli or --binarize=none",
            ],
        ),
        (
            {
                "likelihood": "gaussian",
                "likelihood_scale_kind": "per_pixel",
                "pixel_reduction": "mean",
            },
            [
                *("--likelihood_scale_kind=per_pixel", "--pixel_reduction=mean"),
                "use --pixel_reduction=sum or a fixed scale",
            ],
        ),
        (
            {"tf_data_service": "host:5050", "dataset": "records:a", "deterministic": False},
            ["--tf_data_service must be grpc://<host>:<port>, got 'host:5050'"],
        ),
        (
            {"tf_data_service": "grpc://host:5050", "deterministic": False},
            [
                *("--tf_data_service=grpc://host:5050", "--dataset=records:<glob>"),
                *("got --dataset=shapes", "tools/make_records", "leave the service out"),
            ],
        ),
        (
            {"tf_data_service": "grpc://host:5050", "dataset": "records:a"},
            [
                "--tf_data_service=grpc://host:5050",
                "add --deterministic=false",
                "leave the service",
            ],
        ),
        (
            {"num_gpus": 2},
            ["--num_gpus=2", "--distribution_strategy=mirrored or multi_worker", "got one_device"],
        ),
        (
            {"distribution_strategy": "tpu"},
            ["--distribution_strategy=tpu and --tpu=<local or name>", "--tpu=None"],
        ),
        (
            {"tpu": "local"},
            ["got --distribution_strategy=one_device and --tpu=local"],
        ),
        (
            {"distribution_strategy": "mirrored", "cluster_resolver": "slurm"},
            ["--cluster_resolver=slurm", "=multi_worker_mirrored, got mirrored"],
        ),
        (
            {
                "distribution_strategy": "multi_worker_mirrored",
                "cluster_resolver": "kubernetes",
                "num_workers": 3,
            },
            ["--kubernetes_service and --cluster_resolver=kubernetes", "--kubernetes_service=None"],
        ),
        (
            {"distribution_strategy": "mirrored", "device": "gpu"},
            [
                *("--device=gpu is a single GPU", "--distribution_strategy is mirrored"),
                *("leave --device out", "--num_gpus"),
            ],
        ),
        (
            {"distribution_strategy": "multi_worker_mirrored", "overwrite": True},
            ["--overwrite", "delete runs/shapes before the workers start"],
        ),
        (
            {"export_dir": "gs://bucket/exports"},
            ["--export_dir=gs://bucket/exports", "give a local folder"],
        ),
        (
            {"accumulate_steps": 2, "capacity": 5.0},
            ["--accumulate_steps=2", "--free_bits, --capacity", "leave --accumulate_steps out"],
        ),
        (
            {"accumulate_steps": 2, "capacity": 0.0},
            ["--accumulate_steps=2", "--free_bits, --capacity", "leave --accumulate_steps out"],
        ),
        (
            {"profile_steps": "20-10"},
            ["--profile_steps must be <first>-<last>, such as 100-120", "got '20-10'"],
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(values, parts):
    with pytest.raises(ConfigError) as caught:
        Config.from_flat(values)
    assert [part for part in parts if part not in str(caught.value)] == []


@pytest.mark.parametrize("dataset", ["", "svhn", "npz", "npz:", "mnist:/data", ":x", "Folder:x"])
def test_a_data_set_that_is_none_is_refused_with_the_list_of_those_that_are(dataset):
    with pytest.raises(ConfigError) as caught:
        Config.from_flat({"dataset": dataset})
    assert f"got {dataset!r}" in str(caught.value)
    for source in ("cifar10", "shapes", "folder:<path>", "npz:<path>", "records:<glob>"):
        assert source in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objective": "iwae", "free_bits": 0.1}, "--free_bits=0.1 is for --objective=elbo"),
        ({"objective": "dreg", "capacity": 2.0}, "--capacity=2.0 is for --objective=elbo"),
        ({"objective": "tcvae", "pixel_reduction": "mean"}, "--pixel_reduction=mean is for"),
        ({"objective": "iwae", "kl_estimator": "analytic"}, "--kl_estimator=analytic is for"),
        ({"objective": "tcvae", "num_samples": 2}, "draws one z per example"),
        ({"objective": "tcvae", "posterior": "full"}, "--posterior=diagonal and --prior=standard"),
        ({"objective": "tcvae", "prior": "vamp"}, "they are diagonal and vamp"),
        ({"objective": "tcvae", "accumulate_steps": 2}, "--objective=tcvae and --model=sparse"),
        ({"objective": "dreg", "posterior": "iaf"}, "--posterior is iaf: use --objective=iwae"),
        ({"objective": "dreg", "model": "ladder"}, "the levels of --model=ladder"),
        ({"objective": "iwae", "model": "sparse_autoencoder"}, "is for --model=vae"),
        ({"num_samples": 2, "model": "sparse_autoencoder"}, "--num_samples=2 is for --model=vae"),
    ],
)
def test_an_objective_that_does_not_fit_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        Config.from_flat(values)


@pytest.mark.parametrize("objective", ["iwae", "dreg", "tcvae"])
def test_other_objectives_choose_the_best_epoch_by_their_loss(objective):
    assert Config.from_flat({"objective": objective}).best_criterion == "loss"
    assert Config().best_criterion == "elbo"
