import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, saved_model_pb2

from vae_lowlevel import cli, export
from vae_lowlevel.config.export import ExportOptions
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.errors import RunError
from vae_lowlevel.experiment import results
from vae_lowlevel.experiment.exporting import export_run
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_model
from vae_lowlevel.serving.publish import versions
from vae_lowlevel.serving.signatures import SIGNATURES, ServingModel

IMAGES = np.random.default_rng(0).random([2, 12, 12, 1], np.float32)
# A row that float32 can hold, but not what the network makes of it.
HUGE = np.array([[1.0, 2.0, 3.0], [3e38, -3e38, 3e38]], np.float32)
# As literals of saved_model_cli; it has none for bytes.
INPUTS = {
    "encode": {"image": IMAGES},
    "decode": {"z": np.array([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0]], np.float32)},
    "sample": {"seed": np.array([3, 2**40 + 1, -5], np.int64)},
    "sample_with_temperature": {
        "seed": np.array([3, 2**40 + 1], np.int64),
        "temperature": np.array([0.5, 1.0], np.float32),
    },
    "reconstruct": {"image": IMAGES},
    "score": {"image": IMAGES},
    "interpolate": {"image_a": IMAGES, "image_b": IMAGES[::-1]},
    "serving_default": {"image": IMAGES},
}


@pytest.fixture(scope="module")
def wanted(tiny_run):
    """What each signature has to give, from the run's own model."""
    signatures = ServingModel(load_model(tiny_run)).signatures
    return {
        name: {key: value.numpy() for key, value in signatures[name](**inputs).items()}
        for name, inputs in INPUTS.items()
    }


@pytest.fixture(scope="module")
def saved_model(tiny_export):
    content = saved_model_pb2.SavedModel()
    with open(os.path.join(tiny_export, "saved_model.pb"), "rb") as file:
        content.ParseFromString(file.read())
    return content


# TensorFlow is imported once; then each command is a process of its own, as from a shell.
RUN_COMMANDS = """
import json, os, sys
from tensorflow.python.tools import saved_model_cli
commands = json.loads(sys.argv[1])
for words in commands:
    if os.fork() == 0:
        sys.argv = ["saved_model_cli", *words]
        sys.exit(saved_model_cli.main())
failed = [status for _, status in (os.wait() for _ in commands) if status != 0]
sys.exit(len(failed))
"""


# Two inputs of two types, and the signature that is taken when none is named.
RUN = ("sample_with_temperature", "serving_default")


