"""Hostile inputs of every signature: finite outputs, or an invalid argument that names it.

Asked in a session by a callable, as TensorFlow Serving asks: no shape is compared before the graph.
"""

import collections
import random
import struct

import numpy as np
import pytest
import tensorflow as tf
from serving.small_sizes import SMALL
from tensorflow.core.protobuf import config_pb2

from vae_lowlevel import assembly
from vae_lowlevel.config import ModelConfig
from vae_lowlevel.serving.signatures import ServingModel

MLP = {"network": "mlp", "encoder_units": (6,), "decoder_units": (5,)}
CONV = {"encoder_filters": (3, 4), "encoder_units": (6,), "decoder_filters": (4, 4, 3)}
# Each network, activation, posterior, prior and likelihood whose numbers can overflow in its way.
MODELS = {
    "conv": CONV,
    "bfloat16": {**CONV, "precision": "bfloat16", "activation": "elu"},
    "resnet": {"network": "resnet", "encoder_filters": (4, 4), "decoder_filters": (4, 4)},
    "full": {**MLP, "posterior": "full", "prior": "vamp", "likelihood": "continuous_bernoulli"},
    "iaf": {
        **MLP,
        "posterior": "iaf",
        "prior": "flow",
        "likelihood": "discretized_logistic",
        "activation": "tanh",
    },
    "conditional": {**MLP, "conditional": True, "prior": "mixture", "likelihood": "gaussian"},
    "sparse": {**MLP, "model": "sparse_autoencoder"},
}
IMAGE_SHAPE, NUM_CLASSES, CASES = (8, 6, 1), 3, 15


class Asked:
    """A saved model in a session."""

    def __init__(self, name, folder):
        config = ModelConfig(**{**SMALL, **MODELS[name]})
        model = assembly.build_model(config, IMAGE_SHAPE, seed=0, num_classes=NUM_CLASSES)
        for index, variable in enumerate(model.trainable_variables):
            variable.assign_add(0.3 * tf.random.stateless_normal(variable.shape, [index, 0]))
        serving_model = ServingModel(model, anomaly_threshold=1.0)
        serving_model.save(folder)
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            meta_graph = tf.compat.v1.saved_model.load(self.session, ["serve"], folder)
        self.signatures = {
            name: signature
            for name, signature in meta_graph.signature_def.items()
            if not name.startswith("__")
        }
        self.callables = {}

    def ask(self, name, inputs):
        signature = self.signatures[name]
        if name not in self.callables:
            feed = [signature.inputs[key].name for key in signature.inputs]
            fetch = [tensor.name for tensor in signature.outputs.values()]
            options = config_pb2.CallableOptions(feed=feed, fetch=fetch)
            self.callables[name] = self.session._make_callable_from_options(options)
        return self.callables[name](*(inputs[key] for key in signature.inputs))


FLOATS = [0.0, -0.0, 1.0, 0.5, 1e-45, -1e-45, 1.2e-38, 1.0000001, -1e-7, 255.0, 1e10, 1e30]
FLOATS += [1e38, -1e38, 3.4028235e38, -3.4028235e38, np.nan, np.inf, -np.inf]
INTEGERS = [0, 1, -1, 2, 3, -2, 127, 2**31 - 1, -(2**31), 2**32, 2**63 - 1, -(2**63)]


def make_floats(shape, rng, is_image):
    kind = rng.randrange(4)
    values = np.random.default_rng(rng.randrange(2**32)).random(shape, np.float32)
    if kind == 1 and not is_image:
        values = (values - 0.5) * np.float32(10.0) ** rng.randrange(-38, 39)
    elif kind >= 2 and values.size:
        flat = values.reshape(-1)
        for _ in range(rng.choice([1, 3, flat.size])):
            flat[rng.randrange(flat.size)] = rng.choice(
                FLOATS[: 6 if is_image and kind == 2 else 99]
            )
    return values.astype(np.float32)


