"""tools/serving_client.py against a small server with the rules of TensorFlow Serving."""

import base64
import concurrent.futures
import contextlib
import http.server
import importlib.util
import json
import pathlib
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf

CLIENT = pathlib.Path(__file__).parents[1] / "tools" / "serving_client.py"


@pytest.fixture(scope="module")
def client():
    spec = importlib.util.spec_from_file_location("serving_client", CLIENT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def from_json(value, dtype):
    if dtype == tf.string:
        return tf.constant([base64.b64decode(row["b64"]) for row in value])
    return tf.constant(value, dtype)


def to_json(outputs):
    # For one output, TensorFlow Serving returns its value alone.
    lists = {key: value.numpy().tolist() for key, value in outputs.items()}
    return next(iter(lists.values())) if len(lists) == 1 else lists


@pytest.fixture(scope="module")
def rest_server(tiny_export):
    """A server with `max_batch_size` 64; its `rows` are the numbers of rows it was sent."""
    signatures = tf.saved_model.load(tiny_export).signatures

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            rows = len(next(iter(request["inputs"].values())))
            self.server.rows.append(rows)
            assert rows > 0, "with batching on, a real one does not answer"
            try:
                assert self.path == "/v1/models/tiny:predict"
                if rows > 64:
                    raise tf.errors.InvalidArgumentError(
                        None, None, f"Task size {rows} is larger than maximum input batch size 64"
                    )
                function = signatures[request["signature_name"]]
                specs = function.structured_input_signature[1]
                inputs = {
                    key: from_json(value, specs[key].dtype)
                    for key, value in request["inputs"].items()
                }
                status, answer = 200, {"outputs": to_json(function(**inputs))}
            except tf.errors.InvalidArgumentError as error:
                status, answer = 400, {"error": error.message}
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.rows = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture
def rest_port(rest_server):
    rest_server.rows.clear()
    return rest_server.server_address[1]


@pytest.fixture
def grpc_port(tiny_export):
    grpc = pytest.importorskip("grpc")
    reason = "needs the extra `serving`"
    predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2", reason=reason)
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    signatures = tf.saved_model.load(tiny_export).signatures

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
            function = signatures[request.model_spec.signature_name]
            response = predict_pb2.PredictResponse()
            tensors = {key: tf.constant(value) for key, value in inputs.items()}
            for key, value in function(**tensors).items():
                response.outputs[key].CopyFrom(tf.make_tensor_proto(value.numpy()))
            return response

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(0)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, [3, 12, 12, 1], np.uint8)


def check_commands(client, export, pixels, folder, *where):
    loaded = tf.saved_model.load(export)
    images, pictures = folder / "images.npy", []
    np.save(images, pixels)
    for row, picture in enumerate(pixels):
        pictures.append(str(folder / f"{row}.png"))
        tf.io.write_file(pictures[-1], tf.io.encode_png(picture))
    unit = pixels / np.float32(255.0)
    for command in ("encode", "reconstruct", "score"):
        wanted = getattr(loaded, command)(unit)
        for given in ([str(images)], pictures):
            output = str(folder / f"{command}.npz")
            assert client.main([command, *where, "--input", *given, f"--output={output}"]) == 0
            with np.load(output) as found:
                assert set(found.files) == set(wanted)
                for key in wanted:
                    np.testing.assert_allclose(found[key], wanted[key], rtol=1e-4, atol=1e-4)
    grid = str(folder / "grid.png")
    assert client.main(["sample", *where, "--count=5", "--seed=7", f"--output={grid}"]) == 0
    picture = tf.io.decode_png(tf.io.read_file(grid))[..., 0].numpy()
    assert picture.shape == (24, 36)
    samples = loaded.sample(np.arange(7, 12))["image"].numpy()
    np.testing.assert_allclose(picture[12:, 12:24], 255.0 * samples[4, ..., 0], atol=0.51)


@pytest.mark.long
def test_commands_by_rest(client, rest_port, tiny_export, pixels, tmp_path):
    where = ("--model=tiny", "--host=127.0.0.1", f"--port={rest_port}")
    check_commands(client, tiny_export, pixels, tmp_path, *where)


def test_commands_by_grpc(client, grpc_port, tiny_export, pixels, tmp_path):
    where = ("--model=tiny", "--host=127.0.0.1", f"--port={grpc_port}", "--grpc")
    check_commands(client, tiny_export, pixels, tmp_path, *where)


def test_the_message_of_the_server_is_shown(client, rest_port, tmp_path):
    np.save(tmp_path / "images.npy", np.zeros([1, 12, 11, 1], np.float32))
    where = ("--model=tiny", "--host=127.0.0.1", f"--port={rest_port}")
    with pytest.raises(SystemExit) as caught:
        client.main(["score", *where, "--input", str(tmp_path / "images.npy")])
    assert "score: image must have shape [B, 12, 12, 1], got" in str(caught.value)


