import numpy as np
import pytest

from vae_lowlevel.data import batching
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.types import Examples


def test_epoch_order_is_a_permutation_by_seed_and_epoch():
    orders = [batching.epoch_order(seed, epoch, 50) for seed in (0, 1) for epoch in (0, 1, 2)]
    for order in orders:
        assert order.dtype == np.int32
        np.testing.assert_array_equal(np.sort(order), np.arange(50))
    assert len({tuple(order) for order in orders}) == len(orders)
    np.testing.assert_array_equal(batching.epoch_order(1, 2, 50), orders[-1])


def test_a_block_across_epochs_is_their_concatenation():
    order = batching.BatchOrder(count=23, batch_size=5, seed=9)
    assert order.steps_per_epoch == 4
    epochs = [batching.epoch_order(9, epoch, 23)[:20].reshape(4, 5) for epoch in range(6)]
    every = np.concatenate(epochs)
    # One call over all epochs, in small blocks, and from anywhere, as after a restart.
    whole = order.block(0, 24)
    assert whole.dtype == np.int32
    np.testing.assert_array_equal(whole, every)
    blocks = [order.block(step, 3) for step in range(0, 24, 3)]
    np.testing.assert_array_equal(np.concatenate(blocks), every)
    for step in (22, 3, 17, 0):
        resumed = batching.BatchOrder(count=23, batch_size=5, seed=9).block(step, 2)
        np.testing.assert_array_equal(resumed, every[step : step + 2])
        np.testing.assert_array_equal(order.block(step, 2), resumed)


def test_an_epoch_visits_no_example_twice():
    order = batching.BatchOrder(count=23, batch_size=5, seed=9)
    for epoch in range(3):
        visited = order.block(4 * epoch, 4).ravel()
        assert len(set(visited)) == 20
        assert set(visited) <= set(range(23))


def test_a_block_belongs_to_the_caller():
    order = batching.BatchOrder(count=6, batch_size=3, seed=0)
    before = order.block(0, 2).copy()
    order.block(0, 2)[:] = -1
    np.testing.assert_array_equal(order.block(0, 2), before)


def test_one_batch_is_enough_and_less_is_refused():
    assert batching.BatchOrder(count=5, batch_size=5, seed=0).steps_per_epoch == 1
    with pytest.raises(
        ConfigError, match=r"--batch_size=6 must be at most the 5 .*--validation_size"
    ):
        batching.BatchOrder(count=5, batch_size=6, seed=0)


def make_examples(count, factors):
    image = np.arange(count * 4, dtype=np.uint8).reshape(count, 2, 2, 1)
    columns = np.arange(count * 3, dtype=np.float32).reshape(count, 3)
    return Examples(image, np.arange(count, dtype=np.int32), columns if factors else None)


@pytest.mark.parametrize("factors", [True, False])
@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (4, [4]), (8, [4, 4]), (11, [4, 4, 3])])
def test_padded_batches_count_everything_once(count, sizes, factors):
    examples = make_examples(count, factors)
    batches = list(batching.padded_batches(examples, 4))
    assert [mask.sum() for _, mask in batches] == sizes
    seen = []
    for batch, mask in batches:
        assert mask.dtype == np.float32
        assert mask.shape == (4,)
        assert set(mask) <= {0, 1}
        assert batch.image.shape == (4, 2, 2, 1)
        assert batch.image.dtype == np.uint8
        filling = mask == 0
        np.testing.assert_array_equal(batch.image[filling], examples.image[[0] * filling.sum()])
        assert (batch.factors is not None) == factors
        seen.append(batch[mask == 1])
    np.testing.assert_array_equal(np.concatenate([part.label for part in seen]), examples.label)
    np.testing.assert_array_equal(np.concatenate([part.image for part in seen]), examples.image)
    if factors:
        columns = np.concatenate([part.factors for part in seen])
        np.testing.assert_array_equal(columns, examples.factors)


def test_no_examples_give_no_batch():
    assert list(batching.padded_batches(make_examples(0, True), 4)) == []


def test_chosen_examples_are_different_rows_in_their_order():
    image = np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1)
    split = Examples(image, np.arange(50, dtype=np.int32))
    chosen = batching.choose_examples(split, 10, seed=0)
    assert np.all(np.diff(chosen.label) > 0)
    assert len(chosen) == 10
    np.testing.assert_array_equal(chosen.image.ravel(), chosen.label)
    assert set(chosen.label) != set(batching.choose_examples(split, 10, seed=1).label)
    np.testing.assert_array_equal(batching.choose_examples(split, 99, seed=0).label, split.label)
