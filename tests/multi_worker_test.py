"""Two processes on the loopback device that train together: as one, and through trouble."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from free_ports import free_ports

from vae_lowlevel import cli, train
from vae_lowlevel.config import Config
from vae_lowlevel.data.records.shards import write_class_names, write_records
from vae_lowlevel.data.shapes import CLASS_NAMES, draw_shapes
from vae_lowlevel.training.workers import Workers

FLAGS = (
    "--dataset=shapes",
    "--image_size=8",
    "--shapes_examples=500",
    "--validation_size=50",
    "--latent_dim=2",
    "--encoder_filters=4,8",
    "--encoder_strides=2,2",
    "--encoder_units=8",
    "--decoder_filters=8,4,4",
    "--decoder_strides=2,2",
    "--batch_size=30",
    "--epochs=12",
    "--free_bits=0.01",
    "--ema_decay=0.9",
    "--steps_per_loop=2",
    "--checkpoint_every=10",
    "--intra_op_threads=1",
    "--export_dir=",
)
STEPS = 180
MULTI_WORKER = "--distribution_strategy=multi_worker_mirrored"


def start(cwd, *flags, cluster=None, index=0):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    if cluster:
        task = {"type": "worker", "index": index}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": cluster}, "task": task})
    return subprocess.Popen(
        [sys.executable, "-m", "vae_lowlevel.train", *FLAGS, *flags],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_two(cwd, *flags):
    cluster = [f"localhost:{port}" for port in free_ports(2)]
    return [start(cwd, MULTI_WORKER, *flags, cluster=cluster, index=i) for i in range(2)]


def finish(processes):
    """Returns (exit code, stdout, stderr) of each."""
    outputs = [process.communicate(timeout=200) for process in processes]
    return [(p.returncode, *output) for p, output in zip(processes, outputs, strict=True)]


def wait_for_a_checkpoint(model_dir, processes):
    while not os.path.isfile(os.path.join(model_dir, "ckpt", "checkpoint")):
        assert [process.poll() for process in processes] == [None, None]
        time.sleep(0.01)


def saved_state(model_dir):
    reader = tf.train.load_checkpoint(os.path.join(model_dir, "ckpt"))
    names = reader.get_variable_to_shape_map()
    return {n: reader.get_tensor(n) for n in names if n.endswith("VARIABLE_VALUE")}


@pytest.fixture(scope="module")
def cwd(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def unbroken(cwd):
    """The state of a run of two workers, and what they printed."""
    outputs = finish(start_two(cwd, "--model_dir=two"))
    assert [code for code, _, _ in outputs] == [0, 0], outputs
    return saved_state(cwd / "two"), outputs


@pytest.mark.long
def test_two_workers_train_as_one(cwd, unbroken):
    state, ((_, chief, _), (_, other, _)) = unbroken
    # In this process; it has started TensorFlow already.
    flags = [*FLAGS, f"--model_dir={cwd}/one", "--tensorflow_log"]
    assert cli.main("", Config, train.run, flags) == 0
    one = saved_state(cwd / "one")
    assert set(one) == set(state)
    assert state["state/step/.ATTRIBUTES/VARIABLE_VALUE"] == STEPS
    for name, value in one.items():
        np.testing.assert_allclose(value, state[name], rtol=2e-3, atol=2e-4, err_msg=name)
    assert "2 x CPU of 2 workers" in chief
    assert re.search(r"^ +12 ", chief, re.MULTILINE)
    assert other == "worker 1 of 2 waits for the others\n"
    metrics = [json.loads((cwd / name / "metrics.json").read_text()) for name in ("one", "two")]
    assert metrics[0]["test"]["elbo"] == pytest.approx(metrics[1]["test"]["elbo"], rel=1e-3)


@pytest.mark.slow
def test_two_workers_train_as_one_on_streamed_records(cwd):
    examples = draw_shapes(400, 8, seed=0)
    write_records(examples, str(cwd / "records"), "train", shards=5)
    write_class_names(CLASS_NAMES, str(cwd / "records"))
    flags = ["--dataset=records:records/*.tfrecord", "--resident_bytes=0", "--epochs=2"]
    outputs = finish(start_two(cwd, *flags, "--model_dir=streamed_two"))
    assert [code for code, _, _ in outputs] == [0, 0], outputs
    ((code, _, err),) = finish([start(cwd, *flags, "--model_dir=streamed_one")])
    assert (code, err) == (0, "")
    two = saved_state(cwd / "streamed_two")
    for name, value in saved_state(cwd / "streamed_one").items():
        np.testing.assert_allclose(value, two[name], rtol=2e-3, atol=2e-4, err_msg=name)


def latest_step(model_dir):
    return saved_state(model_dir)["state/step/.ATTRIBUTES/VARIABLE_VALUE"]


def kill_after_a_checkpoint(cwd, model_dir, killed):
    """Starts two workers and kills one: the other has to say so and to end."""
    processes = start_two(cwd, f"--model_dir={model_dir}")
    wait_for_a_checkpoint(cwd / model_dir, processes)
    processes[killed].kill()
    outputs = finish(processes)
    code, _, err = outputs[1 - killed]
    assert code == 1, outputs
    assert f"error: worker {1 - killed} of 2 lost another one" in err
    assert "Start all of them again" in err
    assert "Traceback" not in err
    assert latest_step(cwd / model_dir) < STEPS


def assert_resumed_as_unbroken(cwd, model_dir, unbroken):
    outputs = finish(start_two(cwd, f"--model_dir={model_dir}"))
    assert [code for code, _, _ in outputs] == [0, 0], outputs
    assert "Resuming at step" in outputs[0][1]
    state = saved_state(cwd / model_dir)
    for name, value in unbroken[0].items():
        np.testing.assert_array_equal(value, state[name], err_msg=name)


@pytest.mark.faults
def test_after_a_killed_and_a_stopped_worker_all_resume_as_unbroken(cwd, unbroken):
    kill_after_a_checkpoint(cwd, "run", killed=0)
    killed_at = latest_step(cwd / "run")
    processes = start_two(cwd, "--model_dir=run")
    for line in processes[0].stdout:
        if line.startswith("epoch"):
            break
    processes[1].send_signal(signal.SIGTERM)
    (chief, out, chief_err), (other, _, other_err) = finish(processes)
    assert (chief, other) == (75, 75), out + chief_err + other_err
    assert "another worker stopped: saved at step" in chief_err
    assert "SIGTERM: saved at step" in other_err
    assert killed_at < latest_step(cwd / "run") < STEPS
    assert_resumed_as_unbroken(cwd, "run", unbroken)


@pytest.mark.slow
def test_after_another_killed_worker_both_resume_as_unbroken(cwd, unbroken):
    kill_after_a_checkpoint(cwd, "killed_1", killed=1)
    assert_resumed_as_unbroken(cwd, "killed_1", unbroken)


def test_workers_with_other_states_are_told_so(tmp_path, monkeypatch, capsys):
    """In one process, where the other worker answers that it has no state."""
    flags = [*FLAGS, f"--model_dir={tmp_path}/run", "--tensorflow_log", "--epochs=1"]
    assert cli.main("", Config, train.run, flags) == 0
    # The checksum of the flags, a large number, is the same.
    answer = lambda self, value: [value, value if value > 1e6 else -1.0]  # noqa: E731
    monkeypatch.setattr(Workers, "share", answer)
    assert cli.main("", Config, train.run, [*flags, "--epochs=2"]) == 1
    message = r"different values of step, \[15, -1\.0\]: --model_dir must be a folder that all"
    assert re.search(message, capsys.readouterr().err)


def test_workers_with_other_flags_are_told_so(tmp_path, monkeypatch, capsys):
    flags = [*FLAGS, f"--model_dir={tmp_path}/run", "--tensorflow_log"]
    monkeypatch.setattr(Workers, "share", lambda self, value: [value, value + 1])
    assert cli.main("", Config, train.run, flags) == 1
    message = r"different values of the checksum of their flags.*start all of them with the same"
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_workers_without_a_common_folder_are_told_so(cwd, unbroken):
    cluster = [f"localhost:{port}" for port in free_ports(2)]
    folders = ("two", "not_there")
    processes = [
        start(
            cwd, MULTI_WORKER, "--epochs=13", f"--model_dir={folder}", cluster=cluster, index=index
        )
        for index, folder in enumerate(folders)
    ]
    for code, _, err in finish(processes):
        assert code == 1
        assert "--model_dir must be a folder that all workers see" in err
