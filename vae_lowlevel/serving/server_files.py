"""Settings for `tensorflow_model_server`, in the same folder as the versions of a model."""

from __future__ import annotations

import os

from vae_lowlevel import files
from vae_lowlevel.serving.staging import staging_folder

MODELS_FILE = "models.config"
BATCHING_FILE = "batching_parameters.txt"
MONITORING_FILE = "monitoring.config"

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
    # The server refuses labels of versions that are not loaded yet (none is when it starts), unless
    # it is started with --allow_version_labels_for_unavailable_models=true.
    model_version_policy {{ latest {{ num_versions: 1 }} }}
  }}
}}
"""

_BATCHING = """\
# --batching_parameters_file of tensorflow_model_server, with --enable_batching=true: requests that
# wait at the same time are computed as one batch.
# A request of more rows than max_batch_size is refused.
max_batch_size {{ value: {largest} }}
# How long a request waits for others; a lone request waits this long for nothing.
batch_timeout_micros {{ value: 1000 }}
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
    }
    # A server sees whole files only. Two exports at the same time write the same.
    with staging_folder(os.path.dirname(folder)) as staging:
        for file_name, text in texts.items():
            path = os.path.join(folder, file_name)
            if not os.path.exists(path):
                files.write(os.path.join(staging, file_name), text.encode())
                os.replace(os.path.join(staging, file_name), path)
    files.sync(folder)