@pytest.mark.long
def test_saved_model_cli_shows_every_signature_and_runs_them(tiny_export, wanted, tmp_path):
    commands = [["show", "--dir", tiny_export, "--all"]]
    for name in RUN:
        inputs = INPUTS[name]
        literals = ";".join(f"{key}={value.tolist()}" for key, value in inputs.items())
        where = ["--dir", tiny_export, "--tag_set", "serve", "--signature_def", name]
        outdir = ["--outdir", str(tmp_path / name)]
        commands.append(["run", *where, "--input_exprs", literals, *outdir])
    program = [sys.executable, "-c", RUN_COMMANDS, json.dumps(commands)]
    shown = subprocess.run(program, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    for name in INPUTS:
        assert f"signature_def['{name}']" in shown.stdout
    for name in RUN:
        for key, value in wanted[name].items():
            found = np.load(tmp_path / name / f"{key}.npy")
            np.testing.assert_allclose(found, value, atol=1e-5)


@pytest.fixture(scope="module")
def ask(tiny_export):
    """Calls a signature in a session, as TensorFlow Serving does: no shape is compared before."""
    # Not entered: the graph must not stay the default one of other tests.
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], tiny_export)

    def call(name, *values, session_compares=False):
        """Values are in the order of the names of the inputs."""
        signature = meta_graph.signature_def[name]
        given = [tensor.name for _, tensor in sorted(signature.inputs.items())]
        outputs = {key: tensor.name for key, tensor in signature.outputs.items()}
        if session_compares:
            return session.run(outputs, dict(zip(given, values, strict=True)))
        options = config_pb2.CallableOptions(feed=given, fetch=outputs.values())
        values = session._make_callable_from_options(options)(*values)
        return dict(zip(outputs, values, strict=True))

    yield call
    session.close()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("encode", np.zeros([2, 28, 28, 1], np.float32), "encode: image must have shape [B, 12, 1"),
        ("encode", np.zeros([2, 12, 12], np.float32), "encode: image must have shape [B, 12, 12, "),
        ("reconstruct", np.zeros([2, 12, 12, 3], np.float32), "reconstruct: image must have shape"),
        ("decode", np.zeros([2, 4], np.float32), "decode: z must have shape [B, 3], got] [2 4]"),
        ("sample", np.zeros([2, 1], np.int64), "sample: seed must have shape [B], got] [2 1]"),
        ("sample", np.zeros([], np.int64), "sample: seed must have shape [B], got] []"),
        ("encode", 255.0 * IMAGES, "encode: image must be in [0, 1]"),
        ("serving_default", IMAGES - 1.0, "reconstruct: image must be in [0, 1]"),
        ("score", np.full([1, 12, 12, 1], np.nan, np.float32), "score: image must be in [0, 1]"),
        ("decode", np.full([1, 3], np.inf, np.float32), "decode: z must be finite"),
        ("decode", HUGE, "decode: the output image is NaN or infinite for this z, row] [1]"),
        ("encode_bytes", np.array([b"GIF89a"], object), "encode_bytes: image_bytes, row] [0] [is"),
    ],
)
def test_the_graph_refuses_what_the_signature_does_not_take(ask, name, value, message):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        ask(name, value)
    assert message in str(caught.value)


def test_a_temperature_too_large_for_the_network_is_refused(ask):
    seeds = np.array([3, 4])
    message = (
        r"sample_with_temperature: the output (image|z) is NaN.* for this seed and temperature"
    )
    answer = ask("sample_with_temperature", seeds, np.array([0.0, 1e3], np.float32))
    assert all(np.isfinite(value).all() for value in answer.values())
    with pytest.raises(tf.errors.InvalidArgumentError, match=message + r", row\] \[1\]"):
        ask("sample_with_temperature", seeds, np.array([0.0, 3e38], np.float32))


def test_many_rows_and_none_are_answered(ask):
    assert ask("decode", np.zeros([10_000, 3], np.float32))["image"].shape == (10_000, 12, 12, 1)
    assert ask("decode", np.zeros([0, 3], np.float32))["image"].shape == (0, 12, 12, 1)


def test_a_python_session_refuses_a_wrong_shape_before_the_graph_sees_it(ask):
    with pytest.raises(ValueError, match="Cannot feed value of shape"):
        ask("encode", np.zeros([2, 28, 28, 1], np.float32), session_compares=True)


def test_only_the_model_is_saved(tiny_export, tiny_run):
    names = [name for name, _ in tf.train.list_variables(f"{tiny_export}/variables/variables")]
    # And the threshold and the object graph.
    assert len(names) == len(load_model(tiny_run).variables) + 2
    allowed = ("model/", "anomaly_threshold/", "_CHECKPOINTABLE_OBJECT_GRAPH")
    assert all(name.startswith(allowed) for name in names)


def test_the_export_does_not_name_the_folders_it_was_made_in(tiny_export, tiny_run, saved_model):
    content = saved_model.SerializeToString()
    assert os.path.dirname(tiny_run).encode() not in content
    assert os.path.dirname(tiny_export).encode() not in content


def test_exports_count_up_and_take_the_name_of_the_run(tiny_run, tmp_path, unchecked):
    base = str(tmp_path)
    assert export_run(ExportOptions(model_dir=tiny_run + "/", export_dir=base)) == os.path.join(
        base, "tiny", "1"
    )
    assert export_run(ExportOptions(model_dir=tiny_run, export_dir=base)) == os.path.join(
        base, "tiny", "2"
    )
    assert os.listdir(base) == ["tiny"]
    settings = ["batching_parameters.txt", "kserve.yaml", "models.config", "monitoring.config"]
    assert sorted(os.listdir(os.path.join(base, "tiny"))) == ["1", "2", *settings]


