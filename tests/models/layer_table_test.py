from __future__ import annotations

import re

from vae_lowlevel import assembly
from vae_lowlevel.config import ModelConfig
from vae_lowlevel.models.layer_table import count_parameters, layer_table


def read_rows(table):
    lines = [line for line in table.splitlines() if set(line) != {"-"}]
    rows = [re.match(r"(\S+) +(\[.*\]|output shape|) +(\S+)$", line).groups() for line in lines]
    assert rows[0] == ("layer", "output shape", "parameters")
    return rows[1:]


def test_conv_table_has_every_layer_with_shape_and_count():
    config = ModelConfig(
        latent_dim=3,
        encoder_filters=(4, 5),
        encoder_strides=(2, 2),
        encoder_units=(6,),
        decoder_units=(7,),
        decoder_filters=(8, 9, 2),
        decoder_strides=(2, 2),
    )
    model = assembly.build_model(config, (10, 12, 3), 0)
    counts = {
        "encoder/conv_0": ("[B, 5, 6, 4]", 3 * 3 * 3 * 4 + 4),
        "encoder/conv_1": ("[B, 3, 3, 5]", 3 * 3 * 4 * 5 + 5),
        "encoder/flatten": ("[B, 45]", 0),
        "encoder/dense_0": ("[B, 6]", 45 * 6 + 6),
        "encoder/head": ("[B, 6]", 6 * 6 + 6),
        "decoder/dense_0": ("[B, 7]", 3 * 7 + 7),
        "decoder/dense_1": ("[B, 72]", 7 * 72 + 72),
        "decoder/reshape": ("[B, 3, 3, 8]", 0),
        "decoder/conv_transpose_0": ("[B, 6, 6, 9]", 3 * 3 * 8 * 9 + 9),
        "decoder/conv_transpose_1": ("[B, 12, 12, 2]", 3 * 3 * 9 * 2 + 2),
        "decoder/head": ("[B, 12, 12, 3]", 3 * 3 * 2 * 3 + 3),
        "decoder/crop": ("[B, 10, 12, 3]", 0),
    }
    total = sum(count for _, count in counts.values())
    assert read_rows(layer_table(model)) == [
        *[(name, shape, f"{count:,}") for name, (shape, count) in counts.items()],
        ("total", "", f"{total:,}"),
    ]
    assert count_parameters(model) == total == 2097


def test_mlp_table_counts_thousands_with_commas():
    config = ModelConfig(network="mlp", latent_dim=2, encoder_units=(50,), decoder_units=(3,))
    model = assembly.build_model(config, (5, 5, 1), 0)
    assert read_rows(layer_table(model)) == [
        ("encoder/flatten", "[B, 25]", "0"),
        ("encoder/dense_0", "[B, 50]", "1,300"),
        ("encoder/head", "[B, 4]", "204"),
        ("decoder/dense_0", "[B, 3]", "9"),
        ("decoder/head", "[B, 25]", "100"),
        ("decoder/reshape", "[B, 5, 5, 1]", "0"),
        ("total", "", "1,613"),
    ]


def test_distributions_with_variables_come_after_the_layers():
    config = ModelConfig(
        network="mlp",
        latent_dim=2,
        encoder_units=(),
        posterior="iaf",
        iaf_steps=2,
        iaf_units=(3,),
        iaf_context=4,
        prior="mixture",
        prior_components=5,
        likelihood="gaussian",
        likelihood_scale_kind="learned",
    )
    rows = read_rows(layer_table(assembly.build_model(config, (5, 5, 1), 0)))
    # By hand: context 4 -> 3, masked 2 -> 3, shift and gate 3 -> 2 each; weights, means, variances.
    iaf = 2 * ((4 * 3 + 3) + (2 * 3 + 3) + 2 * (3 * 2 + 2))
    assert rows[-4:-1] == [
        ("iaf_posterior", "", str(iaf)),
        ("mixture_prior", "", str(5 + 10 + 10)),
        ("gaussian_likelihood", "", "1"),
    ]
    counts = [int(count.replace(",", "")) for _, _, count in rows]
    assert sum(counts[:-1]) == counts[-1]


def test_table_lines_are_as_wide_as_each_other():
    model = assembly.build_model(ModelConfig(network="mlp", latent_dim=2), (5, 5, 1), 0)
    assert len({len(line) for line in layer_table(model).splitlines()}) == 1
