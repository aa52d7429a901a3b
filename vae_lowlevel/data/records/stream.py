"""A training split that stays in its TFRecord shards and is read as a shuffled stream.

tf.data reads the shards in a random order for each epoch, several at once and one record of each in
turn. The records pass through a shuffle buffer. Held-out examples are skipped by their number.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from vae_lowlevel.data.batching import permutation, raw_draws
from vae_lowlevel.data.images import margins
from vae_lowlevel.data.records.index import RecordIndex, check_shards
from vae_lowlevel.data.records.shards import FEATURES, READ_ERRORS, reason_of
from vae_lowlevel.errors import DataError
from vae_lowlevel.types import Examples

_SHARDS_AT_ONCE = 16
_READ_BYTES = 1 << 20  # read buffer per shard
_MAX_ROWS = 512  # records per call of an operation, if they fit into _READ_BYTES


class RecordStream:
    """A training split in shards.

    Attributes:
        image_shape: (H, W, C) of the images that it returns, after padding.
    """

    def __init__(
        self,
        index: RecordIndex,
        numbers: np.ndarray,
        *,
        shuffle_buffer: int,
        pad_to: int | None,
        num_classes: int,
    ) -> None:
        """Creates the split; reads nothing yet.

        Args:
            index: all records of the shards.
            numbers: int32 [N], ascending: the numbers of the records of this split.
            shuffle_buffer: number of examples in the shuffle buffer.
            pad_to: height and width to which images are padded with zeros; None for no padding.
            num_classes: labels are -1 (no class) or less than this number.
        """
        self._index = index
        self._numbers = numbers
        self._shuffle_buffer = shuffle_buffer
        self._num_classes = num_classes
        height, width, channels = index.image_shape
        self._rows_at_once = min(_MAX_ROWS, 1 + _READ_BYTES // (height * width * channels))
        self._margins = [(0, 0), (0, 0), (0, 0)]
        if pad_to is not None:
            self._margins = margins(height, width, pad_to)
            height = width = pad_to
        self.image_shape = (height, width, channels)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, rows: slice | np.ndarray) -> Examples:
        """Reads examples of this split by their row numbers, in the order of the shards."""
        return self.read(self._numbers[rows])

    def read(self, numbers: np.ndarray) -> Examples:
        """Reads records by their numbers in the index, also those of other splits.

        Args:
            numbers: int [n].

        Returns:
            n examples, in this order.

        Raises:
            DataError: a record is damaged or its image has another size.
        """
        image = np.empty([len(numbers), *self.image_shape], np.uint8)
        label = np.empty([len(numbers)], np.int32)
        files = np.array(self._index.files)[self._index.files_of(numbers)]
        places = tf.data.Dataset.from_tensor_slices((files, self._index.offset[numbers]))
        # Not in parallel: reading one record at an offset takes little time.
        batches = places.map(_record_at).batch(self._rows_at_once).map(self._parse)
        row = 0
        with self.named_damage():
            for images, labels in batches.as_numpy_iterator():
                image[row : row + len(images)] = images
                label[row : row + len(images)] = labels
                row += len(images)
        return Examples(image, label)

    def batches(
        self, seed: int, epoch: int, step: int, batch_size: int, worker: int = 0, workers: int = 1
    ) -> tf.data.Dataset:
        """Returns the batches of an epoch, or one worker's rows of each batch.

        Args:
            seed: seed of the run.
            epoch: number of the epoch, from 0.
            step: number of batches to skip. Their records are read but not parsed.
            batch_size: number of examples per batch, B, over all workers.
            worker: which rows to return: B / W rows from row worker * B / W on.
            workers: number of workers that share a batch, W; divides B.

        Returns:
            images uint8 [B / W, H, W, C] and labels int32 [B / W].
        """
        rows = batch_size // workers
        records = self.records(seed, epoch).skip(step * batch_size)
        records = records.batch(batch_size, drop_remainder=True)
        if workers > 1:
            records = records.map(lambda batch: batch[worker * rows : (worker + 1) * rows])
        return self.parsed(records)

    def records(self, seed: int, epoch: int, *, is_ordered: bool = True) -> tf.data.Dataset:
        """Returns the serialized examples of an epoch, each once.

        Args:
            seed: seed of the run.
            epoch: number of the epoch, from 0.
            is_ordered: True for an order that depends only on (seed, epoch); False for the order in
                which they are read.

        Returns:
            scalar strings. The elements of the source are shards, so a data service can distribute
            them.
        """
        files = np.array(self._index.files)
        order = permutation(len(files), "shard_order", seed, epoch)
        shards = tf.data.Dataset.from_tensor_slices((files[order], self._index.first[:-1][order]))
        records = shards.interleave(
            functools.partial(self._open_shard, held_out=self._held_out()),
            cycle_length=min(_SHARDS_AT_ONCE, len(files)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=is_ordered,
        )
        (draw,) = raw_draws(1, "shuffle", seed, epoch)
        # Dataset.shuffle would also depend on the global seed (tf.random.set_seed).
        shuffled = tf.raw_ops.ShuffleDataset(
            input_dataset=tf.data.experimental.to_variant(records),
            buffer_size=tf.constant(min(self._shuffle_buffer, len(self)), tf.int64),
            seed=tf.constant(0, tf.int64),
            seed2=tf.constant(int(draw >> np.uint64(1)), tf.int64),
            output_types=[tf.string],
            output_shapes=[[]],
            reshuffle_each_iteration=False,
        )
        return tf.data.experimental.from_variant(shuffled, tf.TensorSpec([], tf.string))

    def parsed(self, records: tf.data.Dataset) -> tf.data.Dataset:
        """Parses batches of records into images uint8 [B, H, W, C] and labels int32 [B]."""
        return records.map(self._parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    @contextmanager
    def named_damage(self) -> Iterator[None]:
        """Turns errors of a pipeline into one that names the damaged file.

        Raises:
            DataError: instead of any of `READ_ERRORS`.
        """
        try:
            yield
        except READ_ERRORS as error:
            check_shards(self._index.files, self._index.image_shape, self._num_classes)
            raise DataError(
                f"{self._index.files[0]} and {len(self._index.files) - 1} other shards could not "
                f"be read: {reason_of(error)}. A second attempt found no damage: run the same "
                "command again"
            ) from error

    def _held_out(self) -> tf.Tensor | None:
        """Returns the numbers of other splits, int64, ascending; None if there are none."""
        held_out = np.ones([len(self._index)], bool)
        held_out[self._numbers] = False
        (numbers,) = np.nonzero(held_out)
        return tf.constant(numbers, tf.int64) if len(numbers) else None

    def _open_shard(
        self, file: tf.Tensor, first: tf.Tensor, held_out: tf.Tensor | None
    ) -> tf.data.Dataset:
        """Returns the records of a shard except those held out."""
        records = tf.data.TFRecordDataset(file, buffer_size=_READ_BYTES)
        if held_out is None:
            return records

        def keep(chunk: tf.Tensor, records: tf.Tensor) -> tf.Tensor:
            numbers = first + chunk * self._rows_at_once + tf.range(tf.size(records, tf.int64))
            place = tf.searchsorted(held_out, numbers, out_type=tf.int64)
            nearest = tf.gather(held_out, tf.minimum(place, len(held_out) - 1))
            return tf.boolean_mask(records, nearest != numbers)

        # In batches: one call per record would cost more than reading and parsing it.
        return records.batch(self._rows_at_once).enumerate().map(keep).unbatch()

    def _parse(self, records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps records [B] to images uint8 [B, H, W, C] and labels int32 [B].

        A wrong image fails in `reshape` or `ensure_shape`, a wrong label in `gather`. An assertion
        would be a side effect, and TensorFlow does not run a function with side effects in
        parallel.
        """
        parsed = tf.io.parse_example(records, FEATURES)
        pixels = tf.io.decode_raw(parsed["image"], tf.uint8)
        for shape in (tf.reduce_min(parsed["shape"], 0), tf.reduce_max(parsed["shape"], 0)):
            shape = tf.concat([tf.shape(records, tf.int64), shape], 0)
            images = tf.ensure_shape(tf.reshape(pixels, shape), [None, *self._index.image_shape])
        images = tf.pad(images, [(0, 0), *self._margins])
        labels = tf.gather(tf.range(-1, self._num_classes), parsed["label"] + 1)
        rows = records.shape[0]
        return tf.ensure_shape(images, [rows, *self.image_shape]), labels


def _record_at(file: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Reads the record that begins at an offset, in bytes."""
    records = tf.raw_ops.TFRecordDatasetV2(
        filenames=[file], compression_type="", buffer_size=0, byte_offsets=[offset]
    )
    spec = tf.TensorSpec([], tf.string)
    return tf.data.experimental.from_variant(records, spec).take(1).get_single_element()
