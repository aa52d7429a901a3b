"""Requests encodings, samples, reconstructions and scores from a running TensorFlow Serving.

    python tools/serving_client.py sample --model=fashion --output=samples.png
    python tools/serving_client.py encode --model=fashion --input=images.npy --output=codes.npz
    python tools/serving_client.py reconstruct --model=fashion --input=a.png b.png --output=out.png
    python tools/serving_client.py score --model=fashion --input=images.npy --grpc --port=8500

An example to copy: it imports nothing of vae_lowlevel. REST needs only numpy. A .png output needs
pillow, and --grpc needs tensorflow-serving-api (pip install '.[serving]').
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import math
import sys
import urllib.error
import urllib.request

import numpy as np

DTYPES = {"image": np.float32, "seed": np.int64, "label": np.int32}

# Rows per request: with batching on, the server refuses more than max_batch_size.
CHUNK = 64


def request_by_rest(arguments: argparse.Namespace, signature: str, inputs: dict) -> dict:
    """Posts the column form {"inputs": ...} and returns {output: array}."""
    columns = {
        key: [{"b64": base64.b64encode(row).decode()} for row in value]
        if key.endswith("_bytes")
        else np.asarray(value).tolist()
        for key, value in inputs.items()
    }
    body = json.dumps({"signature_name": signature, "inputs": columns}).encode()
    url = f"http://{arguments.host}:{arguments.port}/v1/models/{arguments.model}"
    if arguments.version:
        url += f"/versions/{arguments.version}"
    request = urllib.request.Request(f"{url}:predict", body, {"Content-Type": "application/json"})
    try:
        # One connection per request. On one that is kept open, an answer of more than 16 KiB comes
        # 40 ms late: its last packet waits for the delayed acknowledgement of the others.
        with urllib.request.urlopen(request, timeout=arguments.timeout) as response:
            outputs = json.load(response)["outputs"]
    except urllib.error.HTTPError as error:
        sys.exit(f"{url}: {error.code}: {_read_error(error)}")
    except (OSError, http.client.HTTPException) as error:
        # URLError is an OSError; a connection that ends, or times out, while the answer is read is
        # another one.
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            reason = f"nothing came for {arguments.timeout:g} s; raise --timeout if it needs longer"
        sys.exit(f"{url}: no answer: {reason}")
    except (ValueError, KeyError, TypeError) as error:
        sys.exit(f"{url}: not an answer of TensorFlow Serving: {error!r}")
    # For a signature with one output, the response is its value alone.
    if not isinstance(outputs, dict):
        outputs = {"code" if arguments.command == "encode" else "image": outputs}
    return {key: np.array(value) for key, value in outputs.items()}


def _read_error(error: urllib.error.HTTPError) -> str:
    """Returns the message of the server, or of a proxy in front of it."""
    try:
        return json.load(error)["error"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return str(error.reason)


def request_by_grpc(arguments: argparse.Namespace, signature: str, inputs: dict) -> dict:
    """Calls PredictionService.Predict and returns {output: array}."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name = arguments.model
    request.model_spec.signature_name = signature
    if arguments.version:
        request.model_spec.version.value = arguments.version
    for key, value in inputs.items():
        value = value if key.endswith("_bytes") else np.asarray(value, DTYPES[key])
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    # The default of 4 MB is less than a batch of pictures.
    channel = grpc.insecure_channel(
        f"{arguments.host}:{arguments.port}",
        options=[("grpc.max_receive_message_length", 256 * 2**20)],
    )
    service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    try:
        response = service.Predict(request, timeout=arguments.timeout)
    except grpc.RpcError as error:
        sys.exit(f"{arguments.host}:{arguments.port}: {error.code().name}: {error.details()}")
    return {key: tf.make_ndarray(value) for key, value in response.outputs.items()}


def read_input(arguments: argparse.Namespace) -> tuple[str, dict]:
    """Returns the suffix of the signature's name, "_bytes" for pictures, and the inputs."""
    if not arguments.input:
        sys.exit(f"{arguments.command} needs --input: one .npy file, or PNG and JPEG files")
    if arguments.input[0].endswith(".npy"):
        try:
            images = np.load(arguments.input[0], allow_pickle=False)
        except (ValueError, EOFError) as error:
            sys.exit(f"{arguments.input[0]}: not a readable .npy file: {error}")
        if images.ndim == 0 or len(images) == 0:
            sys.exit(f"{arguments.input[0]}: holds no images: {list(images.shape)}")
        if images.dtype == np.uint8:
            images = images / np.float32(255.0)
        check_pixels(arguments.input[0], images)
        # 6 digits keep JSON short and are more precise than 8-bit pixels.
        suffix, inputs = "", {"image": np.round(images.astype(np.float64), 6)}
    else:
        pictures = []
        for path in arguments.input:
            with open(path, "rb") as file:
                pictures.append(file.read())
        suffix, inputs = "_bytes", {"image_bytes": pictures}
    return suffix, inputs | make_labels(arguments, len(next(iter(inputs.values()))))


