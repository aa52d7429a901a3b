"""The program as a user runs it: in processes of its own, on images the package draws."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import cli, train
from vae_lowlevel.config import Config
from vae_lowlevel.data.records.shards import write_class_names, write_records
from vae_lowlevel.data.shapes import CLASS_NAMES, draw_shapes

TINY = (
    "--dataset=shapes",
    "--image_size=16",
    "--shapes_examples=600",
    "--validation_size=100",
    "--latent_dim=2",
    "--encoder_filters=4,8",
    "--encoder_strides=2,2",
    "--encoder_units=16",
    "--decoder_filters=8,8,4",
    "--decoder_strides=2,2",
    "--kl_schedule=linear",
    "--kl_warmup_epochs=1",
    "--learning_rate_schedule=cosine",
    "--batch_size=50",
    "--epochs=3",
    "--steps_per_loop=4",
)


# Every process of these tests ends with code 99 if it opens a network connection.
NO_NETWORK = pathlib.Path(__file__).parent / "no_network"


def program(module, *arguments, **keywords):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PYTHONPATH"] = str(NO_NETWORK)
    command = [sys.executable, "-m", f"vae_lowlevel.{module}", *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **streams, **keywords)


def run(module, *arguments, cwd):
    """Runs a program in a process of its own; returns its exit code, stdout and stderr."""
    process = program(module, *arguments, cwd=cwd)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def saved_state(model_dir):
    """Every variable and slot of the latest checkpoint, by name."""
    reader = tf.train.load_checkpoint(os.path.join(model_dir, "ckpt"))
    names = reader.get_variable_to_shape_map()
    return {n: reader.get_tensor(n) for n in names if n.endswith("VARIABLE_VALUE")}


def history(model_dir):
    with open(os.path.join(model_dir, "metrics.json")) as file:
        metrics = json.load(file)

    def without_times(terms):
        return {k: v for k, v in terms.items() if k not in ("images_per_second",)}

    return [
        (r["epoch"], r["step"], without_times(r["train"]), r["validation"])
        for r in metrics["history"]
    ]


def test_a_network_connection_would_end_a_process_of_these_tests():
    code = "import socket; socket.create_connection(('localhost', 9))"
    environment = {**os.environ, "PYTHONPATH": str(NO_NETWORK)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.returncode == 99
    assert b"network: socket.getaddrinfo" in done.stderr


@pytest.fixture(scope="module")
def cwd(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def finished(cwd):
    """A whole run of three epochs of ten steps, in blocks of four."""
    code, out, err = run("train", *TINY, "--model_dir=runs/tiny", cwd=cwd)
    assert code == 0, err
    return cwd / "runs" / "tiny", out, err


def test_a_good_run_writes_nothing_to_stderr(finished):
    assert finished[2] == ""


def test_the_table_and_the_epochs_are_shown(finished):
    out = finished[1]
    assert re.search(r"encoder/conv_0 +\[B, 8, 8, 4\] +40\n", out)
    assert re.search(r"decoder/head +\[B, 16, 16, 1\] +37\n", out)
    assert re.findall(r"^ +(\d) +[\d.]+ +-[\d.]+ .* \d:\d\d$", out, re.M) == ["1", "2", "3"]


def test_what_is_left_behind(finished):
    model_dir = finished[0]
    names = {"flags.cfg", "data.json", "ckpt", "best", "summaries", "figures", "metrics.json"}
    names |= {"anomaly_scores.npz", "publication.json", "report.html"}
    assert set(os.listdir(model_dir)) == names
    figures = {"reconstructions.png", "samples.png", "manifold.png", "latent.png"}
    figures |= {"traversals.png", "curves.png"}
    # One is drawn during the training, by its observers.
    assert set(os.listdir(model_dir / "figures")) - {"progress.png"} == figures
    for name in figures:
        picture = tf.io.decode_png(tf.io.read_file(str(model_dir / "figures" / name)))
        assert min(picture.shape[:2]) > 250, name
        assert len(np.unique(picture)) > 2, name


def test_metrics(finished):
    with open(finished[0] / "metrics.json") as file:
        metrics = json.load(file)
    assert [record["step"] for record in metrics["history"]] == [10, 20, 30]
    for record in metrics["history"]:
        for split in ("train", "validation"):
            terms = record[split]
            assert terms["elbo"] == pytest.approx(-terms["distortion"] - terms["rate"], rel=1e-5)
    first, last = metrics["history"][0], metrics["history"][-1]
    assert last["validation"]["elbo"] > first["validation"]["elbo"]
    assert metrics["test"]["loss"] == pytest.approx(-metrics["test"]["elbo"], rel=1e-5)
    assert metrics["flags"]["latent_dim"] == 2
    assert metrics["versions"]["tensorflow"] == tf.__version__
    assert metrics["train_seconds"] > 0


def test_summaries_are_read_back(finished):
    def read(split):
        folder = finished[0] / "summaries" / split
        (name,) = os.listdir(folder)
        values = {}
        for record in tf.data.TFRecordDataset(str(folder / name)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                values.setdefault(value.tag, []).append((event.step, value.tensor))
        return values

    train, validation = read("train"), read("validation")
    wanted = {"loss/loss", "loss/elbo", "terms/distortion", "terms/rate", "image_quality/mse"}
    wanted |= {"schedules/kl_weight", "schedules/learning_rate"}
    wanted |= {"optimizer/gradient_norm", "speed/images_per_second"}
    assert wanted <= set(train)
    losses = train["loss/loss"]
    assert [step for step, _ in losses] == [4, 8, 10, 14, 18, 20, 24, 28, 30]
    losses = [float(tf.make_ndarray(loss)) for _, loss in losses[3:6]]
    record = history(finished[0])[1]
    # The epoch's mean, from the means of its blocks of 4, 4 and 2 steps.
    assert np.average(losses, weights=[4, 4, 2]) == pytest.approx(record[2]["loss"], rel=1e-5)
    active = tf.make_ndarray(validation["latents/active_units"][-1][1])
    assert float(active) == record_active(finished[0])
    for tag, last in (("input", 10), ("reconstruction", 30), ("sample", 30)):
        step, tensor = validation[f"images/{tag}"][-1]
        png = tensor.string_val[2]
        assert step == last
        assert tf.io.decode_png(png).shape == (70, 70, 1)


def record_active(model_dir):
    return history(model_dir)[-1][3]["active_units"]


def test_the_export_stands_beside(finished):
    settings = {"batching_parameters.txt", "kserve.yaml", "models.config", "monitoring.config"}
    exports = finished[0].parent.parent / "saved_models" / "tiny"
    assert set(os.listdir(exports)) == {"1", *settings}
    figures = {"reconstructions.png", "samples.png"}
    assert set(os.listdir(exports / "1" / "figures")) == figures
    card = (exports / "1" / "MODEL_CARD.md").read_text()
    with open(finished[0] / "metrics.json") as file:
        assert f"| elbo | {json.load(file)['test']['elbo']:.4f} |" in card


def call(*flags):
    """Trains in this process, which has started TensorFlow already; returns the exit code."""
    return cli.main("", Config, train.run, [*flags, "--tensorflow_log"])


@pytest.mark.long
def test_the_saved_flags_say_that_the_run_is_finished_and_train_on_when_it_is_made_longer(
    finished, tmp_path, monkeypatch, capsys
):
    shutil.copytree(finished[0], tmp_path / "runs" / "tiny")
    monkeypatch.chdir(tmp_path)
    before = saved_state("runs/tiny")
    assert call("--flagfile=runs/tiny/flags.cfg") == 0
    assert "is finished" in capsys.readouterr().out
    for name, value in saved_state("runs/tiny").items():
        np.testing.assert_array_equal(value, before[name])

    assert call("--flagfile=runs/tiny/flags.cfg", "--epochs=4", "--export_dir=") == 0
    out = capsys.readouterr().out
    assert "--epochs: was 3, now 4" in out
    assert "cosine" in out
    assert [record[:2] for record in history("runs/tiny")] == [(1, 10), (2, 20), (3, 30), (4, 40)]


@pytest.mark.long
def test_evaluate_gives_the_numbers_of_the_run(cwd, finished):
    with open(finished[0] / "metrics.json") as file:
        test = json.load(file)["test"]
    code, out, err = run("evaluate", "--model_dir=runs/tiny", cwd=cwd)
    assert (code, err) == (0, "")
    assert f"elbo         {test['elbo']:.4f}" in out
    with open(finished[0] / "metrics.json") as file:
        assert json.load(file)["test"] == test


def test_another_model_in_the_same_folder_is_a_usage_error(cwd, finished, monkeypatch, capsys):
    monkeypatch.chdir(cwd)
    assert call(*TINY, "--latent_dim=5", "--model_dir=runs/tiny") == 2
    assert "--latent_dim: was 2, now 5" in capsys.readouterr().err


def assert_stopped_and_resumed_as(whole, name, flags, cwd):
    """Stops a run after its first epoch and resumes it: every bit has to be that of `whole`."""
    model_dir = f"runs/{name}"
    process = program("train", *flags, f"--model_dir={model_dir}", cwd=cwd)
    for line in process.stdout:
        if re.match(r" +1 ", line):  # The table's row of the first epoch.
            process.send_signal(signal.SIGTERM)
            break
    process.stdout.read()
    err = process.stderr.read()
    assert process.wait() == 75
    assert "SIGTERM: saved at step" in err
    assert f"--flagfile={model_dir}/flags.cfg" in err
    assert 10 <= saved_state(cwd / model_dir)["state/step/.ATTRIBUTES/VARIABLE_VALUE"] < 30

    code, out, err = run("train", f"--flagfile={model_dir}/flags.cfg", cwd=cwd)
    assert (code, err) == (0, "")
    assert "Resuming at step" in out
    wanted, found = saved_state(whole), saved_state(cwd / model_dir)
    assert set(wanted) == set(found)
    assert any("/m/" in variable for variable in wanted)
    for variable, value in wanted.items():
        np.testing.assert_array_equal(value, found[variable], err_msg=variable)
    assert history(cwd / model_dir) == history(whole)


def test_stopped_and_resumed_equals_unbroken_bit_for_bit(cwd, finished):
    assert_stopped_and_resumed_as(finished[0], "stopped", (*TINY, "--export_dir="), cwd)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("bfloat16", []),
        ("streamed", ["--dataset=records:shards/*.tfrecord", "--resident_bytes=0"]),
    ],
)
def test_bfloat16_and_streams_are_resumed_bit_for_bit_too(cwd, name, settings):
    write_records(draw_shapes(600, 16, 0), str(cwd / "shards"), "train", 4)
    write_records(draw_shapes(100, 16, 1), str(cwd / "shards"), "test", 1)
    write_class_names(CLASS_NAMES, str(cwd / "shards"))
    flags = (*TINY, "--precision=bfloat16", *settings, "--export_dir=")
    code, _, err = run("train", *flags, f"--model_dir=runs/whole_{name}", cwd=cwd)
    assert (code, err) == (0, "")
    assert_stopped_and_resumed_as(cwd / f"runs/whole_{name}", f"stopped_{name}", flags, cwd)


def test_missing_data_are_named_with_the_folder(tmp_path, capsys):
    assert call("--dataset=mnist", f"--data_dir={tmp_path}", f"--model_dir={tmp_path}/run") == 1
    assert str(tmp_path) in capsys.readouterr().err
