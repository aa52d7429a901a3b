"""Rules for the export of every model that can be served, tested over one list."""

import dataclasses
import functools
import pathlib
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from serving.small_sizes import SMALL
from tensorflow.core.protobuf import saved_model_pb2

from vae_lowlevel import assembly
from vae_lowlevel.config import ModelConfig
from vae_lowlevel.serving.examples import make_example_inputs
from vae_lowlevel.serving.signatures import ServingModel

pytestmark = pytest.mark.long

# Name -> settings and image shape. Add a model with other signatures here.
MODELS = {
    "conv": ({}, (7, 10, 1)),
    "full": (
        {
            "network": "mlp",
            "posterior": "full",
            "prior": "vamp",
            "likelihood": "continuous_bernoulli",
        },
        (5, 3, 1),
    ),
    "iaf": (
        {
            "network": "mlp",
            "posterior": "iaf",
            "prior": "flow",
            "likelihood": "discretized_logistic",
        },
        (6, 5, 3),
    ),
    "conditional": (
        {"network": "mlp", "conditional": True, "prior": "mixture", "likelihood": "gaussian"},
        (5, 3, 2),
    ),
    "sparse": ({"network": "mlp", "model": "sparse_autoencoder"}, (5, 3, 1)),
    "ladder": (
        {"network": "mlp", "model": "ladder", "ladder_dims": (1, 2), "ladder_units": (6,)},
        (5, 3, 1),
    ),
    "ladder_vamp": (
        {
            "network": "mlp",
            "model": "ladder",
            "ladder_dims": (1, 2),
            "ladder_units": (6,),
            "prior": "vamp",
        },
        (5, 3, 1),
    ),
}
# The C API runs graphs as a session does; these two have all kinds of inputs, fed from C.
BY_C_API = ("conv", "conditional")
NUM_CLASSES = 3
CHOOSES_SIGNATURES = ("posterior", "prior", "likelihood", "model")
SMALL_NETWORKS = {
    "conv": {
        "encoder_filters": (3, 4),
        "encoder_units": (6,),
        "decoder_units": (5,),
        "decoder_filters": (4, 4, 3),
    },
    "mlp": {"encoder_units": (6,), "decoder_units": (5,)},
}
SAMPLING = ("sample", "sample_with_temperature")


def rows(inputs, index):
    return {key: value[index] for key, value in inputs.items()}


# Rows in the requests to every signature: both example rows, the first, reversed, none.
QUESTIONS = {
    "both": slice(None),
    "first": slice(0, 1),
    "turned": slice(None, None, -1),
    "empty": slice(0, 0),
}


class Exported:
    """A model, its export, and the requests that are sent to it."""

    def __init__(self, name, folder):
        settings, image_shape = MODELS[name]
        network = SMALL_NETWORKS[settings.get("network", "conv")]
        config = ModelConfig(**{**SMALL, **network, **settings})
        model = assembly.build_model(config, image_shape, seed=0, num_classes=NUM_CLASSES)
        for index, variable in enumerate(model.trainable_variables):
            variable.assign_add(0.3 * tf.random.stateless_normal(variable.shape, [index, 0]))
        self.folder = str(folder)
        self.serving_model = ServingModel(model, anomaly_threshold=1.0)
        self.serving_model.save(self.folder)
        self.examples = make_example_inputs(self.serving_model)
        self.requests = [
            (signature, question)
            for signature in self.serving_model.signatures
            for question in QUESTIONS
        ]

    @functools.cached_property
    def wanted(self):
        """The model's own outputs for both rows, by signature and output."""
        signatures = self.serving_model.signatures
        return {
            name: {key: value.numpy() for key, value in signatures[name](**inputs).items()}
            for name, inputs in self.examples.items()
        }

    @property
    def task(self):
        return self.folder, [
            (signature, rows(self.examples[signature], QUESTIONS[question]))
            for signature, question in self.requests
        ]


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contract")
    return {name: Exported(name, folder / name) for name in MODELS}


