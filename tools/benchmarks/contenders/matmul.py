"""The ceiling of the machine: products of square matrices, which no convolution exceeds.

An "image" is one floating-point operation here, so images/s are FLOP/s.
"""

from __future__ import annotations

import time
from typing import Any

import tensorflow as tf
from turns import Contender, take_turns

SIZE = 2048


def build(case: dict[str, Any]) -> Contender:
    """Builds the product in the precision of the case."""
    matrix = tf.cast(tf.random.stateless_normal([SIZE, SIZE], [0, 0]), case["precision"])
    product = tf.function(lambda a: tf.linalg.matmul(a, a))

    def run(steps: int) -> tuple[int, float, float]:
        # The fastest product: the ceiling is what the machine reaches undisturbed.
        best = float("inf")
        for _ in range(steps):
            start = time.perf_counter()
            product(matrix)[0, 0].numpy()
            best = min(best, time.perf_counter() - start)
        return 2 * SIZE**3, best, 0.0

    return Contender(run, 0, 4)


if __name__ == "__main__":
    take_turns({"": build})