def test_a_failed_export_leaves_nothing(tiny_run, tmp_path, monkeypatch):
    broken = (lambda serving, seed: {"z": serving.missing}, ("seed",))
    monkeypatch.setitem(SIGNATURES, "sample", broken)
    with pytest.raises(AttributeError):
        export_run(ExportOptions(model_dir=tiny_run, export_dir=str(tmp_path)))
    assert os.listdir(tmp_path) == []


@pytest.mark.long
def test_a_run_killed_after_its_version_appeared_publishes_no_second_one(
    tiny_run, tmp_path, unchecked, monkeypatch
):
    shutil.copytree(tiny_run, tmp_path / "tiny")
    folder, exports = RunFolder(str(tmp_path / "tiny")), tmp_path / "saved_models"
    config = folder.read_config().replace(export_dir=str(exports), figures=False)
    monkeypatch.setattr(results, "measure_test", lambda *_: {"elbo": -1.0, "latents": []})
    monkeypatch.setattr(results, "draw_run", lambda *_: {})
    progress = types.SimpleNamespace(
        best_epoch=1, best_step=3, best_by="elbo", seconds=1.0, history=[]
    )
    finish = functools.partial(
        results.finish_run, config, folder, load_dataset(config.data), progress
    )
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "write_metrics", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            finish(3)
    assert versions(str(exports / "tiny")) == ["1"]
    finish(3)
    assert versions(str(exports / "tiny")) == ["1"]
    assert json.loads((tmp_path / "tiny" / "metrics.json").read_text())["export"].endswith("tiny/1")
    # Trained on, it is another publication.
    assert folder.name_publication(3) == folder.name_publication(3) != folder.name_publication(4)


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(RunError, match=r"no flags\.cfg"):
        export_run(
            ExportOptions(model_dir=str(tmp_path), export_dir=str(tmp_path / "saved_models"))
        )
    assert os.listdir(tmp_path) == []


def call(*words):
    return cli.main("", ExportOptions, export.run, [*words, "--tensorflow_log"])


@pytest.mark.long
def test_command_line_prints_where_and_how_to_look(tiny_run, tmp_path, capsys, unchecked):
    base = tmp_path / "with space"
    assert call(f"--model_dir={tiny_run}", f"--export_dir={base}", "--name=other") == 0
    folder = str(base / "other" / "1")
    assert os.path.isfile(os.path.join(folder, "saved_model.pb"))
    printed = capsys.readouterr().out.splitlines()
    assert folder in printed[0]
    assert printed[1] == f"saved_model_cli show --dir '{folder}' --all"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--model_dir is needed"),
        (["--model_dir=m", "--export_dir="], "--export_dir must be a folder"),
        (["--model_dir=m", "--name=a/b"], "--name must be the name of one folder, got 'a/b'"),
        (["--model_dir=m", "--name=.."], "--name must be the name of one folder, got '..'"),
    ],
)
def test_bad_command_lines(words, message, capsys):
    assert call(*words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.long
def test_the_threshold_is_that_of_the_precision_that_is_exported(
    tiny_run, tiny_export, tmp_path, unchecked
):
    half = export_run(
        ExportOptions(model_dir=tiny_run, export_dir=str(tmp_path), serving_precision="bfloat16")
    )
    thresholds = {}
    for precision, folder in (("float32", tiny_export), ("bfloat16", half)):
        loaded = tf.saved_model.load(folder)
        thresholds[precision] = float(loaded.anomaly_threshold)
        images = load_dataset(RunFolder(tiny_run).read_config().data).validation.image
        scores = loaded.signatures["score"](image=tf.constant(images / np.float32(255.0)))
        wanted = np.quantile(scores["anomaly_score"], 0.99)
        assert thresholds[precision] == pytest.approx(wanted, rel=1e-5)
    assert thresholds["float32"] != thresholds["bfloat16"]
