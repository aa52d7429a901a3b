from __future__ import annotations

import dataclasses
import re

import pytest

from vae_lowlevel import files
from vae_lowlevel.config import Config, flags
from vae_lowlevel.config.fields import value_types
from vae_lowlevel.config.flags import format_flagfile, read_flagfile
from vae_lowlevel.errors import ConfigError, RunError

GROUPS = Config.groups().values()
FIELDS = [field for group in GROUPS for field in dataclasses.fields(group)]
KINDS = {name: kind for group in GROUPS for name, (kind, _) in value_types(group).items()}


def parse(*argv):
    return flags.parse(list(argv), Config)


def another_value(field):
    """Returns an allowed value that is not the default."""
    if field.name == "dataset":
        return "records:some folder/of=#1.tfrecord"
    if field.name == "tf_data_service":
        return "grpc://host:5050"
    if field.metadata["choices"]:
        return next(choice for choice in field.metadata["choices"] if choice != field.default)
    kind = KINDS[field.name]
    if kind is bool:
        return not field.default
    if kind is int:
        return (field.default or 0) + 7
    if kind is float:
        return 1 / 3
    if kind is tuple:
        return (*(field.default or ()), 7)
    return f"some folder/of {field.name}=#1"


# Settings that exclude each other take turns.
@pytest.mark.parametrize(
    "unset",
    [
        # Black and white pixels are for the default likelihood alone.
        {"epochs", "model", "capacity", "likelihood", "accumulate_steps", "objective"},
        {"train_steps", "model", "free_bits", "binarize", "accumulate_steps", "objective"},
        {"train_steps", "model", "free_bits", "capacity", "binarize", "objective"},
        {
            *("train_steps", "model", "free_bits", "capacity", "binarize", "kl_estimator"),
            "pixel_reduction",
        },
        {
            *("train_steps", "conditional", "capacity", "free_bits", "binarize"),
            *("posterior", "prior", "accumulate_steps", "objective", "num_samples"),
        },
    ],
    ids=lambda names: "-".join(sorted(names)),
)
def test_flagfile_gives_back_every_value(tmp_path, unset):
    # A TPU is another strategy; workers do not overwrite.
    unset = {*unset, "tpu", "overwrite"}
    values = {field.name: another_value(field) for field in FIELDS if field.name not in unset}
    values["network"] = "resnet"  # whose sizes other networks refuse
    values["profile_steps"] = "3-5"
    values["best_by"] = "loss"  # without an ELBO in an autoencoder
    values["distribution_strategy"] = "multi_worker_mirrored"
    values["cluster_resolver"] = "kubernetes"
    assert all(value != Config().to_flat()[name] for name, value in values.items())
    config = Config.from_flat(values)
    path = tmp_path / "flags.cfg"
    path.write_text(format_flagfile(config))
    assert parse(f"--flagfile={path}") == config


def test_a_saved_flagfile_does_not_overwrite_the_run_it_is_of(tmp_path):
    path = tmp_path / "flags.cfg"
    path.write_text(format_flagfile(Config.from_flat({"overwrite": True})))
    assert parse(f"--flagfile={path}") == Config()


def test_flagfile_of_the_defaults_gives_the_defaults(tmp_path):
    path = tmp_path / "flags.cfg"
    path.write_text(format_flagfile(Config()))
    assert parse(f"--flagfile={path}") == Config()


def test_flagfile_names_every_flag_that_is_set_one_a_line():
    text = format_flagfile(Config())
    names = [line[2:].split("=")[0] for line in text.splitlines() if not line.startswith("# ")]
    unset = {name for name, value in Config().to_flat().items() if value is None}
    assert names == [f.name for f in FIELDS if f.name not in unset | {"overwrite"}]
    assert text.endswith("\n")