def check_pixels(path: str, images: np.ndarray) -> None:
    """Ends the program where the server would refuse the pixels.

    With batching on, the server refuses the whole batch, with the requests of other clients.
    """
    if not np.issubdtype(images.dtype, np.floating):
        sys.exit(f"{path}: pixels must be uint8, or floats in [0, 1]; got {images.dtype}")
    # NaN is in no range.
    if not np.all((images >= 0.0) & (images <= 1.0)):
        low, high = images.min(), images.max()
        sys.exit(f"{path}: pixels must be uint8, or floats in [0, 1]; got {low:g} to {high:g}")


def make_labels(arguments: argparse.Namespace, rows: int) -> dict:
    """Returns the input `label` of a conditional model."""
    return {} if arguments.label is None else {"label": [arguments.label] * rows}


def write(path: str, outputs: dict) -> None:
    """Writes a .png grid of `image`, or an .npz of all outputs."""
    if not path.endswith(".png"):
        np.savez(path, **outputs)
        return
    from PIL import Image

    image = np.round(np.clip(outputs["image"], 0.0, 1.0) * 255.0).astype(np.uint8)
    rows, height, width, channels = image.shape
    columns = math.ceil(math.sqrt(rows))
    grid = np.full([columns * math.ceil(rows / columns), height, width, channels], 255, np.uint8)
    grid[:rows] = image
    grid = grid.reshape(-1, columns, height, width, channels).swapaxes(1, 2)
    grid = grid.reshape(-1, columns * width, channels)
    Image.fromarray(grid[..., 0] if channels == 1 else grid).save(path)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("encode", "sample", "reconstruct", "score"))
    parser.add_argument("--model", required=True, help="name of the model on the server")
    parser.add_argument("--version", type=int, help="version of the model (default: the newest)")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, help="default: 8501, with --grpc 8500")
    parser.add_argument("--grpc", action="store_true", help="gRPC instead of REST")
    parser.add_argument(
        "--timeout", type=float, default=30.0, help="seconds to wait for the server"
    )
    parser.add_argument("--input", nargs="+", help="one .npy of images, or PNG and JPEG files")
    parser.add_argument("--output", help="file to write: .npz, or .png for images (default: print)")
    parser.add_argument("--count", type=int, default=16, help="sample: number of images")
    parser.add_argument("--seed", type=int, default=0, help="sample: seed of the first image")
    parser.add_argument("--label", type=int, help="class, for a conditional model")
    arguments = parser.parse_args(argv)
    if arguments.count < 1:
        parser.error(f"--count must be at least 1, got {arguments.count}")
    if not -(2**63) <= arguments.seed <= 2**63 - arguments.count:
        parser.error(f"--seed must be in [-2**63, 2**63 - count], got {arguments.seed}")
    if not arguments.timeout > 0.0:
        parser.error(f"--timeout must be greater than 0, got {arguments.timeout}")
    if (arguments.output or "").endswith(".png") and arguments.command in ("encode", "score"):
        parser.error(f"{arguments.command} returns no images: --output must be an .npz")
    arguments.port = arguments.port or (8500 if arguments.grpc else 8501)
    return arguments


def request_in_chunks(arguments: argparse.Namespace, signature: str, inputs: dict) -> dict:
    """Requests at most `CHUNK` rows at a time, never none, and returns {output: array}.

    A server with batching on keeps a request of no rows waiting until there are others.
    """
    request = request_by_grpc if arguments.grpc else request_by_rest
    rows = len(next(iter(inputs.values())))
    answers = [
        request(arguments, signature, {key: value[n : n + CHUNK] for key, value in inputs.items()})
        for n in range(0, rows, CHUNK)
    ]
    return {key: np.concatenate([answer[key] for answer in answers]) for key in answers[0]}


def main(argv: list[str] | None = None) -> int:
    try:
        run(parse(argv))
    except OSError as error:
        sys.exit(f"error: {error}")
    return 0


def run(arguments: argparse.Namespace) -> None:
    if arguments.command == "sample":
        seeds = list(range(arguments.seed, arguments.seed + arguments.count))
        suffix, inputs = "", {"seed": seeds} | make_labels(arguments, arguments.count)
    else:
        suffix, inputs = read_input(arguments)
    outputs = request_in_chunks(arguments, arguments.command + suffix, inputs)
    if arguments.output:
        write(arguments.output, outputs)
        print(f"wrote {arguments.output}")
    else:
        for key, value in outputs.items():
            print(f"{key}: {np.array2string(value, threshold=64, precision=4)}")


if __name__ == "__main__":
    sys.exit(main())
