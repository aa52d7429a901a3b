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
import urllib.request

import numpy as np
import pytest

from vae_lowlevel.serving.server_files import write_server_files

SERVER = shutil.which("tensorflow_model_server")
pytestmark = pytest.mark.skipif(SERVER is None, reason="tensorflow_model_server is not on the PATH")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def post(port, content):
    url = f"http://127.0.0.1:{port}/v1/models/tiny:predict"
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
    config.write_text(config.read_text().replace("/models/", f"{tmp_path}/"))
    rest, grpc = free_port(), free_port()
    process = subprocess.Popen(
        [
            SERVER,
            f"--rest_api_port={rest}",
            f"--port={grpc}",
            f"--model_config_file={config}",
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


def test_examples_are_answered_by_grpc(server):
    pytest.importorskip("tensorflow_serving.apis.predict_pb2", reason="needs the extra `serving`")
    client = pathlib.Path(__file__).parents[1] / "tools" / "serving_client.py"
    *_, grpc, folder = server
    output = folder / "samples.npz"
    command = [sys.executable, client, "sample", "--model=tiny", "--grpc", f"--port={grpc}"]
    subprocess.run([*command, "--host=127.0.0.1", f"--output={output}"], check=True)
    with np.load(output) as found:
        assert found["image"].shape == (16, 12, 12, 1)
