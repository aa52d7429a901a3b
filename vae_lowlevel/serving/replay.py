"""Replays requests against an export, the way TensorFlow Serving answers them; a program.

It imports TensorFlow alone, none of this package: what works here works without it. Standard input
is a pickled `(folder, requests)` as `replay` takes them, read after TensorFlow was imported, so
that the import costs no time while the export is being written. What is wrong goes to standard
output; exit code 0 when nothing is.
"""

from __future__ import annotations

import os
import pickle
import sys


def replay(folder: str, requests: list) -> list[str]:
    """Answers requests through a session, by the tag and the names that the export gives.

    Args:
        folder: of the export's version.
        requests: (signature, {input: serialised TensorProto}, wanted, tolerance); wanted is
            {output: array}, of which an output may differ by `tolerance` times its largest number,
            at least 1, or None where all that is asked for is an answer of finite numbers.

    Returns:
        One line for each fault.
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
    """Reads what to do, replays it and returns the exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow  # noqa: F401 - while the export is being written

    try:
        folder, requests = pickle.load(sys.stdin.buffer)
    except EOFError:  # The export was given up.
        return 1
    faults = replay(folder, requests)
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
