"""One training step, and the block of steps that the device runs without coming back to Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from vae_lowlevel.randomness import BatchNoise, fold, make_seed
from vae_lowlevel.training.devices import Compilation
from vae_lowlevel.training.state import TrainState
from vae_lowlevel.types import Batch, to_unit

TrainBlock = Callable[..., tf.Tensor]

# Reported for each step, after the objective's own terms and schedules.
STEP_SCALARS = ("learning_rate", "gradient_norm", "skipped")


def step_columns(objective: Any, state: TrainState) -> tuple[str, ...]:
    """Returns the names of what a step reports, in order."""
    scale = () if state.loss_scale is None else ("loss_scale",)
    return (*objective.terms, *objective.schedules, *scale, *STEP_SCALARS)


def make_train_block(
    state: TrainState,
    objective: Callable[..., Any],
    learning_rate: Callable[[tf.Tensor], tf.Tensor],
    strategy: tf.distribute.Strategy,
    *,
    batch_size: int,
    accumulate_steps: int = 1,
    block_steps: int,
    clip: Callable[[list[tf.Tensor]], Any],
    seed: int,
    compilation: Compilation,
) -> TrainBlock:
    """Makes the compiled function that trains for a block of steps.

    Args:
        state: trained in place; built inside the strategy's scope.
        objective: (model, batch, noise, step, global_mean) -> named tuple of [B] terms with `loss`;
            `terms` are their names, `schedules` what changes over the run, by name.
        learning_rate: step -> rate.
        strategy: runs the step on each of its replicas.
        batch_size: examples a step over all replicas.
        accumulate_steps: parts in which a replica goes through its examples of a step; more than
            one only for an objective that does not use `global_mean`.
        block_steps: most steps of one call.
        clip: gradients -> named tuple `gradients`, `norm`, `is_finite`: `optimizers.clipping`.
        seed: of the run.
        compilation: what XLA compiles; "block" for one replica alone.

    Returns:
        block(images, labels, order, steps) -> float32 [block_steps, K], the global means
        of what `step_columns` names; rows after `steps` are zero. `images` uint8 [N, H, W, C],
        `labels` int32 [N], each on every replica; `order` int32 [block_steps, batch_size] (rows of
        `images` for each step), `steps` int32 scalar.
    """
    replicas = strategy.num_replicas_in_sync
    rows = batch_size // replicas
    part_rows = rows // accumulate_steps
    root = fold(make_seed(seed), "training")
    model, optimizer, loss_scale = state.model, state.optimizer, state.loss_scale
    trained = state.trained_variables()

    def global_mean(values: tf.Tensor) -> tf.Tensor:
        return _all_reduce(tf.reduce_sum(values, 0)) / batch_size

    def _all_reduce(value: Any) -> Any:
        if replicas == 1:
            return value
        return tf.distribute.get_replica_context().all_reduce("sum", value)

    def all_reduce_as_one(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Sums over replicas in one message, which is faster than one a variable."""
        if replicas == 1:
            return list(tensors)
        sizes = [tensor.shape.num_elements() for tensor in tensors]
        summed = _all_reduce(tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0))
        parts = tf.split(summed, sizes)
        return [tf.reshape(a, b.shape) for a, b in zip(parts, tensors, strict=True)]

    def compute_gradients(
        image: tf.Tensor, label: tf.Tensor, first_row: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        noise = BatchNoise(fold(root, step), first_row, part_rows, batch_size)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(trained)
            computed = objective(model, Batch(to_unit(image), label), noise, step, global_mean)
            # Sum over the rows / global batch: the sum over parts and replicas is the global mean.
            # All terms in one sum: apart, XLA would sum up the pixels of each once more.
            means = tf.reduce_sum(tf.stack(computed), 1) / batch_size
            loss = tf.reduce_sum(computed.loss) / batch_size
            loss = loss if loss_scale is None else loss_scale.scale_loss(loss)
        return means, tape.gradient(loss, trained)

    if compilation == "gradients":
        compute_gradients = tf.function(compute_gradients, jit_compile=True)

    def sum_over_parts(
        images: tf.Tensor, labels: tf.Tensor, own: tf.Tensor, first_row: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, Sequence[tf.Tensor]]:
        if accumulate_steps == 1:
            return compute_gradients(
                tf.gather(images, own), tf.gather(labels, own), first_row, step
            )
        means = tf.zeros([len(objective.terms)])
        gradients = tuple(tf.zeros(variable.shape) for variable in trained)
        for part in tf.range(accumulate_steps):
            # One part at a time is what saves the memory.
            tf.autograph.experimental.set_loop_options(parallel_iterations=1)
            first = part * part_rows
            part_own = tf.slice(own, [first], [part_rows])
            part_means, part_gradients = compute_gradients(
                tf.gather(images, part_own), tf.gather(labels, part_own), first_row + first, step
            )
            means += part_means
            gradients = tuple(map(tf.add, gradients, part_gradients))
        return means, gradients

    def replica_step(images: tf.Tensor, labels: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        first_row = replica * rows
        own = indices if replicas == 1 else tf.slice(indices, [first_row], [rows])
        step = tf.identity(state.step)
        means, gradients = sum_over_parts(images, labels, own, first_row, step)
        gradients = all_reduce_as_one(gradients)
        scalars = [schedule(step) for schedule in objective.schedules.values()]
        if loss_scale is not None:
            scalars.append(tf.identity(loss_scale.scale))
            gradients = loss_scale.unscale(gradients)
        safe = clip(gradients)
        if loss_scale is not None:
            loss_scale.update(safe.is_finite)
        rate = learning_rate(step)
        optimizer.apply(trained, safe.gradients, rate, safe.is_finite)
        if state.averaged is not None:
            state.averaged.update(model, optimizer.updates, safe.is_finite)
        state.step.assign_add(1)
        skipped = 1.0 - tf.cast(safe.is_finite, tf.float32)
        # Equal on every replica: divided so that the sum over replicas gives them back.
        norm = tf.where(safe.is_finite, safe.norm, 0.0)
        scalars = tf.stack([*scalars, rate, norm, skipped]) / replicas
        return tf.concat([means, scalars], 0)

    @tf.function(jit_compile=compilation == "block")
    def train_block(
        images: tf.Tensor, labels: tf.Tensor, order: tf.Tensor, steps: tf.Tensor
    ) -> tf.Tensor:
        width = len(step_columns(objective, state))
        history = tf.TensorArray(tf.float32, block_steps, element_shape=[width])
        history = history.unstack(tf.zeros([block_steps, width]))
        index = tf.constant(0)
        # Not `for index in tf.range(steps)`, whose length is a constant to XLA: every other number
        # of steps would compile another program.
        while index < steps:
            values = strategy.run(replica_step, (images, labels, order[index]))
            history = history.write(index, strategy.reduce("sum", values, axis=None))
            index += 1
        return history.stack()

    return train_block
