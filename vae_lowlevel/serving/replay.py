"""A program that sends requests to an export in the way TensorFlow Serving does.

It imports TensorFlow and nothing of this package, so what works here works without the package.
Standard input is a pickled `(folder, requests)`, the arguments of `replay`. It is read after
TensorFlow is imported: the import runs while the export is being written. Faults are written to
standard output, one per line; the exit code is 0 if there are none.
"""

from __future__ import annotations

import os
import pickle
import sys


def replay(folder: str, requests: list) -> list[str]:
    """Computes requests in a session, by the tag and the tensor names of the export.

    Args:
        folder: the export's version folder.
        requests: (signature, {input: serialised TensorProto}, wanted, tolerance). `wanted` is
            {output: array}; an output may differ from it by `tolerance` times the largest absolute
            value of the array, at least 1. None if any finite numbers will do.

    Returns:
        One line per fault.
    """
    import numpy as np
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    faults = []
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], folder)
        for name, inputs, wanted, tolerance in requests:
            signature = meta_graph.signature_def[name]
            feed = {}
            for key, content in inputs.items():
                tensor = tf.make_ndarray(tensor_pb2.TensorProto.FromString(content))
                feed[signature.inputs[key].name] = tensor
            fetch = {key: tensor.name for key, tensor in signature.outputs.items()}
            try:
                answer = session.run(fetch, feed)
            except (tf.errors.OpError, ValueError) as error:
                faults.append(f"{name}: {error}")
                continue
            for key, value in answer.items():
                value = value.astype(np.float64)
                if not np.all(np.isfinite(value)):
                    faults.append(f"{name}: {key} is not finite")
                elif wanted is not None:
                    scale = np.abs(wanted[key]).max(initial=1)
                    error = np.abs(value - wanted[key]).max(initial=0)
                    if error > tolerance * scale:
                        faults.append(f"{name}: {key} differs by {error:.3g} from the model's")
    return faults


def main() -> int:
    """Replays the requests of standard input and returns the exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow  # noqa: F401 - early, while the export is being written

    try:
        folder, requests = pickle.load(sys.stdin.buffer)
    except EOFError:  # The export failed before there were requests.
        return 1
    faults = replay(folder, requests)
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