def make_picture(rng):
    pixels = np.random.default_rng(rng.randrange(2**32)).integers(0, 256, IMAGE_SHAPE, np.uint8)
    encode = rng.choice([tf.io.encode_png, tf.io.encode_jpeg])
    content = bytearray(encode(pixels).numpy())
    kind = rng.randrange(5)
    if kind == 1:
        content = content[: rng.randrange(len(content))]
    elif kind == 2:
        for _ in range(rng.choice([1, 10])):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == 3 and encode is tf.io.encode_png:
        content[16:24] = struct.pack(">II", *rng.choices([6, 8, 0, 100_000, 2**31, 2**32 - 1], k=2))
    elif kind == 4:
        content = rng.choice([b"", b"GIF89a" + content, b"BM" + content, content + content])
    return bytes(content)


def make_input(key, tensor, rows, rng):
    """Returns a value of the declared type; one in eight has another shape."""
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    shape = [rows, *sizes[1:]]
    if rng.randrange(8) == 0:
        shape = rng.choice([[], shape[1:], [*shape, 1], [rows, 5], [rows, 0], [0, 0], [rows + 1]])
    dtype = tf.as_dtype(tensor.dtype)
    if dtype == tf.string:
        count = int(np.prod(shape))
        return np.array([make_picture(rng) for _ in range(count)], object).reshape(shape)
    if dtype.is_integer:
        low, high = np.iinfo(dtype.as_numpy_dtype).min, np.iinfo(dtype.as_numpy_dtype).max
        allowed = [value for value in INTEGERS if low <= value <= high]
        if key == "label" and rng.randrange(2):
            allowed = [-1, 0, 1, 2]
        return np.array(rng.choices(allowed, k=int(np.prod(shape))), dtype.as_numpy_dtype).reshape(
            shape
        )
    return make_floats(shape, rng, key.startswith("image"))


@pytest.mark.faults
@pytest.mark.parametrize("name", MODELS)
def test_hostile_inputs(name, tmp_path, count):
    asked = Asked(name, str(tmp_path))
    outcomes = collections.Counter()
    for signature in asked.signatures:
        # The most common outcome is a refusal, so the first cases are the harmless ones.
        for case in range(CASES):
            rng = random.Random(f"{name} {signature} {case}")
            rows = rng.choice([0, 1, 2, 5])
            inputs = {
                key: make_input(key, tensor, rows, rng)
                for key, tensor in asked.signatures[signature].inputs.items()
            }
            try:
                outputs = asked.ask(signature, inputs)
            except tf.errors.InvalidArgumentError as error:
                # Of a picture that is damaged after its header, the decoder's own message.
                is_named = f"{signature}: ".replace("serving_default", "reconstruct") in str(error)
                outcomes["named" if is_named else "decoder"] += 1
                if not (is_named or signature.endswith("_bytes")):
                    raise
            else:
                outcomes["answered"] += 1
                for value in outputs:
                    assert np.isfinite(value.astype(np.float64)).all(), (signature, case)
    asked.session.close()
    count(f"hostile inputs, {name}", **outcomes)
    assert sum(outcomes.values()) == CASES * len(asked.signatures)
    assert min(outcomes["answered"], outcomes["named"]) > CASES


# Latent vectors and temperatures whose results no float32 network can hold.
@pytest.mark.faults
@pytest.mark.parametrize("name", ["conv", "full", "iaf", "conditional"])
def test_huge_numbers_are_refused_by_name_or_answered_finitely(name, tmp_path):
    asked = Asked(name, str(tmp_path))
    label = {"label": np.array([0, 1], np.int32)} if name == "conditional" else {}
    refusals = []
    for exponent in range(39):
        huge = np.float32(3.0) * np.float32(10.0) ** exponent
        z = np.array([[huge, -huge, huge], [0.0, 0.0, 0.0]], np.float32)
        temperature = np.array([huge, 1.0], np.float32)
        requests = {
            "decode": {"z": z},
            "sample_with_temperature": {"seed": np.array([3, 4]), "temperature": temperature},
        }
        for signature, inputs in requests.items():
            try:
                outputs = asked.ask(signature, {**inputs, **label})
            except tf.errors.InvalidArgumentError as error:
                refusals.append((signature, str(error)))
            else:
                assert all(np.isfinite(value).all() for value in outputs)
    asked.session.close()
    assert refusals
    for signature, message in refusals:
        assert f"[{signature}: the output " in message
        assert "row] [0]" in message
