import json
import os

import pytest

from vae_lowlevel.config import StrategyConfig
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.training.cluster import Cluster, find_cluster


def tf_config(cluster, kind="worker", index=0):
    return {
        "TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}}),
    }


def find(environment, **settings):
    config = StrategyConfig(distribution_strategy="multi_worker_mirrored", **settings)
    return find_cluster(config, environment)


def test_tf_config_names_workers_and_own_place():
    found = find(tf_config({"worker": ["a:1", "b:2", "c:3"]}, index=2))
    assert found == Cluster(("a:1", "b:2", "c:3"), 2)


@pytest.mark.parametrize(("kind", "index", "place"), [("chief", 0, 0), ("worker", 1, 2)])
def test_the_chief_of_tf_config_comes_first(kind, index, place):
    found = find(tf_config({"worker": ["b:2", "c:3"], "chief": ["a:1"]}, kind, index))
    assert found == Cluster(("a:1", "b:2", "c:3"), place)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, "needs the variable TF_CONFIG"),
        ({"TF_CONFIG": "{"}, "expected JSON"),
        ({"TF_CONFIG": "[]"}, "an entry cluster of type dict"),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}}'}, "an entry task of type dict"),
        (tf_config({}), "jobs worker"),
        (tf_config({"worker": ["a:1"], "ps": ["b:1"]}), "['ps', 'worker']"),
        (tf_config({"worker": "a:1"}), "an entry worker of type list"),
        (tf_config({"worker": ["a:1"], "chief": []}), "one chief"),
        (tf_config({"worker": ["a"]}), "addresses host:port, found a"),
        (tf_config({"worker": ["http://a:1"]}), "addresses host:port"),
        (tf_config({"worker": ["a:1", "a:1"]}), "each address once"),
        (tf_config({"worker": ["a:65536"]}), "addresses host:port"),
        ({"TF_CONFIG": "[" * 100_000}, "expected JSON"),
        (tf_config({"worker": ["a:1"]}, index=1), "found ('worker', 1)"),
        (tf_config({"worker": ["a:1"]}, kind="chief"), "found ('chief', 0)"),
        (tf_config({"worker": ["a:1"]}, index="0"), "found ('worker', '0')"),
    ],
    ids=str,
)
def test_a_bad_tf_config_is_refused(environment, named):
    with pytest.raises(ConfigError) as caught:
        find(environment)
    assert named in str(caught.value)
    assert '"task": {"type": "worker"' in str(caught.value)


SLURM = {
    "SLURM_PROCID": "2",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NODELIST": "node[07-08]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
}


def test_slurm_gives_each_task_a_port_of_its_node(monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    found = find(SLURM, cluster_resolver="slurm", worker_port=9000)
    assert found == Cluster(("node07:9000", "node07:9001", "node08:9000", "node08:9001"), 2)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"


def test_outside_of_srun_slurm_is_refused():
    with pytest.raises(ConfigError, match=r"SLURM_PROCID.* not set; start the workers with srun"):
        find({}, cluster_resolver="slurm")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"SLURM_STEP_NUM_TASKS": "four"}, "expected SLURM_PROCID below .*four"),
        ({"SLURM_PROCID": "4"}, "expected SLURM_PROCID below"),
        ({"SLURM_STEP_NODELIST": "node[07-"}, "do not describe 4 tasks"),
        ({"SLURM_STEP_TASKS_PER_NODE": "2(x"}, "do not describe 4 tasks"),
    ],
    ids=str,
)
def test_damaged_variables_of_slurm_are_refused(monkeypatch, changed, named):
    environment = {**SLURM, **changed}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=named):
        find(environment, cluster_resolver="slurm")


def test_ports_of_slurm_stay_below_their_limit(monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"--worker_port=65535: .* above 65535"):
        find(SLURM, cluster_resolver="slurm", worker_port=65535)


KUBERNETES = {"cluster_resolver": "kubernetes", "num_workers": 3, "kubernetes_service": "vae"}


def test_kubernetes_addresses_are_those_of_an_indexed_job():
    pod = {"JOB_COMPLETION_INDEX": "1", "HOSTNAME": "my-run-1"}
    found = find(pod, **KUBERNETES)
    assert found == Cluster(("my-run-0.vae:8888", "my-run-1.vae:8888", "my-run-2.vae:8888"), 1)


@pytest.mark.parametrize(
    "pod",
    [
        {},
        {"JOB_COMPLETION_INDEX": "1", "HOSTNAME": "my-run-x7f2"},
        {"JOB_COMPLETION_INDEX": "3", "HOSTNAME": "my-run-3"},
        {"JOB_COMPLETION_INDEX": "one", "HOSTNAME": "my-run-one"},
        {"JOB_COMPLETION_INDEX": "1" * 5000, "HOSTNAME": "my-run-1"},
    ],
    ids=str,
)
def test_a_pod_of_another_kind_is_refused(pod):
    with pytest.raises(ConfigError, match="completionMode: Indexed"):
        find(pod, **KUBERNETES)
