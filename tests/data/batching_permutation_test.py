import numpy as np
import pytest

from vae_lowlevel.data.batching import permutation


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_each_number_once(count):
    order = permutation(count, "purpose", 3)
    assert order.dtype == np.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(count))


def test_purpose_and_every_number_matter():
    keys = [("a", 0, 0), ("b", 0, 0), ("a", 1, 0), ("a", 0, 1)]
    orders = [tuple(permutation(100, *key)) for key in keys]
    assert len(set(orders)) == len(keys)
    assert tuple(permutation(100, *keys[0])) == orders[0]


def test_all_orders_are_equally_likely():
    drawn = [tuple(permutation(3, "purpose", number)) for number in range(3000)]
    _, frequency = np.unique(drawn, axis=0, return_counts=True)
    # Five standard deviations of a binomial with probability 1/6.
    assert frequency == pytest.approx([500] * 6, abs=5 * np.sqrt(3000 * 5 / 36))


def test_golden_order():
    """From NumPy 2.4: `argsort(Philox([crc32(b"purpose"), 5]).random_raw(8))`. Exact."""
    assert permutation(8, "purpose", 5).tolist() == [7, 5, 0, 2, 1, 3, 4, 6]