@pytest.fixture(scope="module")
def all_answers(exports, tmp_path_factory):
    """The outputs in a process without this package, by (model, way), signature and question."""
    folder = tmp_path_factory.mktemp("answers")
    tasks = {
        "session": [export.task for export in exports.values()],
        "c_api": [exports[name].task for name in BY_C_API],
    }
    (folder / "task").write_bytes(pickle.dumps(tasks))
    program = pathlib.Path(__file__).with_name("answer_as_a_server.py")
    command = [sys.executable, "-I", str(program), str(folder / "task"), str(folder / "answers")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = pickle.loads((folder / "answers").read_bytes())
    return {
        (name, way): dict(zip(exports[name].requests, answers, strict=True))
        for way, names in (("session", MODELS), ("c_api", BY_C_API))
        for name, answers in zip(names, found[way], strict=True)
    }


def test_the_list_has_every_choice_of_the_settings():
    for field in dataclasses.fields(ModelConfig):
        if field.name in CHOOSES_SIGNATURES:
            listed = {settings.get(field.name, field.default) for settings, _ in MODELS.values()}
            assert listed == set(field.metadata["choices"])


@pytest.fixture(params=MODELS)
def export(request, exports):
    return exports[request.param]


@pytest.fixture(
    params=[*((name, "session") for name in MODELS), *((name, "c_api") for name in BY_C_API)],
    ids="-".join,
)
def asked(request, exports, all_answers):
    """An export, and its answers in one way."""
    return exports[request.param[0]], all_answers[request.param]


def test_answers_are_those_of_the_model(asked):
    export, answers = asked
    for signature, wanted in export.wanted.items():
        found = answers[signature, "both"]
        assert found.keys() == wanted.keys()
        for key, value in found.items():
            assert value.dtype == wanted[key].dtype
            assert np.all(np.isfinite(value))
            np.testing.assert_allclose(value, wanted[key], rtol=1e-5, atol=1e-5)


def test_a_row_is_answered_the_same_alone_and_in_any_order(asked):
    export, answers = asked
    for signature in export.examples:
        for key, both in answers[signature, "both"].items():
            first, turned = answers[signature, "first"][key], answers[signature, "turned"][key]
            np.testing.assert_allclose(first, both[:1], rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(turned, both[::-1], rtol=1e-5, atol=1e-5)
            if signature in SAMPLING and key == "z":
                np.testing.assert_array_equal(first, both[:1])
                np.testing.assert_array_equal(turned, both[::-1])


def test_an_empty_request_is_answered(asked):
    export, answers = asked
    for signature in export.examples:
        for key, value in answers[signature, "empty"].items():
            assert value.shape == (0, *answers[signature, "both"][key].shape[1:])


def read_saved_model(folder):
    content = saved_model_pb2.SavedModel()
    content.ParseFromString(pathlib.Path(folder, "saved_model.pb").read_bytes())
    (meta_graph,) = content.meta_graphs
    return meta_graph


def test_the_boundary_is_named_batched_and_of_known_sizes(export):
    allowed = {tf.float32, tf.int32, tf.int64, tf.bool, tf.string}
    signatures = dict(read_saved_model(export.folder).signature_def)
    del signatures["__saved_model_init_op"]
    assert set(signatures) == set(export.examples)
    for definition in signatures.values():
        assert definition.inputs
        for tensors in (definition.inputs, definition.outputs):
            for key, tensor in tensors.items():
                sizes = [dim.size for dim in tensor.tensor_shape.dim]
                assert not key.startswith("output_")
                assert sizes[0] == -1
                assert min(sizes[1:], default=1) > 0
                assert tf.as_dtype(tensor.dtype) in allowed


# Operations of training only, and random operations that would draw other numbers at each call.
FORBIDDEN = re.compile("Resource.*Apply|SymbolicGradient|Random(Standard|Uniform)|.*Grad$|Xla")


def test_the_graph_is_portable_and_holds_nothing_of_training(export):
    graph = read_saved_model(export.folder).graph_def
    functions = graph.library.function
    nodes = [*graph.node, *(node for function in functions for node in function.node_def)]
    assert len(nodes) > 100
    for element in (*functions, *nodes):
        assert not element.attr["_XlaMustCompile"].b
    assert not [node.op for node in nodes if FORBIDDEN.match(node.op)]


def test_methods_of_the_loaded_object_answer_in_python(exports):
    export = exports["conv"]
    loaded = tf.saved_model.load(export.folder)
    for signature, inputs in export.examples.items():
        if signature == "serving_default":
            continue
        wanted = export.wanted[signature]
        found = getattr(loaded, signature)(*inputs.values())
        assert found.keys() == wanted.keys()
        for key, value in found.items():
            np.testing.assert_allclose(value, wanted[key], rtol=1e-5, atol=1e-5)