def test_no_server(client):
    with pytest.raises(SystemExit) as caught:
        client.main(["sample", "--model=tiny", "--host=127.0.0.1", "--port=1"])
    assert "no answer" in str(caught.value)


WHERE = ("--model=tiny", "--host=127.0.0.1")


def test_more_rows_than_a_batch_are_sent_in_chunks(
    client, rest_server, rest_port, tmp_path, monkeypatch
):
    def sample(*words):
        output = str(tmp_path / "samples.npz")
        where = (*WHERE, f"--port={rest_port}")
        assert client.main(["sample", *where, *words, f"--output={output}"]) == 0
        with np.load(output) as found:
            return found["z"]

    many = sample("--count=130")
    assert rest_server.rows == [64, 64, 2]
    assert many.shape == (130, 3)
    for seed in (0, 62, 126):  # the second is of two requests
        np.testing.assert_array_equal(many[seed : seed + 4], sample("--count=4", f"--seed={seed}"))
    monkeypatch.setattr(client, "CHUNK", 65)
    with pytest.raises(SystemExit, match="400: Task size 65 is larger"):
        sample("--count=130")


def test_images_and_their_labels_are_cut_and_joined_together(client, monkeypatch):
    def answer(arguments, signature, inputs):
        assert len(inputs["image"]) == len(inputs["label"]) <= 64
        return {"z_mean": inputs["image"] + 1.0}

    monkeypatch.setattr(client, "request_by_rest", answer)
    image = np.arange(129.0)
    arguments = client.parse(["encode", *WHERE])
    found = client.request_in_chunks(arguments, "encode", {"image": image, "label": [7] * 129})
    np.testing.assert_array_equal(found["z_mean"], image + 1.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sample", "--count=0"], "--count must be at least 1, got 0"),
        (["sample", "--count=-64"], "--count must be at least 1, got -64"),
        (["sample", f"--seed={2**63}"], "--seed must be in"),
        (["sample", "--timeout=0"], "--timeout must be greater than 0"),
        (["encode", "--output=codes.png"], "encode returns no images"),
    ],
)
def test_bad_commands(client, words, message, capsys):
    with pytest.raises(SystemExit):
        client.main([*words, *WHERE])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros([0, 12, 12, 1], np.float32), r"holds no images: \[0, 12, 12, 1\]"),
        (np.full([1, 12, 12, 1], 2.0, np.float32), r"floats in \[0, 1\]; got 2 to 2"),
        (np.full([1, 12, 12, 1], np.nan, np.float32), r"floats in \[0, 1\]; got nan to nan"),
        (np.zeros([1, 12, 12, 1], np.int64), r"pixels must be uint8, or floats .*; got int64"),
        (b"x", "not a readable .npy file"),
        (None, "No such file"),
    ],
)
def test_inputs_that_cannot_be_sent(client, content, message, tmp_path):
    path = tmp_path / "images.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(SystemExit, match=message):
        client.main(["score", *WHERE, "--port=1", f"--input={path}"])


@contextlib.contextmanager
def answering(content):
    """A server of one answer, which then waits; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:

        def answer():
            connection = stack.enter_context(listener.accept()[0])
            connection.recv(1 << 16)
            connection.sendall(content)
            if content.endswith(b"."):
                connection.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=answer, daemon=True).start()
        yield listener.getsockname()[1]


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no answer: nothing came for 0.2 s; raise --timeout"),
        (OK + b'{"outputs"', "no answer: nothing came for 0.2 s; raise --timeout"),
        (OK + b"cut off.", "no answer: .*IncompleteRead"),
        (b"nonsense.", "no answer: "),
        (OK + b"x" * 100, "not an answer of TensorFlow Serving"),
        (OK + b'{"predictions": []}'.ljust(100), "not an answer of TensorFlow Serving"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\n<ht>", "502: Bad Gateway"),
    ],
)
def test_a_server_that_fails_is_one_line(client, content, message):
    with answering(content) as port, pytest.raises(SystemExit, match=message) as caught:
        client.main(["sample", *WHERE, f"--port={port}", "--timeout=0.2"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", OK + b'{"outputs"'])
def test_a_slow_server_ends_the_program_with_one_line_and_exit_code_1(content):
    with answering(content) as port:
        command = [sys.executable, CLIENT, "sample", *WHERE, f"--port={port}", "--timeout=0.2"]
        ended = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert ended.stdout == b""
    (line,) = ended.stderr.decode().splitlines()
    assert line.endswith("no answer: nothing came for 0.2 s; raise --timeout if it needs longer")
