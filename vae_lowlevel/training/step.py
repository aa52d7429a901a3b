"""One training step, and the block of steps that the device runs without coming back to Python."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import tensorflow as tf

from vae_lowlevel.randomness import BatchNoise, fold, make_seed
from vae_lowlevel.schedules import Schedule
from vae_lowlevel.training.devices import Compilation
from vae_lowlevel.training.state import TrainState
from vae_lowlevel.types import Batch, Objective, Transform, to_unit


class TrainBlock(Protocol):
    """A `tf.function` that trains for a block of steps; see `make_train_block`."""

    def __call__(
        self, images: tf.Tensor, labels: tf.Tensor, order: tf.Tensor, steps: tf.Tensor
    ) -> tf.Tensor:
        """Trains, and returns what was measured in each step."""

    def get_concrete_function(self, *call: Any) -> Any:
        """Traces for arguments like these, unless it was traced for them before."""


# Reported for each step, after the objective's own terms and schedules.
STEP_SCALARS = ("learning_rate", "gradient_norm", "skipped")


def step_columns(objective: Objective, state: TrainState) -> tuple[str, ...]:
    """Returns the names of what a step reports, in order."""
    scale = () if state.loss_scale is None else ("loss_scale",)
    return (*objective.terms, *objective.schedules, *scale, *STEP_SCALARS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepSpec:
    """What a training step does.

    Attributes:
        state: trained in place; built inside the strategy's scope.
        objective: what is minimized.
        transform: (batch, noise) -> batch, applied before the objective; None for none.
        learning_rate: step -> rate.
        clip: gradients -> named tuple `gradients`, `norm`, `is_finite`: `optimizers.clipping`.
        batch_size: examples per step over all replicas.
        accumulate_steps: parts in which a replica goes through its examples of a step; more than
            one only for an objective that does not use `global_mean`.
        seed: of the run.
    """

    state: TrainState
    objective: Objective
    transform: Transform | None
    learning_rate: Schedule
    clip: Callable[[list[tf.Tensor]], Any]
    batch_size: int
    accumulate_steps: int
    seed: int


def make_train_block(
    spec: StepSpec,
    strategy: tf.distribute.Strategy,
    *,
    block_steps: int,
    compilation: Compilation,
) -> TrainBlock:
    """Makes the function that trains for a block of steps.

    Args:
        spec: what a step does.
        strategy: runs the step on each of its replicas.
        block_steps: most steps of one call.
        compilation: what XLA compiles; "block" for one replica alone.

    Returns:
        block(images, labels, order, steps) -> float32 [block_steps, K], the global means
        of what `step_columns` names; rows after `steps` are zero. `images` uint8 [N, H, W, C],
        `labels` int32 [N], each on every replica; `order` int32 [block_steps, batch_size] (rows of
        `images` for each step), `steps` int32 scalar.
    """
    step = _Step(spec, strategy.num_replicas_in_sync, compilation)
    width = len(step_columns(spec.objective, spec.state))

    @tf.function(jit_compile=compilation == "block", autograph=False)
    def train_block(
        images: tf.Tensor, labels: tf.Tensor, order: tf.Tensor, steps: tf.Tensor
    ) -> tf.Tensor:
        def run_step(index: tf.Tensor, history: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            values = strategy.run(step.run_on_replica, (images, labels, order[index]))
            return index + 1, history.write(index, strategy.reduce("sum", values, axis=None))

        history = tf.TensorArray(tf.float32, block_steps, element_shape=[width])
        history = history.unstack(tf.zeros([block_steps, width]))
        # `steps` is not a constant to XLA: the same program for every number of steps.
        _, history = tf.while_loop(
            lambda index, _: index < steps, run_step, (tf.constant(0), history)
        )
        return history.stack()

    return train_block


class _Step:
    """One step on one replica: gradients of its rows, their sum over replicas, the update.

    The loops are written with `tf.while_loop`: AutoGraph takes up to a second of every start.
    """

    def __init__(self, spec: StepSpec, replicas: int, compilation: Compilation) -> None:
        self._spec = spec
        self._replicas = replicas
        self._rows = spec.batch_size // replicas
        self._part_rows = self._rows // spec.accumulate_steps
        self._seed = fold(make_seed(spec.seed), "training")
        self._trained = spec.state.trained_variables()
        self._gradients = self._compute_gradients
        if compilation == "gradients":
            self._gradients = tf.function(
                self._compute_gradients, jit_compile=True, autograph=False
            )

    def run_on_replica(self, images: tf.Tensor, labels: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
        """Updates the state; returns float32 [K], whose sum over replicas is what is reported."""
        state, objective = self._spec.state, self._spec.objective
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        first_row = replica * self._rows
        own = indices if self._replicas == 1 else tf.slice(indices, [first_row], [self._rows])
        step = tf.identity(state.step)
        means, gradients = self._sum_over_parts(images, labels, own, first_row, step)
        gradients = self._sum_over_replicas(gradients)
        scalars = [schedule(step) for schedule in objective.schedules.values()]
        if state.loss_scale is not None:
            scalars.append(tf.identity(state.loss_scale.scale))
        scalars += self._update(gradients, step)
        # Equal on every replica: divided so that the sum over replicas gives them back.
        return tf.concat([means, tf.stack(scalars) / self._replicas], 0)

    def _compute_gradients(
        self, image: tf.Tensor, label: tf.Tensor, first_row: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Returns the terms and gradients of some rows, as their share of the global mean."""
        spec, loss_scale = self._spec, self._spec.state.loss_scale
        noise = BatchNoise(fold(self._seed, step), first_row, self._part_rows, spec.batch_size)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._trained)
            batch = Batch(to_unit(image), label)
            if spec.transform is not None:
                batch = spec.transform(batch, noise)
            terms = spec.objective(spec.state.model, batch, noise, step, self._global_mean)
            # Sum over the rows / global batch: the sum over parts and replicas is the global mean.
            # All terms in one sum: apart, XLA would sum up the pixels of each once more.
            means = tf.reduce_sum(tf.stack(terms), 1) / spec.batch_size
            loss = tf.reduce_sum(terms.loss) / spec.batch_size
            loss = loss if loss_scale is None else loss_scale.scale_loss(loss)
        return means, tape.gradient(loss, self._trained)

    def _sum_over_parts(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        own: tf.Tensor,
        first_row: tf.Tensor,
        step: tf.Tensor,
    ) -> tuple[tf.Tensor, Sequence[tf.Tensor]]:
        if self._spec.accumulate_steps == 1:
            return self._gradients(tf.gather(images, own), tf.gather(labels, own), first_row, step)

        def add_part(part: tf.Tensor, means: tf.Tensor, gradients: Sequence[tf.Tensor]) -> Any:
            first = part * self._part_rows
            rows = tf.slice(own, [first], [self._part_rows])
            part_means, part_gradients = self._gradients(
                tf.gather(images, rows), tf.gather(labels, rows), first_row + first, step
            )
            return part + 1, means + part_means, tuple(map(tf.add, gradients, part_gradients))

        means = tf.zeros([len(self._spec.objective.terms)])
        gradients = tuple(tf.zeros(variable.shape) for variable in self._trained)
        _, means, gradients = tf.while_loop(
            lambda part, *_: part < self._spec.accumulate_steps,
            add_part,
            (tf.constant(0), means, gradients),
            # One part at a time is what saves the memory.
            parallel_iterations=1,
        )
        return means, gradients

    def _update(self, gradients: Sequence[tf.Tensor], step: tf.Tensor) -> list[tf.Tensor]:
        """Applies summed gradients and returns what `STEP_SCALARS` names."""
        spec, state = self._spec, self._spec.state
        if state.loss_scale is not None:
            gradients = state.loss_scale.unscale(gradients)
        safe = spec.clip(gradients)
        if state.loss_scale is not None:
            state.loss_scale.update(safe.is_finite)
        rate = spec.learning_rate(step)
        state.optimizer.apply(self._trained, safe.gradients, rate, safe.is_finite)
        if state.averaged is not None:
            state.averaged.update(state.model, state.optimizer.updates, safe.is_finite)
        state.step.assign_add(1)
        norm = tf.where(safe.is_finite, safe.norm, 0.0)
        return [rate, norm, 1.0 - tf.cast(safe.is_finite, tf.float32)]

    def _global_mean(self, values: tf.Tensor) -> tf.Tensor:
        return self._all_reduce(tf.reduce_sum(values, 0)) / self._spec.batch_size

    def _sum_over_replicas(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Sums in one message, which is faster than one per variable."""
        if self._replicas == 1:
            return list(tensors)
        sizes = [tensor.shape.num_elements() for tensor in tensors]
        summed = self._all_reduce(tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0))
        parts = tf.split(summed, sizes)
        return [tf.reshape(a, b.shape) for a, b in zip(parts, tensors, strict=True)]

    def _all_reduce(self, value: tf.Tensor) -> tf.Tensor:
        if self._replicas == 1:
            return value
        return tf.distribute.get_replica_context().all_reduce("sum", value)
