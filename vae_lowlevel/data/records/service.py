"""A record stream that workers of TensorFlow's data service read, shuffle and parse.

References:
    https://www.tensorflow.org/api_docs/python/tf/data/experimental/service
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from vae_lowlevel.data.records.shards import reason_of
from vae_lowlevel.data.records.stream import RecordStream
from vae_lowlevel.errors import ConfigError, DataError

ANSWER_SECONDS = 60.0
_CONNECT_SECONDS = 10.0


class ServiceStream:
    """A `RecordStream` that the workers of a data service read: each reads some of the shards.

    Args:
        stream: the stream to read. The workers open its files under the same paths.
        address: address of the dispatcher, grpc://<host>:<port>.
        workers: number of training processes that share a batch; must be 1.

    Raises:
        ConfigError: `workers` is not 1.
        DataError: the dispatcher does not answer, or it has no workers.
    """

    def __init__(self, stream: RecordStream, address: str, workers: int = 1) -> None:
        if workers > 1:
            raise ConfigError(
                f"--tf_data_service={address} feeds one training process, got {workers}: remove "
                "the flag, and each process reads the shards itself"
            )
        self._stream = stream
        self._address = address
        self.image_shape = stream.image_shape
        self._check_connection()
        self._check_answer()

    def batches(
        self, seed: int, epoch: int, step: int, batch_size: int, worker: int = 0, workers: int = 1
    ) -> tf.data.Dataset:
        """Returns a pass over all examples, each once, in an unspecified order.

        Args:
            seed: seed of the run.
            epoch: number of the epoch, from 0.
            step: ignored. The service does not know where an earlier pass ended, so the rest of an
                epoch comes from a new pass.
            batch_size: number of examples per step.
            worker: 0.
            workers: 1.

        Returns:
            images uint8 [B, H, W, C] and labels int32 [B].
        """
        records = self._stream.records(seed, epoch, is_ordered=False)
        batches = self._stream.parsed(records.batch(batch_size))
        # The last batch of each worker is smaller. `rebatch` combines these.
        return self._distribute(batches).rebatch(batch_size, drop_remainder=True)

    @contextmanager
    def named_damage(self) -> Iterator[None]:
        """Turns errors of the service, or of the files it reads, into one that names them.

        Raises:
            DataError: instead of any `tf.errors.OpError`.
        """
        try:
            with self._stream.named_damage():
                yield
        except DataError as error:
            raise DataError(f"--tf_data_service={self._address}: {error}") from error

    def _distribute(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        service = tf.data.experimental.service
        return dataset.apply(
            service.distribute(
                processing_mode=service.ShardingPolicy.DYNAMIC, service=self._address
            )
        )

    def _check_connection(self) -> None:
        host, _, port = self._address.removeprefix("grpc://").rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise DataError(
                f"--tf_data_service={self._address}: expected a dispatcher at this address, "
                f"found: {error}; start one as docs/scaling.md describes"
            ) from error

    def _check_answer(self) -> None:
        """Sends one element through the service: without workers, TensorFlow would never return."""
        answer: list[object] = []

        def ask() -> None:
            try:
                answer.extend(self._distribute(tf.data.Dataset.range(1)).as_numpy_iterator())
            except tf.errors.OpError as error:
                answer.append(error)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(ANSWER_SECONDS)
        if answer != [0]:
            found = (
                reason_of(answer[0]) if answer else f"no answer within {ANSWER_SECONDS:.0f} seconds"
            )
            raise DataError(
                f"--tf_data_service={self._address}: expected a dispatcher of this version of "
                f"TensorFlow with at least one worker, found: {found}"
            )
