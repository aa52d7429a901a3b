from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.config import ModelConfig
from vae_lowlevel.errors import ConfigError, RunError
from vae_lowlevel.experiment.loading import find_weights, load_model
from vae_lowlevel.training.named_variables import (
    choose_trained,
    describe_frozen,
    named_variables,
    restore_matching,
)

# Those of `tiny_run`.
SETTINGS = {
    "latent_dim": 3,
    "encoder_filters": (4, 8),
    "encoder_units": (8,),
    "decoder_filters": (8, 4, 4),
}


def build(**changes):
    return assembly.build_model(ModelConfig(**{**SETTINGS, **changes}), (12, 12, 1), seed=9)


def values(model):
    return {name: variable.numpy() for name, variable in named_variables(model).items()}


def test_names_are_part_layer_and_role():
    names = list(named_variables(build(encoder_filters=(4,), encoder_strides=(2,))))
    assert names == [
        *("encoder/conv_0/bias", "encoder/conv_0/kernel"),
        *("encoder/dense_0/bias", "encoder/dense_0/kernel"),
        *("encoder/head/bias", "encoder/head/kernel"),
        *("decoder/dense_0/bias", "decoder/dense_0/kernel"),
        *("decoder/conv_transpose_0/bias", "decoder/conv_transpose_0/kernel"),
        *("decoder/conv_transpose_1/bias", "decoder/conv_transpose_1/kernel"),
        *("decoder/head/bias", "decoder/head/kernel"),
    ]


@pytest.mark.parametrize("source", ["run", "export"])
def test_all_of_the_same_model_is_taken_over(tiny_run, tiny_export, source):
    model = build()
    path = tiny_run if source == "run" else tiny_export
    restored = restore_matching(find_weights(path), model)
    assert restored.differences == []
    expected = values(load_model(tiny_run))
    assert set(restored.names) == set(expected)
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


@pytest.mark.parametrize("source", ["run", "export"])
def test_what_does_not_fit_is_listed_and_left_as_it_was(tiny_run, tiny_export, source):
    # One more convolution, other posteriors; the layers after it stand at other places.
    model = build(latent_dim=2, encoder_filters=(4, 8, 8), encoder_strides=(2, 2, 1))
    before, expected = values(model), values(load_model(tiny_run))
    restored = restore_matching(find_weights(tiny_run if source == "run" else tiny_export), model)
    assert sorted(restored.differences) == [
        "decoder/dense_0/kernel: of shape [3, 72] in the checkpoint, [2, 72] here",
        "encoder/conv_2/bias: not in the checkpoint",
        "encoder/conv_2/kernel: not in the checkpoint",
        "encoder/head/bias: of shape [6] in the checkpoint, [4] here",
        "encoder/head/kernel: of shape [8, 6] in the checkpoint, [8, 4] here",
    ]
    for name, value in values(model).items():
        wanted = expected if name in restored.names else before
        np.testing.assert_array_equal(value, wanted[name], err_msg=name)
    assert "encoder/dense_0/kernel" in restored.names


def test_variables_that_are_only_there_are_listed(tiny_run):
    model = build(encoder_filters=(4,), encoder_strides=(2,))
    assert (
        "encoder/conv_1/kernel: only in the checkpoint"
        in restore_matching(find_weights(tiny_run), model).differences
    )


def test_a_model_that_shares_nothing_is_refused(tiny_run):
    model = build(network="mlp", encoder_units=(), decoder_units=(), latent_dim=5)
    with pytest.raises(ConfigError, match=r"--init_from: no variable of .* fits"):
        restore_matching(find_weights(tiny_run), model)


def test_bad_sources_are_named(tmp_path):
    with pytest.raises(RunError, match=r"expected a run folder .* or an export"):
        find_weights(str(tmp_path))
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(RunError, match="not a readable checkpoint"):
        restore_matching(find_weights(str(tmp_path)), build())


@pytest.mark.parametrize(
    ("freeze", "frozen"),
    [
        (None, ()),
        ("decoder", ("decoder/",)),
        ("encoder/conv_*/kernel", ("encoder/conv_0/kernel", "encoder/conv_1/kernel")),
        ("encoder/conv_1,decoder/head", ("encoder/conv_1/", "decoder/head/")),
    ],
)
def test_patterns_choose_what_is_frozen(freeze, frozen):
    model = build()
    names = {id(variable): name for name, variable in named_variables(model).items()}
    trained = choose_trained(model, freeze)
    expected = {name for name in names.values() if not name.startswith(frozen or ("nothing",))}
    assert {names[id(variable)] for variable in trained} == expected
    shown = describe_frozen(model, trained)
    assert set(shown.split(", ")) - {""} == set(names.values()) - expected


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        ("encoders", "'encoders' names none of\n  encoder/conv_0/bias"),
        ("encoder,,decoder", "'' names none of"),
        ("encoder,decoder", "leaves nothing to train"),
        ("*", "leaves nothing to train"),
    ],
)
def test_patterns_that_name_nothing_or_everything_are_refused(freeze, message):
    with pytest.raises(ConfigError, match=r"--freeze=") as refused:
        choose_trained(build(), freeze)
    assert message in str(refused.value)


def test_part_that_holds_another_gives_its_variables_no_second_name():
    inner = tf.Module()
    inner.w = tf.Variable(1.0, name="w")
    outer, holder = tf.Module(), tf.Module()
    holder.inner = inner
    outer.encoder, outer.prior = inner, holder
    assert list(named_variables(outer)) == ["encoder/w"]
