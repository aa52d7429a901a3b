from __future__ import annotations

import dataclasses
import re

import pytest

from vae_lowlevel.config import Config, flags
from vae_lowlevel.config.fields import value_types
from vae_lowlevel.config.flags import format_flagfile, read_run
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


def test_no_flags_give_the_default_config():
    assert parse() == Config()


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_help_shows_every_setting(field):
    text = flags.help_text("Usage: me", Config)
    (head,) = [line for line in text.splitlines() if line.startswith(f"  --{field.name}  ")]
    # Without white space: the help is wrapped, at hyphens too, and a long head before its default.
    default, help_text = "".join(text[text.index(head) :].split()).split(")", 1)
    assert "(default:" in default
    assert help_text.startswith("".join(field.metadata["help"].split()))
    if field.metadata["choices"]:
        assert "{" + ", ".join(field.metadata["choices"]) + "}" in head


def test_help_shows_defaults_as_flagfiles_write_them():
    text = flags.help_text("Usage: me\n", Config)
    assert text.startswith("Usage: me\n")
    assert "--encoder_filters  int,int,...  (default: 32,64)" in text
    assert "--decoder_units  int,int,...  (default: empty)" in text
    assert "--adam_epsilon  float  (default: 1e-07)" in text
    assert "--deterministic  bool  (default: true)" in text
    assert "--pixel_reduction  {sum, mean}  (default: sum)" in text
    assert "--clip_norm  float  (default: not set)" in text


def test_help_fits_a_terminal_of_100_columns():
    wide = [line for line in flags.help_text("", Config).splitlines() if len(line) > 100]
    assert wide == []


def test_flags_are_read_into_their_groups():
    config = parse(
        "--dataset=mnist",
        "--latent_dim",
        "3",
        "--encoder_filters=8, 16",
        "--decoder_units=",
        "--kl_weight=2e-1",
        "--nodeterministic",
        "--overwrite",
        "--data_dir=",
    )
    assert config == Config.from_flat(
        {
            "dataset": "mnist",
            "latent_dim": 3,
            "encoder_filters": (8, 16),
            "decoder_units": (),
            "kl_weight": 0.2,
            "deterministic": False,
            "overwrite": True,
            "data_dir": "",
        }
    )


def test_the_last_of_a_repeated_flag_counts():
    assert parse("--latent_dim=3", "--latent_dim=4").model.latent_dim == 4


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("latent_dim", "abc"),
        ("latent_dim", "2.5"),
        ("latent_dim", ""),
        ("latent_dim", "0"),
        ("learning_rate", "fast"),
        ("learning_rate", "0"),
        ("kl_weight", "nan"),
        ("clip_norm", "inf"),
        ("adam_beta1", "1"),
        ("kl_ramp_fraction", "1.5"),
        ("seed", "2147483648"),
        ("encoder_filters", "8,x"),
        ("encoder_filters", "8;16"),
        ("encoder_filters", "8,0"),
        ("network", "transformer"),
        ("overwrite", "maybe"),
    ],
)
def test_bad_value_is_refused_with_flag_and_value(flag, value):
    with pytest.raises(ConfigError) as caught:
        parse(f"--{flag}={value}")
    assert f"--{flag}" in str(caught.value)
    shown = str(caught.value).replace("(8, 0)", "8,0")
    assert value in shown


@pytest.mark.parametrize("argument", ["--latent_dims=3", "--no_such", "-x"])
def test_unknown_flag_is_refused_by_name(argument):
    with pytest.raises(ConfigError, match=re.escape(argument.lstrip("-").split("=")[0])):
        parse(argument)


def test_flag_without_its_value_is_refused():
    with pytest.raises(ConfigError, match="latent_dim"):
        parse("--latent_dim")


@pytest.mark.parametrize(
    "argv", [["latent_dim=3"], ["--seed=1", "more", "words"], ["--", "--seed=1"], ["--seed=1", "-"]]
)
def test_words_that_are_no_flags_are_refused(argv):
    with pytest.raises(ConfigError, match="not a flag: ") as caught:
        parse(*argv)
    assert repr(argv[-1]) in str(caught.value)
    assert "--name=value" in str(caught.value)


# Settings that exclude each other take turns.
@pytest.mark.parametrize(
    "unset",
    [
        # Black and white pixels are for the default likelihood alone.
        {"epochs", "model", "capacity", "likelihood", "accumulate_steps"},
        {"train_steps", "model", "free_bits", "binarize", "accumulate_steps"},
        {"train_steps", "model", "free_bits", "capacity", "binarize"},
        {
            *("train_steps", "conditional", "capacity", "free_bits", "binarize"),
            *("posterior", "prior", "accumulate_steps"),
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
        (b"\xef\xbb\xbf--seed=1\n", r"\ufeff--seed=1"),
        (b"\xef\xbb\xbf# comment\n--seed=1\n", r"\ufeff# comment"),
        (b"--seed=1\n  # indented\n", "# indented"),
        (b"latent_dim=3\n", "latent_dim=3"),
        (b"--seed=1\nseed\n", "seed"),
        (b"--no_such=1\n", "no_such"),
        (b"--latent_dim=x\n", "latent_dim"),
        ("--seed=1\n".encode("utf-16"), "flags.cfg"),
        (b"# caf\xe9\n--seed=1\n", "flags.cfg"),
    ],
    ids=[
        "byte-order mark",
        "byte-order mark before a comment",
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


def test_one_group_of_settings_is_options_enough():
    group = Config.groups()["model"]
    assert parse(["--latent_dim=3"], group) == group(latent_dim=3)


def test_read_run_gives_the_settings_of_the_folder(tmp_path):
    config = Config.from_flat({"latent_dim": 3, "model_dir": "elsewhere"})
    (tmp_path / "flags.cfg").write_text(format_flagfile(config))
    assert read_run(str(tmp_path)) == config.replace(model_dir=str(tmp_path))


def test_read_run_says_what_is_wrong_with_the_folder(tmp_path):
    with pytest.raises(RunError, match=r"is not a run folder: it has no flags\.cfg") as caught:
        read_run(str(tmp_path / "nowhere"))
    assert str(tmp_path / "nowhere") in str(caught.value)
    (tmp_path / "flags.cfg").write_text("--flag_of_the_future=1\n")
    with pytest.raises(RunError, match=r"another version.*flag_of_the_future"):
        read_run(str(tmp_path))
