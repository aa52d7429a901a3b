import os
import pathlib
import re
import subprocess

import pytest
from google.protobuf import text_format

from vae_lowlevel.serving.server_files import (
    BATCH_SIZES,
    SERVER_VERSION,
    service_name,
    write_server_files,
)

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "deploy.md"


def test_server_files_are_written_once(tmp_path):
    folder = tmp_path / "fashion"
    folder.mkdir()
    write_server_files(str(folder), "fashion")
    names = {"models.config", "batching_parameters.txt", "monitoring.config", "kserve.yaml"}
    assert set(os.listdir(folder)) == names
    (folder / "models.config").write_text("mine")
    write_server_files(str(folder), "fashion")
    assert (folder / "models.config").read_text() == "mine"
    assert os.listdir(tmp_path) == ["fashion"]


def parse_models(text):
    model_server_config_pb2 = pytest.importorskip(
        "tensorflow_serving.config.model_server_config_pb2", reason="needs the extra `serving`"
    )
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse(text, config)
    return list(config.model_config_list.config)


def test_models_config_is_what_the_server_parses(tmp_path):
    write_server_files(str(tmp_path), "fashion")
    (model,) = parse_models((tmp_path / "models.config").read_text())
    assert (model.name, model.base_path) == ("fashion", "/models/fashion")
    assert model.model_version_policy.latest.num_versions == 1


def test_the_versions_and_labels_of_the_comment_are_settings_of_the_server(tmp_path):
    write_server_files(str(tmp_path), "fashion")
    text = (tmp_path / "models.config").read_text()
    text = re.sub(r"#   (model_version_policy|version_labels)", r"\1", text)
    text = text.replace("model_version_policy { latest { num_versions: 1 } }", "")
    (model,) = parse_models(text)
    assert list(model.model_version_policy.specific.versions) == [1, 2]
    assert dict(model.version_labels) == {"stable": 1, "canary": 2}


def test_the_document_s_command_for_a_server_without_docker_changes_base_path_alone(tmp_path):
    folder = tmp_path / "saved_models" / "fashion"
    folder.mkdir(parents=True)
    write_server_files(str(folder), "fashion")
    (command,) = re.findall(r"^sed .*?[^\\]$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    command = command.replace("> /tmp/models.config", "")
    shown = subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True)
    before = (folder / "models.config").read_text().splitlines()
    after = shown.stdout.decode().splitlines()
    changed = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert changed == [('    base_path: "/models/fashion"', f'    base_path: "{folder}"')]


def test_batching_parameters_keep_the_rules_of_the_server(tmp_path):
    write_server_files(str(tmp_path), "fashion")
    lines = (tmp_path / "batching_parameters.txt").read_text().splitlines()
    settings = [line.split(":") for line in lines if line.startswith("allowed_batch_sizes")]
    sizes = [int(value) for _, value in settings]
    assert sizes == sorted(set(sizes)) == list(BATCH_SIZES)
    # The last must be max_batch_size.
    assert f"max_batch_size {{ value: {sizes[-1]} }}" in lines
    assert "batch_timeout_micros { value: 0 }" in lines


def read_mappings(text):
    """Reads the YAML of nested mappings whose values are texts, with or without quotes."""
    root = {}
    open_mappings = [(-1, root)]
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = re.fullmatch(r'( *)([A-Za-z]+):(?: ("[^"\\]*"|[A-Za-z0-9./]+))?', line)
        assert found, line
        indent = len(found[1])
        while open_mappings[-1][0] >= indent:
            open_mappings.pop()
        value = {} if found[3] is None else found[3].strip('"')
        assert found[2] not in open_mappings[-1][1], f"twice: {line}"
        open_mappings[-1][1][found[2]] = value
        if found[3] is None:
            open_mappings.append((indent, value))
    return root


def inference_service(service, name):
    """By the fields of serving.kserve.io/v1beta1."""
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": service},
        "spec": {
            "predictor": {
                "model": {
                    "modelFormat": {"name": "tensorflow"},
                    "runtimeVersion": SERVER_VERSION,
                    "storageUri": f"gs://BUCKET/saved_models/{name}",
                    "resources": {
                        "requests": {"cpu": "1", "memory": "1Gi"},
                        "limits": {"cpu": "2", "memory": "2Gi"},
                    },
                }
            }
        },
    }


@pytest.mark.parametrize(
    ("name", "service"), [("fashion", "fashion"), ("My_Run.2", "my-run-2"), ("null", "null")]
)
def test_kserve_s_inference_service(tmp_path, name, service):
    write_server_files(str(tmp_path), name)
    text = (tmp_path / "kserve.yaml").read_text()
    wanted = inference_service(service, name)
    assert read_mappings(text) == wanted
    assert f'  name: "{service}"' in text.splitlines(), "YAML reads null without quotes as no text"
    # The arguments for batching are a comment; they name a file that is in the folder.
    (path,) = re.findall(r"--batching_parameters_file=/mnt/models/(\S+)", text)
    assert (tmp_path / path).is_file()


@pytest.mark.parametrize("name", ["fashion", "null", 'a"b\\c: #d', "größe 2"])
def test_kserve_s_inference_service_as_a_library_reads_it(tmp_path, name):
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    write_server_files(str(tmp_path), name)
    text = (tmp_path / "kserve.yaml").read_text()
    assert yaml.safe_load(text) == inference_service(service_name(name), name)
    batching = re.sub(r"# (args:|  - --)", r"\1", text)
    model = yaml.safe_load(batching)["spec"]["predictor"]["model"]
    assert model["args"] == [
        "--enable_batching=true",
        "--batching_parameters_file=/mnt/models/batching_parameters.txt",
    ]


@pytest.mark.parametrize("name", ["fashion", "A.b_c", "2d", "--x--", "###", "a" * 38 + "-b", "é"])
def test_names_of_services_are_those_of_kserve(name):
    service = service_name(name)
    assert re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", service)
    assert len(f"{service}-predictor-default-n9zs6") <= 63


def test_the_document_names_the_same_server():
    found = re.findall(r"tensorflow/serving:([\w.]+)", DOCUMENT.read_text())
    assert found
    assert set(found) == {SERVER_VERSION}
