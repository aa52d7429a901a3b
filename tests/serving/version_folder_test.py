import base64
import json
import math
import os
import pathlib
import signal

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from vae_lowlevel.config.export import ExportOptions
from vae_lowlevel.errors import RunError
from vae_lowlevel.experiment.exporting import export_run
from vae_lowlevel.experiment.loading import load_model
from vae_lowlevel.serving import version_folder
from vae_lowlevel.serving.examples import make_example_inputs
from vae_lowlevel.serving.server_files import BATCH_SIZES
from vae_lowlevel.serving.signatures import ServingModel
from vae_lowlevel.serving.warmup import WARMUP_FILE, read_warmup, write_warmup


@pytest.fixture(scope="module")
def serving_model(tiny_run):
    return ServingModel(load_model(tiny_run))


@pytest.fixture(scope="module")
def examples(serving_model):
    return make_example_inputs(serving_model)


def test_a_version_holds_what_belongs_to_it(tiny_export):
    found = {str(path.relative_to(tiny_export)) for path in pathlib.Path(tiny_export).rglob("*")}
    assert {"saved_model.pb", "variables/variables.index", "MODEL_CARD.md", WARMUP_FILE} <= found
    assert "request_examples/README.md" in found


def test_warmup_has_every_signature_at_every_batch_size(tiny_export, examples):
    found = [
        (name, {key: tensor(content) for key, content in inputs.items()})
        for name, inputs in read_warmup(tiny_export)
    ]
    requested = [(name, len(next(iter(inputs.values())))) for name, inputs in found]
    assert requested == [(name, size) for name in examples for size in BATCH_SIZES]
    for name, inputs in found:
        assert inputs.keys() == examples[name].keys()
        for key, value in inputs.items():
            assert value.dtype == examples[name][key].dtype
            assert value.shape[1:] == examples[name][key].shape[1:]
    size = os.path.getsize(os.path.join(tiny_export, WARMUP_FILE))
    assert size < 200 * len(found) + 3 * len(BATCH_SIZES) * 200  # constant tensors, and pictures


def tensor(content):
    from tensorflow.core.framework import tensor_pb2

    return tf.make_ndarray(tensor_pb2.TensorProto.FromString(content))


def test_warmup_is_read_by_the_messages_of_tensorflow_serving(tmp_path, examples):
    prediction_log_pb2 = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2", reason="needs the extra `serving`"
    )
    write_warmup(str(tmp_path), "fashion", examples, [3])
    records = tf.data.TFRecordDataset(str(tmp_path / WARMUP_FILE))
    logs = [prediction_log_pb2.PredictionLog.FromString(record.numpy()) for record in records]
    assert {log.WhichOneof("log_type") for log in logs} == {"predict_log"}
    requests = [log.predict_log.request for log in logs]
    assert [request.model_spec.signature_name for request in requests] == list(examples)
    for request in requests:
        assert request.model_spec.name == "fashion"
        for key, value in request.inputs.items():
            wanted = examples[request.model_spec.signature_name][key]
            assert tf.make_ndarray(value).shape == (3, *wanted.shape[1:])


def shape_of(value):
    """The shape of nested lists by the rules of TensorFlow Serving's json_tensor."""
    if isinstance(value, dict):
        assert set(value) == {"b64"}
        base64.b64decode(value["b64"], validate=True)
        return ()
    if not isinstance(value, list):
        return ()
    shapes = {shape_of(element) for element in value}
    assert len(shapes) == 1, "ragged"
    return (len(value), *shapes.pop())


def test_request_examples_are_valid_rows_and_columns(tiny_export, examples):
    folder = pathlib.Path(tiny_export, "request_examples")
    for name, inputs in examples.items():
        rows = json.loads((folder / f"{name}.instances.json").read_text())
        columns = json.loads((folder / f"{name}.inputs.json").read_text())
        assert rows.keys() == {"signature_name", "instances"}
        assert columns.keys() == {"signature_name", "inputs"}
        assert rows["signature_name"] == columns["signature_name"] == name
        assert columns["inputs"].keys() == inputs.keys()
        for key, value in inputs.items():
            assert shape_of(columns["inputs"][key]) == value.shape
            for row in rows["instances"]:
                is_bare = not isinstance(row, dict)
                assert not is_bare or len(inputs) == 1
                assert shape_of(row if is_bare else row[key]) == value.shape[1:]
        assert len(rows["instances"]) == 2