def test_flags_and_flagfiles_count_in_the_order_given(tmp_path):
    path = tmp_path / "flags.cfg"
    path.write_text("# comment\n\n--latent_dim=5\n--seed=6\n// comment\n--nodeterministic\n")
    config = parse("--seed=1", f"--flagfile={path}", "--latent_dim=2")
    assert (config.model.latent_dim, config.training.seed) == (2, 6)
    assert not config.training.deterministic


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"--seed=1\n  # indented\n", "# indented"),
        (b"latent_dim=3\n", "latent_dim=3"),
        (b"--seed=1\nseed\n", "seed"),
        (b"--no_such=1\n", "no_such"),
        (b"--latent_dim=x\n", "latent_dim"),
        ("--seed=1\n".encode("utf-16"), "flags.cfg"),
        (b"# caf\xe9\n--seed=1\n", "flags.cfg"),
    ],
    ids=[
        "indented comment",
        "no dashes",
        "a word",
        "unknown flag",
        "bad value",
        "utf-16",
        "latin-1",
    ],
)
def test_bad_flagfile_is_refused(tmp_path, content, named):
    path = tmp_path / "flags.cfg"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        parse(f"--flagfile={path}")
    assert named in str(caught.value)


def test_missing_flagfile_is_refused_by_name(tmp_path):
    for path in (tmp_path / "missing.cfg", tmp_path):
        with pytest.raises(ConfigError, match=re.escape(str(path))):
            parse(f"--flagfile={path}")


@pytest.fixture
def flagfile(tmp_path):
    def write(text, name="flags.cfg"):
        (tmp_path / name).write_text(text)
        return f"--flagfile={tmp_path / name}"

    return write


@pytest.mark.parametrize("is_last", [True, False])
@pytest.mark.parametrize("is_two_words", [True, False])
def test_a_length_on_the_command_line_replaces_the_other_one_of_a_flagfile(
    flagfile, is_last, is_two_words
):
    def length(text, flag):
        file = flagfile(text)
        file = file.split("=", 1) if is_two_words else [file]
        training = parse(*file, flag).training if is_last else parse(flag, *file).training
        return training.epochs, training.train_steps

    assert length("--epochs=3\n", "--train_steps=20") == (None, 20)
    assert length("--train_steps=20\n", "--epochs=3") == (3, None)


def test_two_lengths_from_one_source_are_refused(flagfile):
    both = flagfile("--epochs=3\n--train_steps=20\n", "both.cfg")
    epochs = flagfile("--epochs=3\n", "epochs.cfg")
    steps = flagfile("--train_steps=20\n", "steps.cfg")
    nested = flagfile(f"--epochs=3\n{steps}\n", "nested.cfg")
    for argv in (
        ["--epochs=3", "--train_steps=20"],
        [both],
        [both, "--seed=1"],
        [epochs, steps],
        [nested],
        [epochs, "--epochs=4", "--train_steps=20"],
    ):
        with pytest.raises(ConfigError, match=r"--epochs=\d and --train_steps=20 .*one of the two"):
            parse(*argv)


def test_a_flag_of_a_flagfile_can_be_unset_on_the_command_line(flagfile):
    text = "--network=resnet\n--latent_dim=3\n--clip_norm=5\n--resnet_filters=8\n--data_dir=a\n"
    text += "--train_steps=9\n"
    unset = ["--latent_dim=", "--clip_norm=", "--resnet_filters=", "--data_dir=", "--train_steps="]
    assert parse(flagfile(text), *unset) == Config.from_flat({"network": "resnet"})
    # Unset is not given: it replaces nothing.
    assert parse(flagfile("--epochs=4\n"), "--train_steps=").training.epochs == 4


def test_a_saved_run_takes_another_variant_data_set_or_network(flagfile):
    def saved(**values):
        return flagfile(format_flagfile(Config.from_flat(values)))

    config = parse(saved(network="resnet", variant="small"), "--variant=large")
    assert config == Config.from_flat({"network": "resnet", "variant": "large"})
    assert parse(saved(), "--dataset=mnist").model_dir == "runs/mnist"
    assert parse(saved(), "--network=resnet").model.sizes.latent_dim == 64


def test_read_flagfile_gives_the_saved_settings_from_disk_and_address(tmp_path):
    config = Config.from_flat({"latent_dim": 3, "dataset": "npz:some folder/of=#1.npz"})
    for folder in (str(tmp_path), f"ram://{tmp_path.name}"):
        path = f"{folder}/flags.cfg"
        files.make_folder(folder)
        files.write(path, format_flagfile(config).encode())
        assert read_flagfile(path) == config
        with pytest.raises(RunError, match=r"missing\.cfg .*cannot be read"):
            read_flagfile(f"{folder}/missing.cfg")
        files.write(path, b"--flag_of_the_future=1\n")
        with pytest.raises(ConfigError, match="flag_of_the_future"):
            read_flagfile(path)
