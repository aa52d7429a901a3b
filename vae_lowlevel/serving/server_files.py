"""Settings for `tensorflow_model_server`, beside the versions of a model."""

from __future__ import annotations

import os

MODELS_FILE = "models.config"
BATCHING_FILE = "batching_parameters.txt"
MONITORING_FILE = "monitoring.config"

# Sizes to which the server fills its batches up; a request of more rows than the last is refused.
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)

_MODELS = """\
# --model_config_file of tensorflow_model_server. base_path is that of the Docker command in
# docs/deploy.md; without Docker, write the absolute path of this folder there.
model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
    # The newest version, as it appears. To roll back, or to serve two versions side by side, name
    # them instead:
    #   model_version_policy {{ specific {{ versions: 1 versions: 2 }} }}
    # and give them names that clients can ask for (/v1/models/{name}/labels/stable:predict):
    #   version_labels {{ key: "stable" value: 1 }}
    #   version_labels {{ key: "canary" value: 2 }}
    # The server refuses labels of versions that are not loaded yet, as at its start none is, unless
    # it is started with --allow_version_labels_for_unavailable_models=true.
    model_version_policy {{ latest {{ num_versions: 1 }} }}
  }}
}}
"""

_BATCHING = """\
# --batching_parameters_file of tensorflow_model_server, with --enable_batching=true: requests that
# wait at the same time are answered as one batch.
# A request of more rows than max_batch_size is refused.
max_batch_size {{ value: {largest} }}
# How long a request waits for company; one that stays alone waits that long in vain.
batch_timeout_micros {{ value: 1000 }}
# Batches that may wait; beyond, requests are answered as unavailable.
max_enqueued_batches {{ value: 100 }}
# Batches in work at once: as many as the machine has cores.
num_batch_threads {{ value: {threads} }}
# Batches are filled up to one of these sizes, which the warm-up file has requests of.
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
    """Writes the settings into a model's folder; those that are there stay as they are.

    Args:
        folder: of the model's versions.
        name: of the model on the server.
    """
    allowed = "\n".join(f"allowed_batch_sizes: {size}" for size in BATCH_SIZES)
    batching = _BATCHING.format(
        largest=BATCH_SIZES[-1], threads=os.cpu_count() or 1, allowed=allowed
    )
    _write_new(os.path.join(folder, MODELS_FILE), _MODELS.format(name=name))
    _write_new(os.path.join(folder, BATCHING_FILE), batching)
    _write_new(os.path.join(folder, MONITORING_FILE), _MONITORING)


def _write_new(path: str, text: str) -> None:
    """Writes a file that is not there yet; a server that reads it sees all of it."""
    if os.path.exists(path):
        return
    beside = f"{path}.{os.getpid()}.partial"
    with open(beside, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(beside, path)