def test_every_request_example_has_its_curl_line(tiny_export):
    folder = pathlib.Path(tiny_export, "request_examples")
    lines = (folder / "README.md").read_text().splitlines()
    named = {line.split()[2].lstrip("@") for line in lines if line.startswith("curl ")}
    assert named == {path.name for path in folder.glob("*.json")}
    assert all(line.endswith("/v1/models/tiny:predict") for line in lines if "curl -d" in line)


@pytest.mark.long
def test_an_export_that_answers_differently_is_not_published(serving_model, tmp_path, monkeypatch):
    true_save = tf.saved_model.save

    bias = serving_model.model.decoder.layers[0].bias
    before = bias.numpy()

    def save_another(model, folder, signatures):
        true_save(model, folder, signatures=signatures)
        bias.assign(before + 1.0)

    monkeypatch.setattr(tf.saved_model, "save", save_another)
    try:
        with pytest.raises(RunError, match=r"not answer as the model does:\n.*image differs"):
            version_folder.write_version(str(tmp_path), serving_model, "a", with_warmup=False)
    finally:
        bias.assign(before)


def test_the_process_that_tests_an_export_is_ended_with_it():
    processes = []

    def interrupt():
        with version_folder.start_replay() as process:
            processes.append(process)
            # A Ctrl-C in the terminal, which is sent to a whole group, does not reach it.
            assert os.getpgid(process.pid) != os.getpgrp()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert processes[0].returncode == -signal.SIGKILL
    assert processes[0].stdout.closed


def test_weights_that_give_nan_are_not_exported(serving_model, examples):
    *_, bias = (v for v in serving_model.model.decoder.variables if "head" in v.name)
    before = bias.numpy()
    bias.assign(before + np.nan)
    try:
        with pytest.raises(RunError, match=r"nothing was exported: .*decode: .*image is NaN"):
            version_folder._example_requests(serving_model, examples, 1e-3)
    finally:
        bias.assign(before)


def test_the_model_card_says_what_the_export_is(tiny_run, tiny_export):
    card = pathlib.Path(tiny_export, "MODEL_CARD.md").read_text()
    assert card.startswith("# tiny\n")
    assert "| `decode` | `z` float32 [B, 3] | `image` float32 [B, 12, 12, 1] |" in card
    assert "`is_anomaly` bool [B]" in card
    assert "--dataset=shapes" in card
    assert "1.00% of the\n  validation images exceed" in card


def test_threshold_is_the_quantile_of_the_validation_scores(tiny_run, tiny_export):
    with np.load(os.path.join(tiny_run, "anomaly_scores.npz")) as kept:
        assert kept["score"].shape == (10,)
        assert str(kept["split"]) == "validation"
        score = kept["score"]
    threshold = tf.saved_model.load(tiny_export).anomaly_threshold.numpy()
    assert math.isclose(threshold, np.quantile(score, 0.99), rel_tol=1e-6)


@pytest.mark.long
def test_options_of_an_export(tiny_run, tmp_path):
    options = ExportOptions(
        model_dir=tiny_run,
        export_dir=str(tmp_path),
        name="other",
        anomaly_quantile=0.5,
        interpolation_steps=3,
        serving_precision="bfloat16",
    )
    folder = export_run(options)
    assert folder == str(tmp_path / "other" / "1")
    loaded = tf.saved_model.load(folder)
    images = np.full([2, 12, 12, 1], 0.5, np.float32)
    assert loaded.interpolate(images, images)["image"].shape == (2, 3, 12, 12, 1)
    wanted = load_model(tiny_run).encode(images).mean()
    found = loaded.encode(images)["z_mean"]
    assert found.dtype == tf.float32
    assert 0.0 < np.max(np.abs(found - wanted)) < 0.05


@pytest.mark.long
def test_with_xla_there_is_no_warmup(tiny_run, tmp_path, unchecked):
    options = ExportOptions(model_dir=tiny_run, export_dir=str(tmp_path), export_platforms="xla")
    folder = pathlib.Path(export_run(options))
    assert not (folder / WARMUP_FILE).exists()
    content = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    functions = content.meta_graphs[0].graph_def.library.function
    assert any(function.attr["_XlaMustCompile"].b for function in functions)
