import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.config import StrategyConfig
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.training.strategy import check_batch_size, join_workers, place_on_replicas


def test_one_device_is_one_replica():
    workers = join_workers(StrategyConfig())
    assert (workers.strategy.num_replicas_in_sync, workers.count, workers.is_chief) == (1, 1, True)
    assert workers.share(2.5) == [2.5]
    assert workers.any(True)
    assert not workers.any(False)


def test_mirrored_without_gpus_spans_the_logical_cpus(two_logical_cpus):
    workers = join_workers(StrategyConfig(distribution_strategy="mirrored"))
    assert workers.strategy.num_replicas_in_sync == len(two_logical_cpus) == 2
    assert workers.count == 1


def test_data_are_placed_on_the_device_of_each_replica(two_logical_cpus):
    strategy = join_workers(StrategyConfig(distribution_strategy="mirrored")).strategy
    placed = strategy.experimental_local_results(place_on_replicas(strategy, np.arange(3)))
    assert [value.device[-6:] for value in placed] == [cpu.name[-6:] for cpu in two_logical_cpus]
    for value in placed:
        np.testing.assert_array_equal(value, [0, 1, 2])


@pytest.mark.parametrize("strategy", ["mirrored", "multi_worker_mirrored"])
def test_gpus_that_are_not_there_are_refused_with_the_install_line(strategy, monkeypatch):
    monkeypatch.setenv(
        "TF_CONFIG", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}'
    )
    with pytest.raises(ConfigError, match=r"--num_gpus=2.*sees 0; .*tensorflow\[and-cuda\]"):
        join_workers(StrategyConfig(distribution_strategy=strategy, num_gpus=2))


def test_a_tpu_that_is_not_there_is_refused(monkeypatch):
    def fail(name):
        raise ValueError(f"no TPU {name}\nmore lines")

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", fail)
    with pytest.raises(ConfigError, match=r"--tpu=mine: expected a TPU .* found: no TPU mine$"):
        join_workers(StrategyConfig(distribution_strategy="tpu", tpu="mine"))


def test_batches_that_replicas_cannot_share_alike_are_refused():
    check_batch_size(96, 8, 4)
    with pytest.raises(ConfigError, match=r"--batch_size=100 .* multiple of 32"):
        check_batch_size(100, 8, 4)
