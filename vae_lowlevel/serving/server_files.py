"""Settings for TensorFlow Serving and for KServe, in the same folder as the versions of a model."""

from __future__ import annotations

import json
import os
import re

from vae_lowlevel import files
from vae_lowlevel.serving.staging import staging_folder

MODELS_FILE = "models.config"
BATCHING_FILE = "batching_parameters.txt"
MONITORING_FILE = "monitoring.config"
KSERVE_FILE = "kserve.yaml"

# The image tensorflow/serving of this version reads what the TensorFlow of this package writes.
SERVER_VERSION = "2.21.0"

# Sizes to which the server pads its batches; a request of more rows than the last is refused.
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)

_MODELS = """\
# --model_config_file of tensorflow_model_server. base_path is that of the Docker command in
# docs/deploy.md; without Docker, write the absolute path of this folder there.
model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
    # Serves the newest version as soon as it appears. To roll back, or to serve two versions at the
    # same time, name them instead:
    #   model_version_policy {{ specific {{ versions: 1 versions: 2 }} }}
    # and give them labels that clients can request (/v1/models/{name}/labels/stable:predict):
    #   version_labels {{ key: "stable" value: 1 }}
    #   version_labels {{ key: "canary" value: 2 }}
    # With labels, start the server with --allow_version_labels_for_unavailable_models=true. Without
    # it, a label of a version that is not loaded yet (none is when the server starts) ends the
    # start; in an edit of this file, the whole edit is refused, and only the log says so. With it,
    # a label can still not be moved to a version that is not loaded: name the version first.
    model_version_policy {{ latest {{ num_versions: 1 }} }}
  }}
}}
"""

_BATCHING = """\
# --batching_parameters_file of tensorflow_model_server, with --enable_batching=true: requests that
# wait at the same time are computed as one batch.
# A request of more rows than max_batch_size is refused.
max_batch_size {{ value: {largest} }}
# How long a batch that is not full waits for more requests. With 0, it is computed as soon as a
# thread is free: the requests that arrive while all threads compute become one batch. Larger values
# can make larger batches, but a lone request waits for nothing. Measure with your clients.
batch_timeout_micros {{ value: 0 }}
# Batches that may wait; further requests are answered as unavailable.
max_enqueued_batches {{ value: 100 }}
# Batches computed at the same time: the number of cores of the machine.
num_batch_threads {{ value: {threads} }}
# Batches are padded to one of these sizes; the warm-up file has requests of each.
{allowed}
"""

_MONITORING = """\
# --monitoring_config_file of tensorflow_model_server: http://HOST:8501/monitoring/prometheus/metrics
prometheus_config {
  enable: true
  path: "/monitoring/prometheus/metrics"
}
"""

_KSERVE = """\
# An InferenceService for KServe: replace BUCKET, then kubectl apply -f kserve.yaml
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  # Also the name of the model in requests: /v1/models/NAME:predict
  name: {service}
spec:
  predictor:
    model:
      modelFormat:
        name: tensorflow
      # Tag of the image tensorflow/serving. Without it, KServe starts its own default, which may be
      # older than the TensorFlow that wrote the export.
      runtimeVersion: "{version}"
      # The folder of the versions, with 1/, 2/ and so on. KServe copies it to /mnt/models.
      storageUri: {uri}
      # With batching:
      # args:
      #   - --enable_batching=true
      #   - --batching_parameters_file=/mnt/models/{batching}
      resources:
        requests:
          cpu: "1"
          memory: 1Gi
        limits:
          cpu: "2"
          memory: 2Gi
"""

# KServe appends "-predictor-default-" and 5 characters to the name of a service, and a name in DNS
# has at most 63.
_MOST_SERVICE_CHARACTERS = 39


def service_name(name: str) -> str:
    """Returns a name that KServe accepts: `[a-z]([-a-z0-9]*[a-z0-9])?`, at most 39 characters.

    Args:
        name: name of an export.

    Example:
        >>> service_name("Fashion_MNIST 2")
        'fashion-mnist-2'
        >>> service_name("32px")
        'vae-32px'
    """
    service = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
    if not service[:1].isalpha():
        service = f"vae-{service}"
    return service[:_MOST_SERVICE_CHARACTERS].rstrip("-")


def write_server_files(folder: str, name: str) -> None:
    """Writes the settings into a model's folder; existing files are kept as they are.

    Args:
        folder: folder of the model's versions.
        name: name of the model on the server.
    """
    allowed = "\n".join(f"allowed_batch_sizes: {size}" for size in BATCH_SIZES)
    batching = _BATCHING.format(
        largest=BATCH_SIZES[-1], threads=os.cpu_count() or 1, allowed=allowed
    )
    texts = {
        MODELS_FILE: _MODELS.format(name=name),
        BATCHING_FILE: batching,
        MONITORING_FILE: _MONITORING,
        KSERVE_FILE: _KSERVE.format(
            # A name such as "yes" or "null" is a text only in quotes.
            service=json.dumps(service_name(name)),
            version=SERVER_VERSION,
            uri=json.dumps(f"gs://BUCKET/saved_models/{name}"),
            batching=BATCHING_FILE,
        ),
    }
    # A server sees whole files only. Two exports at the same time write the same.
    with staging_folder(os.path.dirname(folder)) as staging:
        for file_name, text in texts.items():
            path = os.path.join(folder, file_name)
            if not os.path.exists(path):
                files.write(os.path.join(staging, file_name), text.encode())
                os.replace(os.path.join(staging, file_name), path)
    files.sync(folder)
