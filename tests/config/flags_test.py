from __future__ import annotations

import dataclasses
import re

import pytest

from vae_lowlevel.config import Config, flags
from vae_lowlevel.config.fields import Options, option, value_types
from vae_lowlevel.errors import ConfigError

GROUPS = Config.groups().values()
FIELDS = [field for group in GROUPS for field in dataclasses.fields(group)]
TYPES = {name: types for group in GROUPS for name, types in value_types(group).items()}


def parse(*argv):
    return flags.parse(list(argv), Config)


def test_no_flags_give_the_default_config():
    assert parse() == Config()


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
        "--data_dir=a=b",
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
            "data_dir": "a=b",
        }
    )


def test_the_last_of_a_repeated_flag_counts():
    assert parse("--latent_dim=3", "--latent_dim=4").model.latent_dim == 4


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("latent_dim", "abc"),
        ("latent_dim", "2.5"),
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
        ("nooverwrite", "true"),
        ("batch_size", "1e3"),
        ("batch_size", " "),
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


@pytest.mark.parametrize(
    ("flag", "meant"),
    [
        ("lr", "learning_rate"),
        ("beta", "kl_weight"),
        ("batch", "batch_size"),
        ("latent_dims", "latent_dim"),
        ("learning-rate", "learning_rate"),
        ("Epochs", "epochs"),
        ("noconditionnal", "conditional"),
        ("zzz", None),
    ],
)
def test_an_unknown_flag_gets_a_hint(flag, meant):
    with pytest.raises(ConfigError) as caught:
        parse(f"--{flag}=3")
    hint = f"; did you mean --{meant}?" if meant else ""
    assert str(caught.value) == f"there is no flag --{flag}{hint}"


def test_every_word_of_other_packages_leads_to_a_flag():
    assert set(flags._OTHER_WORDS.values()) <= set(TYPES)
    assert not set(flags._OTHER_WORDS) & set(TYPES)


def test_an_empty_run_folder_is_refused():
    with pytest.raises(ConfigError, match=r"--model_dir must not be empty.*leave the flag out"):
        parse("--model_dir=")


INTEGERS = [name for name, (kind, _) in TYPES.items() if kind in (int, tuple)]


@pytest.mark.parametrize("value", [10**20, 2**31, -(10**20)])
def test_a_huge_number_is_refused_in_every_whole_number(value):
    for name in INTEGERS:
        if name == "resident_bytes" and value == 2**31:
            continue
        with pytest.raises(ConfigError, match=rf"^--{name} must be [^\n]*, got [^\n]*{value}"):
            parse(f"--{name}={value}")


def test_a_list_of_too_many_numbers_is_refused():
    with pytest.raises(ConfigError, match="--encoder_units must have at most 1000 entries"):
        parse("--encoder_units=" + ",".join(["1"] * 1001))


def test_a_bad_value_is_quoted_in_part_only():
    for flag in ("latent_dim", "learning_rate", "network", "no_such", "overwrite"):
        with pytest.raises(ConfigError, match=flag) as caught:
            parse(f"--{flag}=" + "9x" * 50_000)
        assert len(str(caught.value)) < 500


TEXTS = [name for name, (kind, _) in TYPES.items() if kind is str]


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "a\u2028b", "a\udce9", " a", "a\t"])
def test_line_ends_and_control_characters_are_refused_in_every_text(text):
    for name in TEXTS:
        with pytest.raises(ConfigError, match=rf"^--{name} must [^\n]*got [^\n]*$"):
            parse(f"--{name}={text}")


@pytest.mark.parametrize(
    "steps", ["0-3", "3-2", "1-2147483648", "1-" + "9" * 4000, "1", "-", "1-2-3"]
)
def test_steps_to_profile_are_two_numbers(steps):
    with pytest.raises(ConfigError, match="--profile_steps must be <first>-<last>"):
        parse(f"--profile_steps={steps}")
    assert parse("--profile_steps=2-2").training.profiled() == (2, 2)


def test_drawn_images_that_do_not_fit_into_memory_are_refused():
    with pytest.raises(ConfigError, match="--shapes_examples=20000 of --image_size=4096 are"):
        parse("--image_size=4096")
    assert parse("--dataset=folder:x", "--image_size=4096").data.image_size == 4096


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


@pytest.mark.parametrize(
    "name",
    [field.name for field in FIELDS if TYPES[field.name][1] and field.metadata["can_unset"]],
)
def test_a_flag_that_is_not_set_by_default_can_be_unset(name):
    values = {
        "variant": "small",
        "resnet_filters": "8,9",
        "resnet_blocks": "2",
        "validation_size": "7",
        "tf_data_service": "grpc://host:5050",
        "profile_steps": "3-5",
        "num_gpus": "2",
        "tpu": "local",
        "num_workers": "2",
        "kubernetes_service": "workers",
    }
    numbers = {int: "9", float: "0.5", str: "some text"}
    value = values.get(name) or numbers[TYPES[name][0]]
    # A wrong combination would be refused, were the value still there.
    assert parse(f"--{name}={value}", f"--{name}=") == Config()
    assert parse(f"--{name}=") == Config()


@pytest.mark.parametrize(
    ("flag", "expected", "default"),
    [
        ("batch_size", "a whole number", "128"),
        ("kl_weight", "a number", "1.0"),
        ("deterministic", "true or false", "true"),
    ],
)
def test_an_empty_value_that_unsets_nothing_is_refused_with_type_and_remedy(
    flag, expected, default
):
    with pytest.raises(ConfigError) as caught:
        parse(f"--{flag}=")
    assert re.fullmatch(
        rf"--{flag} must be {expected}, got an empty value: .*leave the flag out.*{default}",
        str(caught.value),
    )


def test_an_empty_text_or_list_is_a_value_of_a_flag_that_cannot_be_unset():
    config = parse("--export_dir=", "--encoder_units=")
    assert (config.run.export_dir, config.model.encoder_units) == ("", ())
    with pytest.raises(ConfigError, match=r"--network must be one of .* got ''"):
        parse("--network=")


def test_bad_values_get_one_line_of_our_own():
    for argument, message in {
        "--batch_size=x": "--batch_size must be a whole number, got 'x'",
        "--kl_weight=x": "--kl_weight must be a number, got 'x'",
        "--overwrite=x": "--overwrite must be true or false, got 'x'",
        "--encoder_units=x": "--encoder_units must be whole numbers separated by commas, got 'x'",
    }.items():
        with pytest.raises(ConfigError) as caught:
            parse(argument)
        assert str(caught.value) == message


@pytest.mark.parametrize("text", ["true", "True", "t", "1"])
def test_switches_know_the_words_of_absl(text):
    assert parse(f"--overwrite={text}", "--deterministic").run.overwrite
    assert not parse("--overwrite", "--overwrite=false").run.overwrite


def test_options_of_one_group_are_read_too():
    @dataclasses.dataclass(frozen=True)
    class Settings(Options):
        count: int = option(1, "A count.")
        folder: str | None = option(None, "A folder.")

    assert flags.parse(["--count=3", "--folder=a"], Settings) == Settings(count=3, folder="a")
    assert flags.parse(["--folder="], Settings) == Settings()
