"""A program that computes requests in a session and with the C API, with TensorFlow alone.

python answer_as_a_server.py TASK ANSWERS; TASK is pickled {way: [(folder, requests)]}, requests a
list of (signature, inputs); ANSWERS will be {"session": [...], "c_api": [...]} of answers.
"""

import pathlib
import pickle
import sys

import tensorflow as tf

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from c_api import CSession


def by_session(folder, requests):
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], folder)
        answers = []
        for name, inputs in requests:
            signature = meta_graph.signature_def[name]
            feed = {signature.inputs[key].name: value for key, value in inputs.items()}
            fetch = {key: tensor.name for key, tensor in signature.outputs.items()}
            answers.append(session.run(fetch, feed))
    return answers


def by_c_api(folder, requests):
    session = CSession(folder)
    return [session.run(name, inputs) for name, inputs in requests]


task = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
answers = {
    "session": [by_session(*exported) for exported in task["session"]],
    "c_api": [by_c_api(*exported) for exported in task["c_api"]],
}
pathlib.Path(sys.argv[2]).write_bytes(pickle.dumps(answers))
assert not [name for name in sys.modules if name.startswith(("vae_lowlevel", "tensorflow_prob"))]
