import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.randomness import BatchNoise, fold, make_seed
from vae_lowlevel.training.gradients import make_gradient_measure
from vae_lowlevel.types import Batch, Examples

ROWS = 6


def measure_of(run):
    images, labels = run.images.numpy()[:ROWS], run.labels.numpy()[:ROWS]
    return make_gradient_measure(
        run.state, run.objective, None, Examples(images, labels), run.strategy, seed=0
    )


def loss(run, step):
    """Returns the loss that is differentiated, by the objective alone."""
    noise = BatchNoise(fold(fold(make_seed(0), "gradients"), step), 0, ROWS, ROWS)
    batch = Batch(tf.cast(run.images[:ROWS], tf.float32) / 255.0, run.labels[:ROWS])
    mean = run.objective(run.state.model, batch, noise, step, lambda x: tf.reduce_mean(x, 0)).loss
    return float(tf.reduce_mean(mean))


def test_they_are_the_slopes_of_the_loss(make_run):
    run = make_run()
    step = tf.constant(3, tf.int64)
    gradients = measure_of(run)(3)
    head = run.state.model.decoder.layers[-1]
    # The variables of a layer one after another, in the order in which they are trained.
    bias, kernel = np.split(gradients["gradients/decoder/head"], [1])
    kernel = kernel.reshape(head.kernel.shape)
    h = 1e-2
    for variable, index, found in (
        (head.bias, (0,), bias[0]),
        (head.kernel, (1, 1, 2, 0), kernel[1, 1, 2, 0]),
    ):
        value = variable.numpy()
        losses = []
        for sign in (1.0, -1.0):
            moved = value.copy()
            moved[index] += sign * h
            variable.assign(moved)
            losses.append(loss(run, step))
        variable.assign(value)
        np.testing.assert_allclose((losses[0] - losses[1]) / (2 * h), found, rtol=2e-3)


def test_every_trained_layer_has_all_of_its_gradients(make_run):
    run = make_run(freeze="decoder")
    gradients = measure_of(run)(0)
    trained = run.state.trained_variables()
    assert sum(len(values) for values in gradients.values()) == sum(
        variable.shape.num_elements() for variable in trained
    )
    assert {name.rsplit("/", 1)[0] for name in gradients} == {"gradients/encoder"}


@pytest.mark.parametrize("compilation", ["none", pytest.param("block", marks=pytest.mark.slow)])
def test_training_ends_with_the_same_bits_with_and_without_them(make_run, compilation):
    def train(is_measured):
        run = make_run(compilation=compilation, block_steps=2)
        measure = measure_of(run) if is_measured else None
        for first in (0, 2):
            order = tf.constant(run.order[first : first + 2])
            run.block(run.images, run.labels, order, tf.constant(2))
            if measure is not None:
                measure(first + 2)
        return [variable.numpy() for variable in run.state.variables]

    for with_them, without in zip(train(True), train(False), strict=True):
        np.testing.assert_array_equal(with_them, without)


def test_replicas_measure_the_gradients_of_one(make_run, two_logical_cpus):
    one = measure_of(make_run())(2)
    devices = [device.name for device in two_logical_cpus]
    strategy = tf.distribute.MirroredStrategy(
        devices, cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    two = measure_of(make_run(strategy))(2)
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, rtol=1e-4, atol=1e-6)
