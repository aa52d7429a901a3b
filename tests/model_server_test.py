"""The export on a real TensorFlow Serving, where one is installed."""

import concurrent.futures
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

from vae_lowlevel.serving.server_files import write_server_files

CLIENT = pathlib.Path(__file__).parents[1] / "tools" / "serving_client.py"
SERVER = shutil.which("tensorflow_model_server")
pytestmark = pytest.mark.skipif(SERVER is None, reason="tensorflow_model_server is not on the PATH")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def edit(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def post(port, content, label=None):
    suffix = "" if label is None else f"/labels/{label}"
    url = f"http://127.0.0.1:{port}/v1/models/tiny{suffix}:predict"
    with urllib.request.urlopen(url, content, timeout=30) as response:
        return json.load(response)


def version_states(port):
    try:
        url = f"http://127.0.0.1:{port}/v1/models/tiny"
        with urllib.request.urlopen(url, timeout=5) as response:
            states = json.load(response)["model_version_status"]
    except OSError:
        return {}
    return {state["version"]: state["state"] for state in states}


def wait_for(port, version, process):
    end = time.monotonic() + 120
    while version_states(port).get(version) != "AVAILABLE":
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < end, f"version {version} did not become available"
        time.sleep(0.2)


@pytest.fixture
def server(tiny_export, tmp_path):
    """With batching on and the warm-up file; yields process, REST and gRPC port, folder."""
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_export, folder / "1")
    write_server_files(str(folder), "tiny")
    config = folder / "models.config"
    edit(config, 'base_path: "/models/tiny"', f'base_path: "{folder}"')
    rest, grpc = free_port(), free_port()
    process = subprocess.Popen(
        [
            SERVER,
            f"--rest_api_port={rest}",
            f"--port={grpc}",
            f"--model_config_file={config}",
            "--model_config_file_poll_wait_seconds=1",
            "--allow_version_labels_for_unavailable_models=true",
            "--enable_batching=true",
            f"--batching_parameters_file={folder / 'batching_parameters.txt'}",
            f"--monitoring_config_file={folder / 'monitoring.config'}",
        ]
    )
    wait_for(rest, "1", process)
    yield process, rest, grpc, folder
    process.terminate()
    assert process.wait(60) is not None


def test_examples_are_answered_and_versions_change_under_load(server):
    process, rest, _, folder = server
    for path in sorted((folder / "1" / "request_examples").glob("*.json")):
        answer = post(rest, path.read_bytes())
        assert set(answer) <= {"predictions", "outputs"}, path.name

    content = (folder / "1" / "request_examples" / "encode.instances.json").read_bytes()
    wanted = post(rest, content)["predictions"]
    is_over = threading.Event()

    def ask():
        answers = 0
        while not is_over.is_set():
            for found, row in zip(post(rest, content)["predictions"], wanted, strict=True):
                np.testing.assert_allclose(found["z_mean"], row["z_mean"], atol=1e-5)
            answers += 1
        return answers

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            shutil.copytree(folder / "1", folder / ".copy")
            (folder / ".copy").rename(folder / "2")
            wait_for(rest, "2", process)
            while version_states(rest).get("1") == "AVAILABLE":
                time.sleep(0.2)
        finally:
            is_over.set()
        assert all(answers.result() > 0 for answers in asking)


def test_an_edit_of_the_settings_rolls_back_and_gives_labels(server):
    process, rest, _, folder = server
    shutil.copytree(folder / "1", folder / ".copy")
    (folder / ".copy").rename(folder / "2")
    wait_for(rest, "2", process)
    latest = "model_version_policy { latest { num_versions: 1 } }"
    first = "model_version_policy { specific { versions: 1 } }"
    edit(folder / "models.config", latest, first)
    wait_for(rest, "1", process)
    while version_states(rest).get("2") == "AVAILABLE":
        time.sleep(0.2)

    labelled = """model_version_policy { specific { versions: 1 versions: 2 } }
    version_labels { key: "stable" value: 1 }
    version_labels { key: "canary" value: 2 }"""
    edit(folder / "models.config", first, labelled)
    wait_for(rest, "2", process)
    content = (folder / "1" / "request_examples" / "decode.inputs.json").read_bytes()
    stable, canary = (post(rest, content, label)["outputs"] for label in ("stable", "canary"))
    np.testing.assert_allclose(stable, canary, atol=1e-6)
    with pytest.raises(urllib.error.HTTPError):
        post(rest, content, "missing")


def test_many_rows_are_answered_by_rest(server):
    _, rest, _, folder = server
    output = folder / "samples.npz"
    command = [sys.executable, CLIENT, "sample", "--model=tiny", f"--port={rest}", "--count=130"]
    subprocess.run([*command, "--host=127.0.0.1", f"--output={output}"], check=True)
    with np.load(output) as found:
        assert found["image"].shape == (130, 12, 12, 1)


def test_examples_are_answered_by_grpc(server):
    pytest.importorskip("tensorflow_serving.apis.predict_pb2", reason="needs the extra `serving`")
    *_, grpc, folder = server
    output = folder / "samples.npz"
    command = [sys.executable, CLIENT, "sample", "--model=tiny", "--grpc", f"--port={grpc}"]
    subprocess.run([*command, "--host=127.0.0.1", f"--output={output}"], check=True)
    with np.load(output) as found:
        assert found["image"].shape == (16, 12, 12, 1)
