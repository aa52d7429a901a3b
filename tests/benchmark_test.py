"""tools/benchmark.py: its networks against those of the package, and quick runs."""

import argparse
import json
import math
import pathlib
import re
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import assembly, schedules
from vae_lowlevel.config import Config
from vae_lowlevel.config.flags import parse
from vae_lowlevel.data.records.shards import write_class_names, write_records
from vae_lowlevel.data.shapes import CLASS_NAMES, draw_shapes
from vae_lowlevel.randomness import BatchNoise, make_seed
from vae_lowlevel.types import Batch

TOOLS = pathlib.Path(__file__).parents[1] / "tools"


@pytest.fixture(scope="module")
def benchmark():
    """tools/benchmark.py as a module, next to which the package `benchmarks` is found."""
    sys.path.insert(0, str(TOOLS))
    try:
        import benchmark

        yield benchmark
    finally:
        sys.path.remove(str(TOOLS))


@pytest.fixture(scope="module")
def benchmarks(benchmark):
    """The package tools/benchmarks."""
    from benchmarks import cases, counts, processes, quality, report, serving, training

    return types.SimpleNamespace(
        cases=cases,
        counts=counts,
        processes=processes,
        quality=quality,
        report=report,
        serving=serving,
        training=training,
    )


NETWORKS = {
    "conv": ((28, 28, 1), {}),
    "mlp": ((28, 28, 1), {}),
    "resnet": ((28, 28, 1), {}),
    "conv with other strides": (
        (12, 24, 3),
        {
            "encoder_filters": (4, 6),
            "encoder_strides": (3, 2),
            "encoder_units": (),
            "decoder_units": (5,),
            "decoder_filters": (3, 4, 7),
            "decoder_strides": (2, 3),
            "kernel_size": 5,
        },
    ),
    "resnet of three levels": ((20, 24, 3), {"variant": "medium", "resnet_blocks": (1, 0, 2)}),
    "vamp": ((28, 28, 1), {}),
    "vamp of a conv": ((12, 8, 3), {"network": "conv", "prior_components": 5}),
    "flow": ((28, 28, 1), {}),
    "flow of other sizes": (
        (28, 28, 1),
        {"latent_dim": 5, "prior_flow_steps": 3, "prior_flow_units": (7,)},
    ),
    "flow without units": ((28, 28, 1), {"prior_flow_units": ()}),
    "iaf": ((28, 28, 1), {}),
    "iaf of other sizes": (
        (28, 28, 1),
        {"latent_dim": 5, "iaf_steps": 3, "iaf_units": (7, 9), "iaf_context": 4},
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("name", NETWORKS)
def test_described_networks_are_the_packages(benchmarks, name):
    image_shape, settings = NETWORKS[name]
    config = Config.from_flat({**benchmarks.cases.CASES[name.split()[0]], **settings})
    model = assembly.build_model(config.model, image_shape, 0)
    network = benchmarks.cases.describe_network(config, image_shape)
    sizes = [variable.shape.num_elements() for variable in model.trainable_variables]
    assert sum(map(benchmarks.counts.count_parameters, network.values())) == sum(sizes)

    @tf.function(input_signature=[tf.TensorSpec([1, *image_shape])])
    def forward(image):
        return model.reconstruct(image)

    flops = sum(map(multiplications, forward.get_concrete_function().graph.get_operations()))
    layers = [*network["encoder"], *network["posterior"], *network["decoder"]]
    assert benchmarks.counts.count_forward_flops(layers) == 2 * flops


def multiplications(operation):
    """Of a whole product of matrices, or of a convolution of one image, from the graph's shapes."""
    shapes = [tensor.shape.as_list() for tensor in (*operation.inputs, *operation.outputs)]
    if operation.type == "MatMul":
        # [a, b] x [b, c], transposed or not: the product of all sizes is (a b c)^2.
        return math.isqrt(math.prod(map(math.prod, shapes)))
    if operation.type == "Einsum":
        # [a, b] x [b, c], or [a, b] x [a, c] -> [b, c, a], summed afterwards. The sizes differ.
        return math.prod(set().union(*shapes))
    if operation.type == "Conv2D":
        _, kernel, (_, height, width, _) = shapes
        return height * width * tf.TensorShape(kernel).num_elements()
    if operation.type == "Conv2DBackpropInput":
        _, kernel, (_, height, width, _), _ = shapes
        return height * width * tf.TensorShape(kernel).num_elements()
    return 0


def test_training_takes_three_forward_passes_but_for_the_gradient_of_the_image(benchmarks):
    dense = {"kind": "linear", "activation": None, "is_float32": True}
    network = {
        "encoder": [{"kind": "flatten"}, {**dense, "in": 10, "out": 4}],
        "decoder": [{**dense, "in": 2, "out": 10}],
    }
    # Forward 2 (40 + 20), weights as much, inputs of the second layer alone 2 x 20.
    assert benchmarks.counts.count_training_flops(network) == 120 + 120 + 40


def test_pseudo_inputs_are_shared_by_the_batch_and_trained_through_the_encoder(benchmarks):
    dense = {"kind": "linear", "activation": None, "is_float32": True}
    network = {
        "encoder": [{"kind": "flatten"}, {**dense, "in": 10, "out": 4}],
        "decoder": [{**dense, "in": 2, "out": 10}],
        "prior": [{"kind": "pseudo_inputs", "count": 6, "shape": (5, 2, 1)}],
    }
    # As above, then per image 6 / 3 rows of the encoder and the product [1, 4] x [4, 6].
    expected = 280 + 3 * 2 * (2 * 40 + 4 * 6)
    assert benchmarks.counts.count_training_flops(network, batch_size=3) == expected


@pytest.mark.long
@pytest.mark.parametrize("name", ["mlp", "vamp", "flow", "iaf"])
def test_training_takes_the_products_of_the_packages_gradient(benchmarks, name):
    config = Config.from_flat(benchmarks.cases.CASES[name])
    image_shape, batch_size = (28, 28, 1), 4
    model = assembly.build_model(config.model, image_shape, 0)
    objective = assembly.build_objective(config, image_shape, 10)

    @tf.function(input_signature=[tf.TensorSpec([batch_size, *image_shape])])
    def differentiate(image):
        noise = BatchNoise(make_seed(0), 0, batch_size, batch_size)
        with tf.GradientTape() as tape:
            batch = Batch(image, image, None)
            terms = objective(model, batch, noise, 0, lambda values: tf.reduce_mean(values, 0))
        return tape.gradient(terms.loss, model.trainable_variables)

    graph = differentiate.get_concrete_function().graph
    flops = 2 * sum(map(multiplications, graph.get_operations()))
    network = benchmarks.cases.describe_network(config, image_shape)
    assert benchmarks.counts.count_training_flops(network, batch_size) == flops / batch_size


def make_group(**contenders):
    turns = {
        name.replace("_", " "): {"turns": [{"images_per_second": rate} for rate in rates]}
        for name, rates in contenders.items()
    }
    return {"contenders": turns}


def test_ratios_are_of_one_round_each(benchmarks):
    # The machine slows down to a tenth in the last round; the ratio does not.
    group = make_group(ours_float32=[200.0, 300.0, 30.0], keras_float32=[100.0, 100.0, 10.0])
    assert benchmarks.report.ratio(group, "ours float32", "keras float32") == 3.0
    assert benchmarks.report.ratio(group, "ours float32", "torch float32") is None


@pytest.mark.slow
def test_a_quick_run_writes_numbers_and_a_table(benchmark, tmp_path, capsys):
    flags = ["--quick", "--no-program", "--dataset=shapes", "--precisions=float32", "--variants="]
    flags += ["--peers=keras,torch", "--torch_python=/bin/false", f"--output={tmp_path}/speed"]
    assert benchmark.main(["training", *flags]) == 0
    printed = capsys.readouterr().out
    assert re.search("torch is left out.*/bin/false.*--torch_python", printed)
    measured = json.loads((tmp_path / "speed.json").read_text())
    (group,) = measured["groups"]
    assert set(group["contenders"]) == {"ours float32", "keras float32", "matmul float32"}
    for found in group["contenders"].values():
        (turn,) = found["turns"]
        assert turn["images_per_second"] > 0
    keras = group["contenders"]["keras float32"]
    assert keras["setting"]
    table = (tmp_path / "speed.md").read_text()
    (row,) = (line for line in table.splitlines() if line.startswith("| mlp | float32 | 8 |"))
    expected = (
        group["contenders"]["ours float32"]["turns"][0]["images_per_second"]
        / keras["turns"][0]["images_per_second"]
    )
    assert f"| {expected:.2f} |" in row
    assert table in printed


@pytest.fixture
def started(benchmarks, monkeypatch):
    """The scripts and cases of the contenders, none of which starts."""
    started = []

    class StubContender:
        """Trains nothing, twice as fast as the contender that was started before it."""

        def __init__(self, script, python, case, is_first):
            started.append((script, case))
            self.ready = {"setting": "", "parameters": 0, "trials": {}}
            self.speed = 2.0 ** len(started)

        def train(self, seconds):
            return {"images_per_second": self.speed, "seconds": seconds, "loss": 0.0}

        def close(self):
            pass

    monkeypatch.setattr(benchmarks.processes, "ContenderProcess", StubContender)
    return started


def test_variants_differ_from_ours_in_one_setting(benchmark, started, tmp_path):
    flags = ["--quick", "--no-program", "--dataset=shapes", "--precisions=float32", "--peers="]
    flags += ["--variants=jit_compile=false,accumulate_steps=4", f"--output={tmp_path}/speed"]
    assert benchmark.main(["training", *flags]) == 0
    (_, ours), (_, first), (_, second), (last, _) = started
    assert last == "matmul.py"
    assert first["settings"] == {**ours["settings"], "jit_compile": "false"}
    assert second["settings"] == {**ours["settings"], "accumulate_steps": 4}
    (group,) = json.loads((tmp_path / "speed.json").read_text())["groups"]
    assert [*group["contenders"]] == [
        f"{name} float32"
        for name in ("ours", "ours --jit_compile=false", "ours --accumulate_steps=4", "matmul")
    ]
    (cells,) = read_table(tmp_path / "speed.md")
    assert cells["ours"].startswith("2 ")
    assert cells["`--jit_compile=false`"].startswith("4 ")
    assert cells["`--accumulate_steps=4`"].startswith("8 ")


def read_table(path):
    """Returns the rows of the table, as cells by the names of their columns."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("|")]
    head, _, *rows = ([cell.strip() for cell in line.split("|")] for line in lines)
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_peers_without_a_case_are_named_and_their_cells_empty(
    benchmark, benchmarks, started, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(benchmarks.processes, "has_module", lambda python, module: True)
    flags = ["--no-program", "--dataset=shapes", "--precisions=float32", "--variants="]
    flags += ["--cases=mlp,vamp", "--batch_sizes=4,8", f"--output={tmp_path}/speed"]
    benchmark.main(["training", *flags])
    assert len(re.findall("vamp.*without keras, jax;", capsys.readouterr().out)) == 1
    common = ["ours.py", "keras_fit.py", "pytorch.py", "jax_scan.py", "matmul.py"]
    rest = ["ours.py", "pytorch.py", "matmul.py"]
    assert [script for script, _ in started] == [*common * 2, *rest * 2]
    settings = started[-2][1]["settings"]
    assert (settings["prior"], settings["prior_components"]) == ("vamp", 500)
    mlp, _, vamp, _ = read_table(tmp_path / "speed.md")
    filled = {name for name in mlp if name and not vamp[name]}
    assert filled == {"Keras", "JAX", "ours / Keras", "ours / JAX"}
    assert all(mlp[name] for name in filled)


def test_measured_by_default_is_what_every_framework_has(benchmarks):
    parser = argparse.ArgumentParser()
    benchmarks.training.add_arguments(parser)
    assert parser.parse_args([]).cases == "conv,mlp,resnet"


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--cases=conv,vit", "--cases.*conv, mlp, resnet, vamp, flow, iaf.*vit"),
        ("--peers=keras,mxnet", "--peers.*keras, torch, jax.*mxnet"),
        ("--variants=warp=9", "--variants=warp=9.*warp"),
        ("--variants=accumulate_steps=0", "--accumulate_steps.*0"),
    ],
)
def test_bad_values_are_named_before_anything_starts(benchmark, flag, expected):
    with pytest.raises(SystemExit, match=expected):
        benchmark.main(["training", flag])


TINY_RECIPE = """--dataset=shapes
--shapes_examples=128
--validation_size=0
--network=mlp
--encoder_units=8
--decoder_units=8
--latent_dim=2
--batch_size=8
--epochs=2
--learning_rate=0.01
--learning_rate_schedule=cosine
--kl_schedule=linear
--kl_warmup_epochs=1
--ema_decay=0.9
"""


def measure_tiny_recipe(benchmark, benchmarks, tmp_path, monkeypatch, peers, further=""):
    (tmp_path / "tiny.cfg").write_text(TINY_RECIPE)
    recipe = benchmarks.quality.Recipe(str(tmp_path / "tiny.cfg"), 1e4)
    monkeypatch.setitem(benchmarks.quality.RECIPES, "tiny", recipe)
    flags = ["--recipes=tiny", "--seeds=3", f"--peers={peers}", f"--output={tmp_path}/out"]
    benchmark.main(["quality", f"--flags={further}", *flags])
    return json.loads((tmp_path / "out.json").read_text())["recipes"]["tiny"]["programs"]


@pytest.mark.slow
def test_quality_times_the_program_to_its_loss_on_the_test_set(
    benchmark, benchmarks, tmp_path, monkeypatch, capsys
):
    programs = measure_tiny_recipe(benchmark, benchmarks, tmp_path, monkeypatch, "")
    (ours,) = programs["ours"]
    assert 1 < ours["seconds"] < 600
    assert 100 < ours["loss"] < 600
    assert "| 1 of 1 |" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(("peer", "module"), [("keras", "keras"), ("torch", "torch")])
def test_the_recipe_of_a_peer_ends_at_our_loss(
    benchmark, benchmarks, tmp_path, monkeypatch, peer, module
):
    pytest.importorskip(module)
    # Long enough for the average of the weights to forget the first ones.
    longer = "--shapes_examples=512 --epochs=8 --encoder_units=64 --decoder_units=64"
    programs = measure_tiny_recipe(benchmark, benchmarks, tmp_path, monkeypatch, peer, longer)
    assert programs[peer][0]["loss"] == pytest.approx(programs["ours"][0]["loss"], rel=0.1)


@pytest.fixture
def recipe_module(benchmark, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS / "benchmarks" / "contenders"))
    import recipe

    return recipe


def test_recipes_of_peers_have_the_packages_schedules(recipe_module, tmp_path):
    (tmp_path / "tiny.cfg").write_text(TINY_RECIPE)
    config = parse(
        [f"--flagfile={tmp_path / 'tiny.cfg'}", "--kl_weight=0.5", "--adam_beta2=0.95"], Config
    )
    recipe = recipe_module.Recipe({"settings": config.to_flat(), "network": {}, "seed": 0}, 80)
    assert recipe.steps == 20
    assert (recipe.betas, recipe.epsilon) == ((0.9, 0.95), 1e-7)
    rate = schedules.cosine(0.01, 20, config.optimizer.learning_rate_final_fraction)
    weight = schedules.linear(0.5, 10)
    for step in (0, 1, 7, 15, 20):
        assert recipe.rate(step) == pytest.approx(float(rate(tf.constant(step))), rel=1e-5)
        assert recipe.kl_weight(step) == pytest.approx(float(weight(tf.constant(step))), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kl_schedule", "cyclical"),
        ("learning_rate_warmup_steps", 10),
        ("clip_norm", 1.0),
        ("model", "sparse_autoencoder"),
        ("posterior", "full"),
        ("prior", "vamp"),
        ("objective", "iwae"),
    ],
)
def test_a_recipe_that_peers_cannot_follow_is_refused(recipe_module, name, value):
    draws = {"num_samples": 2} if value == "iwae" else {}
    settings = Config.from_flat({"epochs": 20, **draws, name: value}).to_flat()
    with pytest.raises(ValueError, match=rf"--{name}: of .*, got {value}"):
        recipe_module.Recipe({"settings": settings, "network": {}, "seed": 0}, 80)


def test_quality_counts_what_reached_the_target_and_compares_turn_by_turn(benchmarks):
    programs = {
        "ours": [{"seconds": s, "loss": v} for s, v in [(10, 1.0), (20, 2.0), (30, 0.5)]],
        "keras": [{"seconds": s, "loss": v} for s, v in [(20, 1.0), (80, 3.0), (60, 2.0)]],
    }
    found = {"flagfile": "flags/x.cfg", "target": 1.0, "programs": programs}
    machine = {"processor": "a CPU", "cores": 2}
    table = benchmarks.quality.table({"machine": machine, "recipes": {"x": found}})
    ours, keras = table.splitlines()[-2:]
    assert "20 (10 to 30) | 1.00 | 1 (0.5 to 2) | 2 of 3 |" in ours
    assert "| Keras | 60 (20 to 80) | 2.00 | 2 (1 to 3) | 1 of 3 |" in keras


def test_scaling_on_paper_is_a_table_of_bytes_times_and_batches(benchmark, capsys):
    benchmark.main(["scaling", "--paper", "--teraflops=50"])
    table = capsys.readouterr().out
    conv = next(line for line in table.splitlines() if line.startswith("| conv"))
    cells = [cell.strip() for cell in conv.strip("|").split("|")]
    assert cells[1:3] == ["550,629", "2.2 MB"]
    # Twice 550,629 numbers of 32 bits at 1e10 bits/s: 3.524 ms; nine times that at 5e13 FLOP/s
    # are 1.586e12 operations, with 0.13487e9 per image.
    assert cells[4] == "3.52 ms, 11758"


@pytest.mark.slow
def test_scaling_measures_two_workers_against_one(benchmark, tmp_path, capsys):
    flags = ["--batch_size=16", "--steps=4", "--repetitions=1", "--precisions=float32"]
    benchmark.main(["scaling", *flags, f"--output={tmp_path}/out"])
    assert "| float32 |" in capsys.readouterr().out
    measured = json.loads((tmp_path / "out.json").read_text())["float32"]
    assert {name: len(rates) for name, rates in measured.items()} == {
        "one": 1,
        "apart": 1,
        "together": 1,
    }
    assert min(rate for rates in measured.values() for rate in rates) > 0


@pytest.mark.long
def test_streamed_and_resident_records_take_turns(benchmark, tmp_path, capsys):
    write_records(draw_shapes(40, 8, 0), str(tmp_path), "train", 2)
    write_class_names(CLASS_NAMES, str(tmp_path))
    flags = ["--network=mlp", "--encoder_units=4", "--decoder_units=4", "--latent_dim=2"]
    flags += ["--batch_size=4", "--validation_size=0", "--jit_compile=false"]
    (tmp_path / "tiny.cfg").write_text("\n".join(flags))
    flags = [f"--flagfile={tmp_path / 'tiny.cfg'}", "--steps=2", "--repetitions=6"]
    # 14 steps of 2 in epochs of 9: turns skip the rest of an epoch.
    benchmark.main(["streaming", *flags, f"--dataset=records:{tmp_path}/*.tfrecord"])
    lines = capsys.readouterr().out.splitlines()
    for name in ("streamed", "in memory"):
        (row,) = [line.split("|") for line in lines if line.startswith(f"| {name} |")]
        assert float(row[2]) > 0
    ratios = [float(line.split()[-4]) for line in lines if line.startswith("streamed / in memory")]
    assert len(ratios) == 2
    assert min(ratios) > 0


@pytest.mark.long
def test_all_ways_to_serve_compute_the_same(benchmarks, tiny_run, tiny_export):
    serving = benchmarks.serving
    callers = serving.make_callers(tiny_export)
    by_network = serving.make_network_caller(tiny_run)
    inputs = serving.make_inputs(serving.read_input_specs(tiny_export), 3)
    assert set(inputs) == set(serving.SIGNATURES)
    for name, output in {"encode": "z_mean", "decode": "image", "reconstruct": "image"}.items():
        expected = by_network(name, inputs[name])
        by_signature = callers["loaded signature"](name, inputs[name])
        np.testing.assert_allclose(by_signature[output], expected, rtol=1e-4, atol=1e-5)
        by_session = callers["session"](name, inputs[name])
        assert any(np.array_equal(value, by_signature[output]) for value in by_session)


def test_the_bare_network_of_a_conditional_model_takes_labels(benchmarks, monkeypatch):
    config = Config.from_flat({"network": "mlp", "latent_dim": 2, "conditional": True})
    model = assembly.build_model(config.model, (8, 8, 1), 0, num_classes=4)
    monkeypatch.setattr("vae_lowlevel.experiment.loading.load_model", lambda folder: model)
    by_network = benchmarks.serving.make_network_caller("runs/mine")
    image, label = np.full([2, 8, 8, 1], 0.5, np.float32), np.array([1, 3], np.int32)
    z = by_network("encode", {"image": image, "label": label})
    assert np.abs(z[0] - z[1]).max() > 1e-4
    decoded = by_network("decode", {"z": z, "label": label})
    reconstructed = by_network("reconstruct", {"image": image, "label": label})
    np.testing.assert_allclose(decoded, reconstructed, rtol=1e-5)


@pytest.mark.long
def test_serving_times_every_signature(benchmark, benchmarks, tiny_export, capsys):
    benchmark.main(["serving", f"--export_dir={tiny_export}", "--seconds=0.005"])
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines()[4:]]
    assert {row[1].strip() for row in rows} == set(benchmarks.serving.SIGNATURES)
    assert {row[2].strip() for row in rows} == {"session", "loaded signature"}
    assert all(float(row[place].split()[0]) > 0 for row in rows for place in range(3, 7))
